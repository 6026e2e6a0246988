"""Reads blocks ahead of the sender, into reusable buffers.

Each memory view is valid until the next one is requested. While one block is sent, the next one is
read and, if wanted, hashed in worker threads. A stream has buffers and a task of its own.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.to_thread

from livepeer_async.concurrency import Channel, plain_task_group
from livepeer_async.errors import SourceChanged, SourceError
from livepeer_async.http.messages import Span
from livepeer_async.http.streams import ThreadBody
from livepeer_async.sources.source import Source, ThreadReader
from livepeer_async.sources.streams import StreamSource

# CPU seconds per GiB sent over loopback by block size: 64 KiB 3.6, 256 KiB 1.7, 1 MiB 1.15. With
# blocks of 1 MiB 16 uploads take 62 MiB, with these 47.
BLOCK = 768 * 1024
BUFFERS = 2
# Blocks are sent in slices, because the stall timeout applies to each slice: a whole block takes
# longer than the timeout below 35 KB/s.
MIN_SLICE = 16 * 1024
FIRST_SLICE = 128 * 1024
# A slice is copied twice on its way into the socket, so its size counts three times in memory.
MAX_SLICE = 256 * 1024
FAST_SECONDS = 0.1
SLOW_SECONDS = 2.0


def next_slice(size: int, seconds: float) -> int:
    """Return the size of the next slice, given the seconds that the last one took."""
    if seconds < FAST_SECONDS:
        return min(size * 2, MAX_SLICE)
    return max(size // 2, MIN_SLICE) if seconds > SLOW_SECONDS else size


class Digest:
    """The SHA-256 of a source, computed from the blocks that are sent; `finish` reads the rest."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._position = 0
        # The thread of a cancelled request may still hash a block that is already sent again.
        self._lock = threading.Lock()

    def add(self, position: int, block: memoryview) -> None:
        """Hash the new bytes of the block at `position`; ignore it if it leaves a gap.

        Call it in a worker thread.
        """
        with self._lock:
            known = self._position - position
            if 0 <= known < len(block):
                self._sha256.update(block[known:])
                self._position = position + len(block)

    async def finish(self, source: Source) -> str:
        """Read and hash the rest of the source, and return the digest in hex.

        Raises:
            SourceError: the rest can't be read.
        """
        buffer = memoryview(bytearray(BLOCK))
        while self._position < source.length:
            count = await source.read_into(self._position, buffer)
            if not count:
                raise _too_short(source, self._position)
            await anyio.to_thread.run_sync(self.add, self._position, buffer[:count])
            source.release(self._position)
        return self._sha256.hexdigest()


class SpanReader:
    """Async iterator over the slices of a span; a slice is valid until the next one is requested.

    Args:
        open_blocks: returns the blocks of the span.
        slice_size: bytes of the first slice.
        on_sent: called with the bytes that the socket accepted so far.
        thread_blocks: reads the blocks in a worker thread instead; `None` if that can't be done.

    Attributes:
        slice_size: bytes of the next slice; pass it to the next chunk's `read_ahead`.
        sent: bytes that the socket accepted: those of all slices but the last requested one.
        began_at: when the first slice was requested, on the monotonic clock.
        accepted_at: when the socket had accepted the last slice.
    """

    def __init__(
        self,
        open_blocks: Callable[[], AsyncIterator[memoryview]],
        slice_size: int,
        on_sent: Callable[[int], None],
        thread_blocks: ThreadBlocks | None = None,
    ) -> None:
        self._on_sent = on_sent
        self.slice_size = slice_size
        self.sent = 0
        self.began_at: float | None = None
        self.accepted_at: float | None = None
        self._open_blocks = open_blocks
        self._blocks: AsyncIterator[memoryview] | None = None
        self._thread_blocks = thread_blocks
        self._block = memoryview(b"")
        self._position = 0
        self._pending = 0
        self._sliced_at = 0.0

    def __aiter__(self) -> AsyncIterator[memoryview]:
        return self

    async def __anext__(self) -> memoryview:
        if self.began_at is None:
            self.began_at = time.monotonic()
        if self._pending:
            self.record_sent(self.sent + self._pending)
            self.slice_size = next_slice(self.slice_size, time.monotonic() - self._sliced_at)
        if self._position == len(self._block):
            await self._next_block()
        block_slice = self._block[self._position : self._position + self.slice_size]
        self._position += len(block_slice)
        self._pending, self._sliced_at = len(block_slice), time.monotonic()
        return block_slice

    async def _next_block(self) -> None:
        self._pending = self._position = 0
        self._block = memoryview(b"")
        if self._blocks is None:
            self._blocks = self._open_blocks()
        try:
            self._block = await anext(self._blocks)
        except StopAsyncIteration:
            self.accepted_at = time.monotonic()
            raise

    def in_thread(self) -> ThreadBody | None:
        """Return the span for a worker thread; `None` if only the event loop can read it."""
        blocks = self._thread_blocks
        return None if blocks is None else _SpanInThread(self, blocks)

    def record_sent(self, count: int) -> None:
        """Record that the socket accepted `count` bytes so far."""
        if count != self.sent:
            self.sent = count
            self._on_sent(count)


