"""Opens a source: a path, bytes, a stream or a file object.

A stream of unknown length is spooled, in memory up to 8 MiB and in a temporary file beyond that,
because the server needs the length before the first byte.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, cast

import aiofiles.tempfile

from livepeer_async.concurrency import Reservations, run_shielded
from livepeer_async.errors import ConfigurationError, SourceEmpty, SourceNotReadable
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.shortages import is_shortage
from livepeer_async.sources.file_object import READ_SIZE, FileObject, is_file_object
from livepeer_async.sources.files import OPEN_TIMEOUT, FileSource, enter_file, open_path
from livepeer_async.sources.source import (
    BytesSource,
    Source,
    SourceLike,
    check_length,
    check_source_length,
    source_name,
    view_of,
)
from livepeer_async.sources.streams import StreamSource, prefetch

# One part of Livepeer's storage: a shorter video is sent in one request anyway.
MAX_SPOOL_IN_MEMORY = 8 * 1024 * 1024


class _Wanted(NamedTuple):
    """What the caller says about a source."""

    name: str
    length: int | None
    max_length: int | None
    timeout: float | None


class SourcesInUse:
    """The file objects and iterators that the uploads of a client are reading."""

    def __init__(self) -> None:
        self._ids = Reservations[int]()

    @asynccontextmanager
    async def reserve(
        self, source: SourceLike, name: str | None = None
    ) -> AsyncGenerator[None, None]:
        """Keep a second upload from reading the same file object or iterator concurrently.

        Raises:
            ConfigurationError: another upload is reading it.
        """
        if not _has_position(source):
            yield
            return
        with self._ids.reserve(id(source)) as is_free:
            if not is_free:
                shown = source_name(source, default=name)
                message = f"{shown} is being uploaded already; use its path, or open it twice"
                raise ConfigurationError(message)
            yield


@asynccontextmanager
async def open_source(
    source: SourceLike,
    *,
    name: str | None = None,
    length: int | None = None,
    max_length: int | None = None,
    timeout: float | None = None,
    descriptors: Descriptors | None = None,
    after_wait: Callable[[], Awaitable[None]] | None = None,
) -> AsyncGenerator[Source, None]:
    """Open a source; files that this opens are closed again.

    Args:
        source: a path, bytes-like, an async iterable of bytes, or a binary file object.
        name: of a source that has none, such as bytes.
        length: bytes, if known for a stream; else it is spooled first.
        max_length: maximum number of bytes.
        timeout: seconds without a byte of a stream, or a response of an async file object, while
            one is wanted; `None` for no limit.
        descriptors: waits for free file descriptors.
        after_wait: called after each of these waits.

    Raises:
        SourceError: it can't be read, is empty, too large or too slow.
        ConfigurationError: its type can't be uploaded.
        TooManyOpenFiles: no file descriptor was free.
    """
    descriptors = descriptors or Descriptors()
    wanted = _Wanted(source_name(source, default=name), length, max_length, timeout)
    check_length(length, wanted.name)
    if length is not None:
        # Before the source is read.
        check_source_length(wanted.name, length, max_length)
    async with AsyncExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            path = os.fspath(source)
            opened: Source = await open_path(path, stack, descriptors, after_wait=after_wait)
        else:
            opened = await _open(source, wanted, stack, descriptors)
        _check(opened, wanted)
        yield opened


@asynccontextmanager
async def open_unspooled(
    source: SourceLike, *, length: int | None = None, max_length: int | None = None
) -> AsyncGenerator[Source, None]:
    """Open a stream or a file object without spooling a stream of unknown length.

    Args:
        source: an async iterable of bytes, or a binary file object.
        length: bytes, if known for a stream.
        max_length: maximum number of bytes that the server accepts.

    Raises:
        SourceError: it can't be read, or is a file object that is empty or too large.
        ConfigurationError: it has another type.
    """
    wanted = _Wanted(source_name(source), length, max_length, None)
    check_length(length, wanted.name)
    if isinstance(source, str | os.PathLike) or view_of(source, wanted.name) is not None:
        raise ConfigurationError(f"the length of a {type(source).__name__} can't be deferred")
    async with AsyncExitStack() as stack:
        found = await _open_object(source, wanted)
        opened = await _open_stream(found, wanted, stack)
        if length is not None or not opened.is_stream:
            _check(opened, wanted)
        yield opened


async def _open(
    source: SourceLike, wanted: _Wanted, stack: AsyncExitStack, descriptors: Descriptors
) -> Source:
    view = view_of(source, wanted.name)
    if view is not None:
        stack.callback(_release, view)
        return BytesSource(view, wanted.name)
    found = await _open_object(source, wanted)
    opened = await _open_stream(found, wanted, stack)
    if isinstance(opened, FileSource) or wanted.length is not None:
        return opened
    return await _spool(opened, wanted.max_length, stack, descriptors)


async def _open_object(source: SourceLike, wanted: _Wanted) -> FileSource | AsyncIterable[Any]:
    """Return a seekable file object as a source, any other as an async iterable.

    Raises:
        SourceNotReadable: it can't be read from its first byte.
        ConfigurationError: it has neither `read` nor `__aiter__`.
    """
    if is_file_object(source):
        file = FileObject(source, wanted.name, timeout=wanted.timeout)
        length = await file.measure(wanted.max_length)
        return file.blocks() if length is None else FileSource(file, length)
    if isinstance(source, AsyncIterable):
        return source
    raise ConfigurationError(
        f"can't upload a {type(source).__name__}; wanted a path, bytes, an async iterable of "
        "bytes or a binary file object"
    )


async def _open_stream(
    found: FileSource | AsyncIterable[Any], wanted: _Wanted, stack: AsyncExitStack
) -> FileSource | StreamSource:
    if isinstance(found, FileSource):
        return found
    blocks = await stack.enter_async_context(
        prefetch(found, name=wanted.name, timeout=wanted.timeout)
    )
    return StreamSource(blocks, length=wanted.length, name=wanted.name)


async def _spool(
    stream: StreamSource, max_length: int | None, stack: AsyncExitStack, descriptors: Descriptors
) -> FileSource:
    open_spool = partial(aiofiles.tempfile.SpooledTemporaryFile, max_size=MAX_SPOOL_IN_MEMORY)
    finding = "a temporary file can't be opened"
    spool = await descriptors.open_file(partial(enter_file, open_spool, stack), finding)
    name, length = stream.name, 0
    while count := await stream.available(length, READ_SIZE):
        block = bytearray(count)
        await stream.read_into(length, memoryview(block))
        length += count
        check_source_length(name, length, max_length)
        stream.release(length)
        try:
            # Shielded: closing it during a write in a thread leaves the new file on disk open.
            await run_shielded(partial(_write, spool, block, descriptors), grace=OPEN_TIMEOUT)
        except OSError as error:
            raise SourceNotReadable(
                f"{name} can't be kept in a temporary file: {error.strerror}", source=name
            ) from error
    source = FileSource(FileObject(spool, name), length)
    # The temporary file is deleted with this upload, and the stream is exhausted.
    source.is_replayable = False
    return source


async def _write(spool: Any, block: bytearray, descriptors: Descriptors) -> None:
    try:
        await spool.write(block)
    except OSError as error:
        if not is_shortage(error):
            raise
        # The block is in memory, and only the temporary file couldn't be opened.
        await descriptors.open_file(spool.rollover, "a temporary file can't be opened")


def _check(source: Source, wanted: _Wanted) -> None:
    if source.length == 0:
        raise SourceEmpty(f"{source.name} is empty; wanted a video", source=source.name)
    check_source_length(source.name, source.length, wanted.max_length)
    if wanted.length is not None and wanted.length != source.length:
        raise ConfigurationError(
            f"length is {wanted.length}, but {source.name} has {source.length} bytes; omit length"
        )


def _has_position(source: object) -> bool:
    if isinstance(source, str | os.PathLike):
        return False
    try:
        memoryview(cast("bytes", source)).release()
    except TypeError:
        return is_file_object(source) or isinstance(source, AsyncIterator)
    except Exception:  # noqa: BLE001 - a closed buffer, which is reported when it is opened
        return False
    return False


def _release(view: memoryview) -> None:
    # An unreleased view keeps the caller from closing a memory map or resizing a bytearray.
    # BufferError: a worker thread is still hashing it.
    with suppress(BufferError):
        view.release()
