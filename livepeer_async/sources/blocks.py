"""Reads blocks ahead of the sender, into reusable buffers.

Each memory view is valid until the next one is requested. While one block is sent, the next is read
and, if wanted, hashed in worker threads.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from livepeer_async.concurrency import plain_task_group
from livepeer_async.errors import SourceChanged, SourceError
from livepeer_async.http.messages import Span
from livepeer_async.sources.source import Source

# CPU seconds per GiB sent over loopback by block size: 64 KiB 3.6, 256 KiB 1.7, 1 MiB 1.15. With
# blocks of 1 MiB 16 uploads take 62 MiB, with these 47.
BLOCK = 768 * 1024
BUFFERS = 2
# A block is handed on in slices, because the stall time-out counts from slice to slice: a whole
# block takes longer than the time-out on a link below 35 KB/s.
SMALLEST_SLICE = 16 * 1024
FIRST_SLICE = 128 * 1024
# A slice is copied twice on its way into the socket, so its size counts thrice in memory.
LARGEST_SLICE = 256 * 1024
QUICK_SECONDS = 0.1
SLOW_SECONDS = 2.0


def next_slice(size: int, seconds: float) -> int:
    """Size the next slice by the seconds that the last one took."""
    if seconds < QUICK_SECONDS:
        return min(size * 2, LARGEST_SLICE)
    return max(size // 2, SMALLEST_SLICE) if seconds > SLOW_SECONDS else size


class Digest:
    """The SHA-256 of a source, made of the blocks as they pass; a gap is read at the end."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._position = 0

    async def add(self, position: int, block: memoryview) -> None:
        """Take a block that begins at `position`; what was taken before is passed over."""
        known = self._position - position
        if 0 <= known < len(block):
            await anyio.to_thread.run_sync(self._sha256.update, block[known:])
            self._position = position + len(block)

    async def finish(self, source: Source) -> str:
        """Read what no chunk has carried, and give the digest in hex.

        Raises:
            SourceError: the rest can't be read.
        """
        buffer = memoryview(bytearray(BLOCK))
        while self._position < source.length:
            count = await source.read_into(self._position, buffer)
            if not count:
                raise _shorter(source, self._position)
            await self.add(self._position, buffer[:count])
            source.release(self._position)
        return self._sha256.hexdigest()


class SpanReader:
    """Async iterator over a span, slice by slice; a slice is valid until the next is asked for.

    Attributes:
        slice_size: bytes of the next slice; hand it to the next chunk's `read_ahead`.
        sent: bytes that were asked for after, and so accepted by the socket.
        began_at: when the first slice was asked for, on the monotonic clock.
        accepted_at: when the socket had accepted the last one.
    """

    def __init__(self, slice_size: int, on_sent: Callable[[int], None]) -> None:
        self._on_sent = on_sent
        self.slice_size = slice_size
        self.sent = 0
        self.error: SourceError | None = None
        self.began_at: float | None = None
        self.accepted_at: float | None = None
        self._put_full, self._get_full = anyio.create_memory_object_stream[memoryview](BUFFERS)
        self._put_empty, self._get_empty = anyio.create_memory_object_stream[memoryview](BUFFERS)
        self._block = memoryview(b"")
        self._position = 0
        self._handed = 0
        self._handed_at = 0.0

    def __aiter__(self) -> AsyncIterator[memoryview]:
        return self

    async def __anext__(self) -> memoryview:
        if self.began_at is None:
            self.began_at = time.monotonic()
        if self._handed:
            self.sent += self._handed
            self._on_sent(self.sent)
            self.slice_size = next_slice(self.slice_size, time.monotonic() - self._handed_at)
        if self._position == len(self._block):
            await self._next_block()
        piece = self._block[self._position : self._position + self.slice_size]
        self._position += len(piece)
        self._handed, self._handed_at = len(piece), time.monotonic()
        return piece

    async def _next_block(self) -> None:
        if len(self._block):
            self._put_empty.send_nowait(memoryview(self._block.obj))
        self._handed = self._position = 0
        self._block = memoryview(b"")
        try:
            self._block = await self._get_full.receive()
        except anyio.EndOfStream:
            if self.error is not None:
                raise self.error from None
            self.accepted_at = time.monotonic()
            raise StopAsyncIteration from None

    async def fill(self, source: Source, span: Span, digest: Digest | None) -> None:
        """Read the span into whichever buffer is empty, until its end or an error."""
        for _ in range(BUFFERS):
            self._put_empty.send_nowait(memoryview(bytearray(min(BLOCK, span.size))))
        position = span.start
        try:
            if span.size > BLOCK or span.stop < source.length:
                # Else it is looked at after the only block is read.
                await source.check()
            while position < span.stop:
                buffer = await self._get_empty.receive()
                wanted = min(len(buffer), span.stop - position)
                count = await source.read_into(position, buffer[:wanted])
                if not count:
                    raise _shorter(source, position)
                if position + count >= source.length:
                    # Before the last block leaves: a source that changed must not be completed.
                    await source.check()
                block = buffer[:count]
                if digest is not None:
                    await digest.add(position, block)
                await self._put_full.send(block)
                position += count
        except SourceError as error:
            self.error = error
        self._put_full.close()

    def close(self) -> None:
        """Let go of the buffers."""
        for stream in (self._put_full, self._get_full, self._put_empty, self._get_empty):
            stream.close()


@asynccontextmanager
async def read_ahead(
    source: Source,
    span: Span,
    *,
    slice_size: int = FIRST_SLICE,
    digest: Digest | None = None,
    on_sent: Callable[[int], None] = lambda _: None,
) -> AsyncGenerator[SpanReader, None]:
    """Read a span while it is being sent.

    Args:
        source: what to read.
        span: which bytes.
        slice_size: bytes of the first slice.
        digest: takes each block that it hasn't seen.
        on_sent: told the bytes of the span that the socket has taken so far.

    Raises:
        SourceError: the source ended early or can't be read; from the iterator.
    """
    blocks = SpanReader(slice_size, on_sent)
    try:
        async with plain_task_group() as tasks:
            tasks.start_soon(blocks.fill, source, span, digest)
            yield blocks
            tasks.cancel_scope.cancel()
    finally:
        blocks.close()


def _shorter(source: Source, position: int) -> SourceChanged:
    return SourceChanged(
        f"{source.name} ended at byte {position}; it had, or announced, {source.length} bytes",
        source=source.name,
    )
