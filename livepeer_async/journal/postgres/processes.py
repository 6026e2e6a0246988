"""The process of an owner, as other machines know it, and whether it has certainly ended."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

# The fields of /proc/PID/stat after the command, which may contain spaces: the 22nd of all is the
# time at which the process started.
_START_TIME = 19


class Process(Struct, frozen=True, kw_only=True):
    """A process, as other machines know it.

    Attributes:
        host: the name of its machine, for messages.
        machine: identifies the running system and its process IDs; "" if unknown.
        pid: its process ID.
        started: when it was started, in the system's unit; 0 if unknown.
    """

    host: str
    machine: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def has_ended(self, here: Process) -> bool:
        """Whether it has certainly ended: only a process of the same system can tell.

        Args:
            here: the current process.
        """
        is_known = bool(self.machine and self.started) and self.pid > 0
        if not is_known or self.machine != here.machine:
            return False
        started = _start_time(self.pid)
        return not _exists(self.pid) if started is None else started != self.started


def current_process() -> Process:
    """Return the current process."""
    pid = os.getpid()
    return Process(
        host=socket.gethostname(), machine=_machine(), pid=pid, started=_start_time(pid) or 0
    )


def _machine() -> str:
    """Identify the boot and the namespace of process IDs, which containers have of their own."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _start_time(pid: int) -> int | None:
    """Return when a process was started, 0 for a zombie; `None` if it is unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = fields.rpartition(")")[2].split()
    return 0 if state in "ZX" else int(rest[_START_TIME - 1])


def _exists(pid: int) -> bool:
    """Whether a process exists: /proc may hide those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
