"""Code and commands that run without permissions or without disk space."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from support.command_line import COMMAND

# Root may write everything; without these two capabilities it obeys the modes of files.
# Source: linux/prctl.h (PR_CAPBSET_DROP 24), linux/capability.h (CAP_DAC_OVERRIDE 1,
# CAP_DAC_READ_SEARCH 2).
_UNPRIVILEGED = """
import ctypes, os, sys
if os.geteuid() == 0:
    libc = ctypes.CDLL(None)
    assert [libc.prctl(24, capability, 0, 0, 0) for capability in (1, 2)] == [0, 0]
os.execv(sys.argv[1], sys.argv[1:])
"""
_SMALL_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
os.execv(sys.argv[1], sys.argv[1:])
"""
UNPRIVILEGED = [sys.executable, "-c", _UNPRIVILEGED, *COMMAND]
# No file may exceed 4 KiB, as with a quota: a journal doesn't fit.
SMALL_FILES = [sys.executable, "-c", _SMALL_FILES, *COMMAND]


@contextlib.contextmanager
def unprivileged():
    """Drop the privileges of root, which can access every file."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


class Disk:
    """A small disk; `is_real` is whether it could be mounted."""

    def __init__(self, folder: Path, *, is_real: bool) -> None:
        self.folder = folder
        self.is_real = is_real
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no free byte."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def free(self) -> None:
        """Remove what `fill` wrote."""
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, size: int):
    """Mount a disk of `size` bytes in a folder, if that is allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    is_real = sys.platform == "linux" and os.geteuid() == 0 and _runs("mount", *options)
    try:
        yield Disk(folder, is_real=is_real)
    finally:
        if is_real:
            # Even if a file on it is still being closed.
            _runs("umount", "--lazy", str(folder))


def _runs(*command: str) -> bool:
    """Whether a command exists and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
