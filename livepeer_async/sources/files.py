"""Sources that are files: a path, or a file object that the caller opened."""

from __future__ import annotations

import inspect
import os
import stat
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from tempfile import SpooledTemporaryFile
from typing import Any

import aiofiles
import aiofiles.os
import anyio
from msgspec.structs import replace

from livepeer_async.concurrency import run_shielded
from livepeer_async.errors import SourceChanged, SourceNotReadable
from livepeer_async.sources.file_object import FileObject, unreadable
from livepeer_async.sources.identity import SourceIdentity, describe_changes
from livepeer_async.sources.source import Bytes, Source, attribute, source_name

# Seconds for which a disk that doesn't respond may delay a cancellation.
OPEN_TIMEOUT = 1.5


class PathSource(Source):
    """A file on disk, identified by size, mtime and inode."""

    def __init__(self, path: str, file: Any, status: os.stat_result) -> None:
        super().__init__(source_name(path), status.st_size)
        self._path = path
        self._file = file
        self._status = status
        self._position: int | None = 0

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Read in a worker thread; seek only if the last read ended elsewhere.

        Raises:
            SourceNotReadable: the disk or the file system failed.
        """
        current, self._position = self._position, None
        count = 0
        try:
            # Shielded: the thread of a cancelled read would still move the file's position.
            with anyio.CancelScope(shield=True):
                if position != current:
                    await self._file.seek(position)
                count = int(await self._file.readinto(buffer))
        except OSError as error:
            raise unreadable(self._path, error) from error
        self._position = position + count
        return count

    async def check(self) -> None:
        """Compare the file at the path with the one that was opened.

        Raises:
            SourceChanged: it was deleted, replaced or written to.
        """
        try:
            status = await aiofiles.os.stat(self._path)
        except OSError as error:
            raise SourceChanged(
                f"{self._path} can't be found any more: {error.strerror}", source=self._path
            ) from error
        if _version(status) != _version(self._status):
            raise _changed_error(self._path, self._status, status)

    async def identity(self) -> SourceIdentity:
        """Return size, mtime and inode."""
        return _as_identity(self._status)


class FileSource(Source):
    """A seekable binary file object, sync or async; it is read from its first byte."""

    def __init__(self, file: FileObject, length: int) -> None:
        super().__init__(file.name, length)
        self._file = file
        self._status = _status_of(file.file)
        self._position = 0

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Read with the object's own methods, sync ones in a worker thread.

        Raises:
            SourceNotReadable: the object fails, or returns no bytes.
        """
        block: Bytes = b""
        # Shielded: the thread of a cancelled read would still move the file's position.
        with anyio.CancelScope(shield=True):
            block = await self._file.read_at(position, len(buffer))
        buffer[: len(block)] = block
        self._position = position + len(block)
        return len(block)

    async def check(self) -> None:
        """Check that the file wasn't written to, and that it ends at its length.

        The end is only checked before the first and after the last read: a compressed file would
        be decompressed again each time.

        Raises:
            SourceChanged: it was written to, or its length changed.
            SourceNotReadable: the object fails.
        """
        status = _status_of(self._file.file)
        if (status and _version(status)) != (self._status and _version(self._status)):
            raise _changed_error(self.name, self._status, status)
        if 0 < self._position < self.length:
            return
        difference = 0
        with anyio.CancelScope(shield=True):  # as in `read_into`
            difference = await self._file.compare_end(self.length)
        if difference:
            raise SourceChanged(
                f"{self.name} has {'more' if difference > 0 else 'fewer'} than the {self.length} "
                "bytes that it had at first",
                source=self.name,
            )

    async def identity(self) -> SourceIdentity:
        """Return length, mtime and inode of the object's file; only the length if it has none."""
        if self._status is None:
            return await super().identity()
        # Not the file's own size: that of a GzipFile is the compressed one.
        return replace(_as_identity(self._status), length=self.length)


async def open_path(path: str, stack: AsyncExitStack) -> PathSource:
    """Open a file; the stack closes it.

    Raises:
        SourceNotReadable: it doesn't exist, isn't a regular file, or may not be read.
    """
    statuses: list[os.stat_result] = []

    def open_regular(name: str, flags: int) -> int:
        # Checked first, because opening a pipe waits for its writer. All in one call of a thread:
        # for a short file, each call costs as much as its read.
        _check_regular(path, os.stat(name))  # noqa: PTH116 - `Path` takes "" for a folder
        descriptor = os.open(name, flags)
        statuses.append(os.fstat(descriptor))
        return descriptor

    async def open_file() -> Any:
        # Unbuffered: blocks are large, and a buffer would only add a copy.
        return await aiofiles.open(path, "rb", buffering=0, opener=open_regular)

    try:
        file = await enter_file(open_file, stack)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return PathSource(path, file, statuses[0])


async def enter_file(open_file: Callable[[], Awaitable[Any]], stack: AsyncExitStack) -> Any:
    """Open a file of aiofiles; the stack closes it."""
    files: list[Any] = []

    async def open_and_push() -> None:
        files.append(await open_file())
        stack.push_async_callback(_close, files[0])

    # Shielded: a file that a thread opens after a cancellation would stay open.
    await run_shielded(open_and_push, grace=OPEN_TIMEOUT)
    return files[0]


async def _close(file: Any) -> None:
    # Shielded: a cancelled call may end before its thread starts.
    await run_shielded(file.close, grace=OPEN_TIMEOUT)


def _check_regular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        is_directory = stat.S_ISDIR(status.st_mode)
        found = "a directory" if is_directory else "not a regular file"
        message = f"{path!r} is {found}; wanted a video file"
        raise SourceNotReadable(message, source=path, is_directory=is_directory)


def _version(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def _changed_error(
    name: str, before: os.stat_result | None, now: os.stat_result | None
) -> SourceChanged:
    changes = ""
    if before is not None and now is not None:
        changes = describe_changes(_as_identity(before), _as_identity(now)) or "another device"
    return SourceChanged(f"{name} changed while it was read ({changes})", source=name)


def _as_identity(status: os.stat_result) -> SourceIdentity:
    # Without the device, whose number may change with a restart of the machine.
    return SourceIdentity(
        length=status.st_size, modified_ns=status.st_mtime_ns, inode=status.st_ino
    )


def _status_of(file: object) -> os.stat_result | None:
    """Return the status of a file object's file; `None` if it has none, or an async `fileno`."""
    fileno: Any = attribute(file, "fileno")
    # `fileno` moves the content of a SpooledTemporaryFile to the disk.
    if inspect.iscoroutinefunction(fileno) or isinstance(file, SpooledTemporaryFile):
        return None
    try:
        descriptor = fileno()
        if inspect.iscoroutine(descriptor):
            descriptor.close()
            return None
        return os.fstat(descriptor)
    except Exception:  # noqa: BLE001 - the object is the caller's, and may raise anything
        return None
