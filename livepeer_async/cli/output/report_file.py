"""Report file: JSON lines that stay whole when the disk fills up or the process is killed.

Lines aren't buffered. Only the first write error is reported; the missing lines are counted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from os.path import realpath
from pathlib import Path
from typing import Any

from livepeer_async.errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

# The names and paths of videos may be confidential.
MODE = 0o600
# Characters of a file name.
_MAX_STEM = 40
_MAX_LINE = 8 * 1024 * 1024
# Without O_NONBLOCK, opening a pipe that has no reader would wait. Windows has only O_BINARY.
_OPTIONAL_FLAGS = ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
_FLAGS = sum((getattr(os, name, 0) for name in _OPTIONAL_FLAGS), os.O_WRONLY | os.O_CREAT)


class ReportFile:
    """Writes lines to a file or to standard output.

    Args:
        descriptor: open for writing.
        name: the file's name in messages.
        on_error: called with the name and the first write error.
        is_shared: whether others write to the file too, as to standard output.

    Attributes:
        has_begun: whether lines of this run have replaced the earlier ones.
        missing: the number of lines that couldn't be written.
    """

    def __init__(
        self,
        descriptor: int,
        name: str,
        *,
        on_error: Callable[[str, OSError], None],
        is_shared: bool = False,
    ) -> None:
        self.name = name
        self.has_begun = False
        self.missing = 0
        self._descriptor = descriptor
        self._on_error = on_error
        self._is_shared = is_shared
        self._is_seekable = not is_shared and stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._has_failed = False
        self._end = 0
        if hasattr(os, "O_NONBLOCK"):
            # Another process may have made it non-blocking; a full pipe would then be an error.
            os.set_blocking(descriptor, True)

    def begin(self) -> None:
        """Remove the lines of earlier runs."""
        self.has_begun = True
        self._truncate()

    def write(self, line: str) -> None:
        """Write a line.

        Raises:
            BrokenPipeError: the reader of standard output is gone.
        """
        if not self.has_begun:
            self.begin()
        unwritten = content = f"{line}\n".encode()
        try:
            while unwritten:
                unwritten = unwritten[os.write(self._descriptor, unwritten) :]
            self._end += len(content)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self._is_shared:
                raise
            # Later lines may succeed, once the disk has space again.
            self.missing += 1
            self._truncate()
            self._report_error(error)

    def sync(self) -> None:
        """Flush the file to the disk; network file systems report a full disk only here."""
        if self._is_seekable and self.has_begun:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self.missing = max(self.missing, 1)
                self._report_error(error)

    def _truncate(self) -> None:
        """Cut the file after its last whole line."""
        if self._is_seekable:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                os.lseek(self._descriptor, self._end, os.SEEK_SET)

    def _report_error(self, error: OSError) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._on_error(self.name, error)


def default_report_name(manifest: str, account: str) -> str:
    """Return a file name for the report of a manifest; each account has one of its own."""
    digest = hashlib.sha256(f"{manifest}\0{account}".encode(errors="replace")).hexdigest()
    stem = re.sub(r"[^\w.-]+", "-", Path(manifest).stem).strip("-.")[:_MAX_STEM]
    return f"{stem or 'ingest'}-{digest[:8]}.report.jsonl"


def check_report_path(report: str | None, others: Iterable[tuple[str, str | None]]) -> None:
    """Refuse a report that would overwrite another file of the command.

    Args:
        report: the report's path.
        others: what each other file is, and its path.

    Raises:
        ConfigurationError: they are one file.
    """
    for what, path in others:
        if report is not None and path is not None and _is_same_file(report, path):
            raise ConfigurationError(
                f"the report would overwrite the {what} {path}: name another file with --report"
            )


def standard_output(on_error: Callable[[str, OSError], None]) -> ReportFile:
    """Return standard output as a report file."""
    descriptor = sys.stdout.fileno()
    return ReportFile(descriptor, "standard output", on_error=on_error, is_shared=True)


@contextmanager
def open_report(path: str, *, on_error: Callable[[str, OSError], None]) -> Generator[ReportFile]:
    """Open a report; its content stays until the first line of this run.

    A file that was created and not written to is removed.

    Raises:
        ConfigurationError: the file can't be written to, isn't a report, or is in use.
    """
    file = Path(path)
    is_new = not file.exists()
    _check_replaceable(file)
    try:
        descriptor = os.open(path, _FLAGS, MODE)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"the report {path} can't be written: {reason}; create its folder, check its "
            "permissions, or name another file with --report"
        ) from error
    try:
        _lock(descriptor, path)
        report = ReportFile(descriptor, path, on_error=on_error)
        try:
            yield report
        finally:
            # Windows can't delete an open file.
            if is_new and not report.has_begun and sys.platform != "win32":
                file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_same_file(one: str, other: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(one).samefile(other)
    return realpath(one) == realpath(other)


def _lock(descriptor: int, path: str) -> None:
    """Lock the file until it is closed, so that no other run writes to it."""
    if sys.platform == "win32" or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(
            f"the report {path} is in use by another run; wait for it, or name another file with "
            "--report"
        ) from error
    except OSError:
        return  # the file system has no locks


def _check_replaceable(file: Path) -> None:
    """Refuse to overwrite anything but a report, such as a video, a journal or a manifest."""
    first = b""
    # A file that can't be read is reported when it is opened for writing.
    with suppress(OSError, ValueError):
        if file.is_file():
            with file.open("rb") as content:
                first = content.readline(_MAX_LINE)
    # A row of a manifest has no `place`.
    if first and not _is_report_line(first):
        raise ConfigurationError(
            f"the report {file} would overwrite a file that isn't a report; name another one with "
            "--report, or remove it"
        )


def _is_report_line(line: bytes) -> bool:
    try:
        document: Any = json.loads(line)
        return {"key", "place", "state"}.issubset(document)
    except (TypeError, ValueError):
        return False
