"""Makes a source of what the user has: a path, bytes, a stream or a file object.

A stream of unknown length is spooled, in memory up to one part and beyond it in a temporary file,
because the server wants the length before the first byte.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import aiofiles.tempfile

from livepeer_async.errors import ConfigurationError, SourceEmpty, SourceNotReadable
from livepeer_async.taskgroups import finish
from livepeer_async.uploads.files import (
    OPEN_TIMEOUT,
    FileSource,
    close_file,
    open_file,
    open_path,
    pieces_of,
)
from livepeer_async.uploads.source import (
    UNNAMED,
    BytesSource,
    Source,
    SourceLike,
    StreamSource,
    as_bytes,
    check_length,
    pulled,
    source_name,
)

# One part of Livepeer's storage: a shorter video travels in one request anyway.
SPOOL_IN_MEMORY = 8 * 1024 * 1024
SPOOL_BLOCK = 1024 * 1024


@asynccontextmanager
async def open_source(
    source: SourceLike, *, length: int | None = None, max_length: int | None = None
) -> AsyncGenerator[Source, None]:
    """Open what the user handed in; what was opened here is closed again.

    Args:
        source: a path, bytes-like, an async iterable of bytes, or a binary file object.
        length: bytes, for a stream that knows them; one that doesn't is spooled first.
        max_length: most bytes that the server takes.

    Raises:
        SourceError: it can't be read, is empty or is too large.
        ConfigurationError: it is nothing that can be uploaded.
    """
    async with AsyncExitStack() as stack:
        opened = await _open(source, length, max_length, stack)
        if opened.length == 0:
            raise SourceEmpty(f"{opened.name} is empty; a video has bytes", source=opened.name)
        check_length(opened.name, opened.length, max_length)
        if length is not None and length != opened.length:
            raise ConfigurationError(
                f"length is {length}, but {opened.name} has {opened.length} bytes; leave it out"
            )
        yield opened


async def _open(
    source: SourceLike, length: int | None, max_length: int | None, stack: AsyncExitStack
) -> Source:
    if isinstance(source, str | os.PathLike):
        return await open_path(os.fspath(source), stack)
    if isinstance(source, bytes | bytearray | memoryview):
        try:
            return BytesSource(memoryview(as_bytes(source, UNNAMED)), UNNAMED)
        except ValueError as error:  # a memoryview that was released
            raise SourceNotReadable(f"{UNNAMED} can't be read: {error}", source=UNNAMED) from error
    pieces: Any = source
    if hasattr(source, "read"):
        opened = await open_file(source)
        if opened is not None:
            return opened
        pieces = pieces_of(source)
    stream = as_stream(pieces)
    name = source_name(source)
    if length is not None:
        stream = await stack.enter_async_context(pulled(stream))
        return StreamSource(stream, length=length, name=name)
    return await _spool(stream, name, max_length, stack)


def as_stream(pieces: Any) -> AsyncIterable[Any]:
    """Take what was handed in for an async iterable of bytes.

    Raises:
        ConfigurationError: it is none.
    """
    if hasattr(pieces, "__aiter__"):
        stream: AsyncIterable[Any] = pieces
        return stream
    raise ConfigurationError(
        f"can't upload a {type(pieces).__name__}; wanted a path, bytes, an async iterable of "
        "bytes or a binary file object"
    )


async def _spool(
    pieces: AsyncIterable[Any], name: str, max_length: int | None, stack: AsyncExitStack
) -> FileSource:
    spools: list[Any] = []

    async def open_it() -> None:
        spools.append(await aiofiles.tempfile.SpooledTemporaryFile(max_size=SPOOL_IN_MEMORY))
        stack.push_async_callback(close_file, spools[0])

    # As in `open_path`: what is opened for one who was cancelled would be closed by nobody.
    await finish(open_it, once_cancelled=OPEN_TIMEOUT)
    (spool,) = spools
    length = 0
    stream = StreamSource(pieces, length=None, name=name)
    while count := await stream.available(length, SPOOL_BLOCK):
        block = bytearray(count)
        await stream.read_into(length, memoryview(block))
        length += count
        check_length(name, length, max_length)
        stream.release(length)
        try:
            # Closed while a thread writes, it would leave the file open that the thread moves to.
            await finish(partial(spool.write, block), once_cancelled=OPEN_TIMEOUT)
        except OSError as error:
            raise SourceNotReadable(
                f"{name} can't be kept in a temporary file: {error.strerror}", source=name
            ) from error
    spooled = FileSource(spool, name, length)
    # The spool goes with this upload, and the stream has been read to its end.
    spooled.is_replayable = False
    return spooled
