"""Sources that are files: a path, or a file object that the caller opened."""

from __future__ import annotations

import asyncio
import inspect
import os
import stat
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from io import FileIO
from tempfile import SpooledTemporaryFile
from typing import Any

import anyio
import anyio.to_thread
from msgspec.structs import replace

from livepeer_async.concurrency import run_shielded
from livepeer_async.errors import SourceChanged, SourceNotReadable
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.loops import await_in_loop
from livepeer_async.http.shortages import is_scarce
from livepeer_async.sources.file_object import FileObject, unreadable
from livepeer_async.sources.identity import SourceIdentity, describe_changes
from livepeer_async.sources.source import Bytes, Source, ThreadReader, attribute, source_name

# Seconds for which a disk that doesn't respond may delay a cancellation.
OPEN_TIMEOUT = 1.5


class PathSource(Source):
    """A file on disk, identified by size, mtime and inode.

    It is closed once its last byte was read, and opened again if it is needed once more. While
    descriptors are scarce, it is opened for each read only.
    """

    def __init__(self, path: str, descriptors: Descriptors) -> None:
        super().__init__(source_name(path), 0)
        self._path = path
        self._status: os.stat_result
        self._descriptors = descriptors
        # `None` while it is closed, or a thread reads it, also after the task was cancelled.
        self._file: FileIO | None = None
        # Held while a thread opens, reads or closes the file.
        self._lock = threading.Lock()
        self._is_closed = False

    async def open(self) -> None:
        """Open the file for the first time, and find its length; raises OSError.

        If a cancellation interrupts it, the thread still closes the file after `aclose`.
        """
        # All in one call of a thread: for a short file, each call costs as much as its read.
        await anyio.to_thread.run_sync(self._open, abandon_on_cancel=True)
        self.length = self._status.st_size

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Read in a worker thread, which a cancellation doesn't wait for.

        After a cancellation, the thread may still write to the buffer. The next read waits for it.

        Raises:
            SourceNotReadable: the disk or the file system failed.
            SourceChanged: the file had to be opened again, and is another one now.
            TooManyOpenFiles: it had to be opened again, and no descriptor was free.
        """
        read = partial(
            anyio.to_thread.run_sync,
            partial(self._read, position, buffer),
            abandon_on_cancel=True,
        )
        try:
            return await self._descriptors.open_file(read, f"{self._path!r} can't be opened")
        except OSError as error:
            raise unreadable(self._path, error) from error

    async def aclose(self) -> None:
        """Close the file; a disk that hangs delays this by `OPEN_TIMEOUT` at most.

        A file that a thread still opens or reads is closed by the thread.
        """
        self._is_closed = True
        if self._file is not None or self._lock.locked():
            # Shielded: a cancelled call may end before its thread starts.
            close = partial(anyio.to_thread.run_sync, self._close, abandon_on_cancel=True)
            await run_shielded(close, timeout=OPEN_TIMEOUT, grace=OPEN_TIMEOUT)

    def _open(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            file, self._status = _open_regular(self._path)
            self._keep_open(file)

    def _keep_open(self, file: FileIO) -> None:
        if self._is_closed or is_scarce(file.fileno()):
            file.close()
        else:
            self._file = file

    def _read(self, position: int, buffer: memoryview) -> int:
        with self._lock:
            if self._is_closed:
                return 0
            file, self._file = self._file or self._reopen(), None
            try:
                file.seek(position)
                count = int(file.readinto(buffer))
                if position + count < self.length and not is_scarce(file.fileno()):
                    self._file = file
            finally:
                if self._file is None or self._is_closed:
                    self._file = None
                    file.close()
            return count

    def _reopen(self) -> FileIO:
        file, status = _open_regular(self._path)
        if _version(status) != _version(self._status):
            file.close()
            raise _changed_error(self._path, self._status, status)
        return file

    def _close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    async def check(self) -> None:
        """Compare the file at the path with the one that was opened.

        Raises:
            SourceChanged: it was deleted, replaced or written to.
        """
        await anyio.to_thread.run_sync(self._check)

    def _check(self) -> None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - `Path` takes "" for a folder
        except OSError as error:
            raise SourceChanged(
                f"{self._path} can't be found any more: {error.strerror}", source=self._path
            ) from error
        if _version(status) != _version(self._status):
            raise _changed_error(self._path, self._status, status)

    def thread_reader(self) -> ThreadReader:
        """Return functions for a worker thread, which has a buffer of its own."""
        buffer, loop = memoryview(b""), asyncio.get_running_loop()

        def read(position: int, size: int) -> memoryview:
            nonlocal buffer
            if len(buffer) < size:
                buffer = memoryview(bytearray(size))
            block = buffer[:size]
            try:
                count = self._read(position, block)
            except OSError:
                # Waits for a free descriptor, or raises the error for the caller.
                count = await_in_loop(loop, partial(self.read_into, position, block))
            return block[:count]

        return ThreadReader(read, self._check)

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


async def open_path(
    path: str,
    stack: AsyncExitStack,
    descriptors: Descriptors,
    *,
    after_wait: Callable[[], Awaitable[None]] | None = None,
) -> PathSource:
    """Open a file; the stack closes it.

    Args:
        path: of the file.
        stack: closes the file.
        descriptors: waits for a free descriptor.
        after_wait: called after each of these waits.

    Raises:
        SourceNotReadable: it doesn't exist, isn't a regular file, or may not be read.
        TooManyOpenFiles: no descriptor was free.
    """
    source = PathSource(path, descriptors)
    stack.push_async_callback(source.aclose)
    finding = f"{path!r} can't be opened"
    try:
        await descriptors.open_file(source.open, finding, after_wait=after_wait)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return source


def _open_regular(path: str) -> tuple[FileIO, os.stat_result]:
    # Checked first, because opening a pipe waits for its writer.
    _check_regular(path, os.stat(path))  # noqa: PTH116 - `Path` takes "" for a folder
    # Unbuffered: blocks are large, and a buffer would only add a copy.
    file = FileIO(path)
    try:
        return file, os.fstat(file.fileno())
    except BaseException:
        file.close()
        raise


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