class _SpanInThread:
    """A span that a worker thread reads instead of the event loop."""

    def __init__(self, reader: SpanReader, blocks: ThreadBlocks) -> None:
        self._reader = reader
        self._blocks = blocks
        self.record_sent = reader.record_sent

    def read(self, size: int) -> memoryview:
        if self._reader.began_at is None:
            self._reader.began_at = time.monotonic()
        return self._blocks.read(size)

    def check(self) -> None:
        """A source doesn't end a body between two reads."""

    def record_end(self) -> None:
        self._reader.accepted_at = time.monotonic()


class ThreadBlocks:
    """The blocks of a span of a file or of bytes, read in a worker thread."""

    def __init__(
        self, source: Source, reader: ThreadReader, span: Span, digest: Digest | None
    ) -> None:
        self._source = source
        self._reader = reader
        self._span = span
        self._position = span.start
        self._digest = digest

    def read(self, size: int) -> memoryview:
        """Return the next block, of at most `size` bytes; none at the end."""
        source, span, position = self._source, self._span, self._position
        if position == span.stop:
            return memoryview(b"")
        size = min(size, span.stop - position)
        if position == span.start and (size < span.size or span.stop < source.length):
            # A source of a single block is only checked after the read.
            self._reader.check()
        block = self._reader.read(position, size)
        if not block:
            raise _too_short(source, position)
        self._position += len(block)
        if self._position >= source.length:
            # Before the last block is sent: a changed source must not be completed.
            self._reader.check()
        if self._digest is not None:
            self._digest.add(position, block)
        return block


class FileBlocks:
    """The blocks of a span of a file or of bytes, read ahead into two buffers."""

    def __init__(self) -> None:
        self._error: SourceError | None = None
        self._filled_buffers = Channel[memoryview]()
        self._free_buffers = Channel[memoryview]()
        self._block = memoryview(b"")

    def __aiter__(self) -> AsyncIterator[memoryview]:
        return self

    async def __anext__(self) -> memoryview:
        if len(self._block):
            self._free_buffers.send_nowait(memoryview(self._block.obj))
        self._block = memoryview(b"")
        with suppress(anyio.EndOfStream):
            self._block = await self._filled_buffers.receive()
            return self._block
        # Outside of a handler, which would replace the error's context.
        raise self._error or StopAsyncIteration

    async def fill(self, source: Source, span: Span, digest: Digest | None) -> None:
        """Read the span into the buffers as they become empty, until its end or an error."""
        for _ in range(BUFFERS):
            self._free_buffers.send_nowait(memoryview(bytearray(min(BLOCK, span.size))))
        position = span.start
        try:
            if span.size > BLOCK or span.stop < source.length:
                # A source of a single block is only checked after the read.
                await source.check()
            while position < span.stop:
                buffer = await self._free_buffers.receive()
                count = await source.read_into(position, buffer[: span.stop - position])
                if not count:
                    raise _too_short(source, position)
                if position + count >= source.length:
                    # Before the last block is sent: a changed source must not be completed.
                    await source.check()
                block = buffer[:count]
                if digest is not None:
                    await anyio.to_thread.run_sync(digest.add, position, block)
                self._filled_buffers.send_nowait(block)
                position += count
        except SourceError as error:
            self._error = error
        self._filled_buffers.close()


class StreamBlocks:
    """The blocks of a span of a stream, which are the stream's own buffers."""

    def __init__(self, source: StreamSource, span: Span, digest: Digest | None) -> None:
        self._source = source
        self._position, self._stop = span.start, span.stop
        self._digest = digest

    def __aiter__(self) -> AsyncIterator[memoryview]:
        return self

    async def __anext__(self) -> memoryview:
        position = self._position
        if position == self._stop:
            raise StopAsyncIteration
        block = await self._source.view(position, self._stop - position)
        if not block:
            raise _too_short(self._source, position)
        self._position += len(block)
        if self._position >= self._source.length:
            # Before the last block is sent: a changed source must not be completed.
            await self._source.check()
        if self._digest is not None:
            await anyio.to_thread.run_sync(self._digest.add, position, block)
        return block


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
        source: the source to read.
        span: its bytes to read.
        slice_size: bytes of the first slice.
        digest: hashes the blocks.
        on_sent: called with the number of bytes of the span that the socket accepted so far.

    Raises:
        SourceError: from the iterator; the source is too short or can't be read.
    """
    if isinstance(source, StreamSource):
        yield SpanReader(lambda: StreamBlocks(source, span, digest), slice_size, on_sent)
        return
    reader = source.thread_reader()
    thread_blocks = None if reader is None else ThreadBlocks(source, reader, span, digest)
    async with plain_task_group() as tasks:

        def open_blocks() -> FileBlocks:
            blocks = FileBlocks()
            tasks.start_soon(blocks.fill, source, span, digest)
            return blocks

        yield SpanReader(open_blocks, slice_size, on_sent, thread_blocks)
        tasks.cancel_scope.cancel()


def _too_short(source: Source, position: int) -> SourceChanged:
    return SourceChanged(
        f"{source.name} ended at byte {position}; it had, or announced, {source.length} bytes",
        source=source.name,
    )
