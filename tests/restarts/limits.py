"""Commands that run where something is forbidden or full: the words to put in front of them."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from cli.shell import COMMAND

# Root may write everything. Without these two capabilities it may what its files' modes allow.
# Source: linux/prctl.h (PR_CAPBSET_DROP 24), linux/capability.h (CAP_DAC_OVERRIDE 1,
# CAP_DAC_READ_SEARCH 2).
_AS_ANYBODY = """
import ctypes, os, sys
if os.geteuid() == 0:
    libc = ctypes.CDLL(None)
    assert [libc.prctl(24, capability, 0, 0, 0) for capability in (1, 2)] == [0, 0]
os.execv(sys.argv[1], sys.argv[1:])
"""
_WITH_SMALL_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
os.execv(sys.argv[1], sys.argv[1:])
"""
# Root that may do all but overrule the modes of files.
AS_ANYBODY = [sys.executable, "-c", _AS_ANYBODY, *COMMAND]
# No file may become longer than 4 KiB, as under a quota: a journal doesn't fit.
WITH_SMALL_FILES = [sys.executable, "-c", _WITH_SMALL_FILES, *COMMAND]


class Disk:
    """A small disk; `is_real` says whether there could be one."""

    def __init__(self, folder: Path, *, is_real: bool) -> None:
        self.folder = folder
        self.is_real = is_real
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no byte of room."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def make_room(self) -> None:
        """Take away what fills it."""
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, size: int):
    """Mount a disk of so many bytes in a folder, where that is allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    is_real = sys.platform == "linux" and os.geteuid() == 0 and _runs("mount", *options)
    try:
        yield Disk(folder, is_real=is_real)
    finally:
        if is_real:
            _runs("umount", str(folder))


def _runs(*command: str) -> bool:
    """Whether a command is there and says that it did its work."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
