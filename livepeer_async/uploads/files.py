"""Sources that lie in a file: a path, or a file object that was opened elsewhere."""

from __future__ import annotations

import inspect
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiofiles
import aiofiles.os
import anyio.to_thread

from livepeer_async.errors import SourceChanged, SourceNotReadable
from livepeer_async.taskgroups import finish
from livepeer_async.uploads.records import SourceIdentity
from livepeer_async.uploads.source import Bytes, Source, as_bytes, source_name

PIECE = 1024 * 1024
# A disk that doesn't answer must not hold one who has cancelled.
OPEN_TIMEOUT = 1.5


class PathSource(Source):
    """A file on disk, told by its size, its time of change and its inode."""

    def __init__(self, path: str, file: Any, status: os.stat_result) -> None:
        super().__init__(source_name(path), status.st_size)
        self._path = path
        self._file = file
        self._status = status
        self._position: int | None = 0

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Read in a worker thread, without a seek where the last read ended at `position`.

        Raises:
            SourceNotReadable: the disk or the file system failed.
        """
        known, self._position = self._position, None
        count = 0
        try:
            # Shielded: a read that was given up still moves the file, behind the reader's back.
            with anyio.CancelScope(shield=True):
                if position != known:
                    await self._file.seek(position)
                count = int(await self._file.readinto(buffer))
        except OSError as error:
            raise _unreadable(self._path, error) from error
        self._position = position + count
        return count

    async def check(self) -> None:
        """Compare the file at the path with the one that was opened.

        Raises:
            SourceChanged: it is gone, or another one, or was written to.
        """
        try:
            status = await aiofiles.os.stat(self._path)
        except OSError as error:
            raise SourceChanged(
                f"{self._path} can't be found any more: {error.strerror}", source=self._path
            ) from error
        if _identity(status) != _identity(self._status):
            raise SourceChanged(
                f"{self._path} changed while it was read: it had {self.length} bytes, "
                f"it has {status.st_size}",
                source=self._path,
            )

    async def identity(self) -> SourceIdentity:
        """Tell the file by its size, its time of change and its inode."""
        return _as_identity(self._status)


class FileSource(Source):
    """A seekable binary file object, sync or async; it is read from its beginning."""

    def __init__(self, file: Any, name: str, length: int) -> None:
        super().__init__(name, length)
        self._file = file
        self._status = _status_of(file)

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Read with the object's own methods, the sync ones in a worker thread.

        Raises:
            SourceNotReadable: the object fails, or gives no bytes.
        """
        piece: Bytes = b""
        try:
            # Shielded: a read that was given up still moves the file, behind the reader's back.
            with anyio.CancelScope(shield=True):
                await _call(self._file.seek, position)
                piece = as_bytes(await _call(self._file.read, len(buffer)), self.name)
            buffer[: len(piece)] = piece
        except SourceNotReadable:
            raise
        except Exception as error:
            raise _unreadable(self.name, error) from error
        return len(piece)

    async def check(self) -> None:
        """Make sure that the file is as it was, and that it ends where its length says.

        Raises:
            SourceChanged: it was written to, or is longer than it said.
        """
        status = _status_of(self._file)
        if (status and _identity(status)) != (self._status and _identity(self._status)):
            raise SourceChanged(f"{self.name} changed while it was read", source=self.name)
        if await self.read_into(self.length, memoryview(bytearray(1))):
            raise SourceChanged(
                f"{self.name} has more than the {self.length} bytes that it had at first",
                source=self.name,
            )

    async def identity(self) -> SourceIdentity:
        """Tell the file behind the object, where there is one; else there is only its length."""
        return _as_identity(self._status) if self._status else await super().identity()


async def open_path(path: str, stack: AsyncExitStack) -> PathSource:
    """Open a file; the stack closes it.

    Raises:
        SourceNotReadable: there is no such file, or it isn't a regular one, or may not be read.
    """
    files: list[Any] = []
    statuses: list[os.stat_result] = []

    def open_regular(name: str, flags: int) -> int:
        # Looked at before it is opened, which would wait for a pipe's other end. All in one turn of
        # a thread: for a short file each costs as much as its read.
        _check_regular(path, os.stat(name))  # noqa: PTH116 - `Path` takes "" for a folder
        descriptor = os.open(name, flags)
        statuses.append(os.fstat(descriptor))
        return descriptor

    async def open_it() -> None:
        # Unbuffered: the blocks are large, and a buffer would only copy them once more.
        files.append(await aiofiles.open(path, "rb", buffering=0, opener=open_regular))
        stack.push_async_callback(close_file, files[0])

    try:
        # A file that a thread opens for one who was cancelled would be closed by nobody.
        await finish(open_it, once_cancelled=OPEN_TIMEOUT)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return PathSource(path, files[0], statuses[0])


def _check_regular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise SourceNotReadable(f"{path!r} is {what}; wanted a video file", source=path)


async def close_file(file: Any) -> None:
    """Close a file of aiofiles."""
    # Closing takes a thread, which may not have begun when its caller is cancelled.
    await finish(file.close, once_cancelled=OPEN_TIMEOUT)


async def open_file(file: Any) -> FileSource | None:
    """Take a file object that can seek; `None` where it can't and is a stream.

    Raises:
        SourceNotReadable: the object fails.
    """
    name = source_name(file)
    size = getattr(file, "size", None)
    if isinstance(size, int) and hasattr(file, "seek"):
        return FileSource(file, name, size)
    try:
        if not hasattr(file, "tell") or not await _call(getattr(file, "seekable", bool)):
            return None
        await _call(file.seek, 0, os.SEEK_END)
        return FileSource(file, name, int(await _call(file.tell)))
    except Exception as error:
        raise _unreadable(name, error) from error


async def pieces_of(file: Any) -> AsyncIterator[bytes | bytearray | memoryview]:
    """Read a file object that can't seek to its end."""
    name = source_name(file)
    while piece := as_bytes(await _call(file.read, PIECE, is_given_up=True), name):
        yield piece


def _unreadable(path: str, error: Exception) -> SourceNotReadable:
    reason = getattr(error, "strerror", None) or str(error) or repr(error)
    return SourceNotReadable(f"{path!r} can't be read: {reason}", source=path)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def _status_of(file: Any) -> os.stat_result | None:
    """Look at a file object's file; `None` where there is none behind it, or behind an await."""
    if inspect.iscoroutinefunction(getattr(file, "fileno", None)):
        return None
    try:
        return os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError, TypeError):
        return None


def _as_identity(status: os.stat_result) -> SourceIdentity:
    # Without the device, whose number may change when the machine is started again.
    return SourceIdentity(
        length=status.st_size, modified_ns=status.st_mtime_ns, inode=status.st_ino
    )


async def _call(function: Callable[..., Any], *args: object, is_given_up: bool = False) -> Any:
    """Call a method of a file object: await an async one, run a sync one in a thread.

    With `is_given_up` a cancellation leaves the thread to itself: a quiet pipe may never return.
    """
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    result = await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=is_given_up)
    return await result if inspect.isawaitable(result) else result
