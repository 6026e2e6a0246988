"""A file of JSON lines that survives a full disk or a kill half-way through a line.

Each line is written at once and is either whole or absent. A write that fails is reported once, and
the missing lines are counted.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from livepeer_async.errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

# It tells which videos there are, where they lie and what they are called, perhaps before anybody
# shall know. Who shall read it can be let in afterwards; the other way round it is too late.
MODE = 0o600
# What each line of a report has, and no manifest: a row knows no `place`.
FIRST_WORD, SECOND_WORD = b'{"key": ', b', "place": '
_LONGEST_LINE = 8 * 1024 * 1024
# A pipe that nobody reads is refused rather than waited for. Windows has only the third.
_ALSO = ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
_FLAGS = sum((getattr(os, name, 0) for name in _ALSO), os.O_WRONLY | os.O_CREAT)


class ReportFile:
    """Lines on their way to a file.

    Args:
        descriptor: open for writing.
        name: of the file, for sentences.
        on_trouble: told the first error that a line meets.
        is_ours: whether the file was opened for these lines alone; standard output wasn't.

    Attributes:
        name: of the file, for sentences.
        has_begun: whether lines of this run have taken the place of those before.
        missing: lines that couldn't be written.
    """

    def __init__(
        self,
        descriptor: int,
        name: str,
        *,
        on_trouble: Callable[[str, OSError], None],
        is_ours: bool = True,
    ) -> None:
        self.name = name
        self.has_begun = False
        self.missing = 0
        self._descriptor = descriptor
        self._on_trouble = on_trouble
        self._is_ours = is_ours
        # A pipe or a terminal can't be cut, and standard output may have been written to before.
        self._can_be_cut = is_ours and stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._is_told = False
        self._is_torn = False
        self._end = 0

    def begin(self) -> None:
        """Let the lines of this run take the place of those that were there before."""
        self.has_begun = True
        self._cut()

    def add(self, line: str) -> None:
        """Write a line at once: whoever reads the file, also after a kill, finds whole lines.

        Raises:
            BrokenPipeError: nobody reads standard output any more.
        """
        if not self.has_begun:
            self.begin()
        content = f"{line}\n".encode()
        try:
            self._write(b"\n" + content if self._is_torn else content)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and not self._is_ours:
                raise
            # Later lines are tried all the same: a disk may get room again.
            self.missing += 1
            self._cut()
            self._tell(error)

    def sync(self) -> None:
        """See that the disk has the lines: some, those of a network above all, fail only here."""
        if self._can_be_cut and self.has_begun:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self.missing = max(self.missing, 1)
                self._tell(error)

    def _write(self, content: bytes) -> None:
        left = content
        while left:
            left = left[os.write(self._descriptor, left) :]
            self._is_torn = bool(left)
        self._end += len(content)

    def _cut(self) -> None:
        """Cut the file back to its last whole line."""
        if self._can_be_cut:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                os.lseek(self._descriptor, self._end, os.SEEK_SET)
                self._is_torn = False

    def _tell(self, error: OSError) -> None:
        if not self._is_told:
            self._is_told = True
            self._on_trouble(self.name, error)


def standard_output(on_trouble: Callable[[str, OSError], None]) -> ReportFile:
    """Give standard output as a place for lines."""
    descriptor = sys.stdout.fileno()
    if hasattr(os, "O_NONBLOCK"):
        # Others may have made it so; a pipe that is full would be an error then.
        os.set_blocking(descriptor, True)
    return ReportFile(descriptor, "standard output", on_trouble=on_trouble, is_ours=False)


@contextmanager
def open_report(path: str, *, on_trouble: Callable[[str, OSError], None]) -> Generator[ReportFile]:
    """Open the file for a report; what is in it stays until the first line of this run comes.

    Args:
        path: of the file, made where there is none.
        on_trouble: told the name of the file and the first error that a line meets.

    Raises:
        ConfigurationError: it can't be written to, is no report, or is that of another run.
    """
    file = Path(path)
    is_new = not file.exists()
    _refuse_others(file)
    try:
        descriptor = os.open(path, _FLAGS, MODE)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"the report {path} can't be written: {reason}; make its folder, see who may write "
            "there, or name another file with --report"
        ) from error
    try:
        _lock(descriptor, path)
        report = ReportFile(descriptor, path, on_trouble=on_trouble)
    except ConfigurationError:
        os.close(descriptor)
        raise
    try:
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(descriptor, True)
        yield report
    finally:
        is_unused = is_new and not report.has_begun
        if is_unused and sys.platform != "win32":
            # While it is locked, so that it is nobody else's; Windows deletes nothing that is open.
            file.unlink(missing_ok=True)
        os.close(descriptor)
        if is_unused and sys.platform == "win32":
            file.unlink(missing_ok=True)


def _lock(descriptor: int, path: str) -> None:
    """Keep other runs from the file until it is closed: each would write at an end of its own."""
    if sys.platform == "win32" or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(
            f"the report {path} is being written by another run; wait for its end, or name another "
            "file with --report"
        ) from error
    except OSError:
        return  # the file system has no locks


def _refuse_others(file: Path) -> None:
    """Refuse to take the place of what is no report: a video, the journal, another manifest."""
    first = b""
    # What can't be read is told where it is opened for writing.
    with suppress(OSError, ValueError):
        if file.is_file():
            with file.open("rb") as content:
                first = content.readline(_LONGEST_LINE)
    if first and not (first.startswith(FIRST_WORD) and SECOND_WORD in first):
        raise ConfigurationError(
            f"the report {file} would overwrite a file that is no report; name another one with "
            "--report, or remove it"
        )
