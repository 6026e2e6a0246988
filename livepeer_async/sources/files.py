"""Sources that are files: a path, or a file object that the caller opened."""

from __future__ import annotations

import inspect
import os
import stat
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
from livepeer_async.sources.identity import SourceIdentity
from livepeer_async.sources.source import Bytes, Source, attribute, source_name

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
            raise unreadable(self._path, error) from error
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

    def __init__(self, file: FileObject, length: int) -> None:
        super().__init__(file.name, length)
        self._file = file
        self._status = _status_of(file.file)
        self._position = 0

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Read with the object's own methods, the sync ones in a worker thread.

        Raises:
            SourceNotReadable: the object fails, or gives no bytes.
        """
        block: Bytes = b""
        # Shielded: a read that was given up still moves the file, behind the reader's back.
        with anyio.CancelScope(shield=True):
            block = await self._file.read_at(position, len(buffer))
        buffer[: len(block)] = block
        self._position = position + len(block)
        return len(block)

    async def check(self) -> None:
        """Make sure that the file is as it was, and that it ends where its length says.

        In the middle of the file the end isn't looked at: compressed files would be read again.

        Raises:
            SourceChanged: it was written to, or is longer or shorter than it was.
            SourceNotReadable: the object fails.
        """
        status = _status_of(self._file.file)
        if (status and _identity(status)) != (self._status and _identity(self._status)):
            raise SourceChanged(f"{self.name} changed while it was read", source=self.name)
        if 0 < self._position < self.length:
            return
        found = 0
        with anyio.CancelScope(shield=True):  # as in `read_into`
            found = await self._file.compare_end(self.length)
        if found:
            raise SourceChanged(
                f"{self.name} has {'more' if found > 0 else 'fewer'} than the {self.length} bytes "
                "that it had at first",
                source=self.name,
            )

    async def identity(self) -> SourceIdentity:
        """Tell the file behind the object, where there is one; else there is only its length."""
        if self._status is None:
            return await super().identity()
        # Not the file's own length: that of a GzipFile is the compressed one.
        return replace(_as_identity(self._status), length=self.length)


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
        await run_shielded(open_it, grace=OPEN_TIMEOUT)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return PathSource(path, files[0], statuses[0])


def _check_regular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        is_directory = stat.S_ISDIR(status.st_mode)
        what = "a directory" if is_directory else "no regular file"
        message = f"{path!r} is {what}; wanted a video file"
        raise SourceNotReadable(message, source=path, is_directory=is_directory)


async def close_file(file: Any) -> None:
    """Close a file of aiofiles."""
    # Closing takes a thread, which may not have begun when its caller is cancelled.
    await run_shielded(file.close, grace=OPEN_TIMEOUT)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def _status_of(file: object) -> os.stat_result | None:
    """Look at a file object's file; `None` where there is none behind it, or behind an await."""
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


def _as_identity(status: os.stat_result) -> SourceIdentity:
    # Without the device, whose number may change when the machine is started again.
    return SourceIdentity(
        length=status.st_size, modified_ns=status.st_mtime_ns, inode=status.st_ino
    )
