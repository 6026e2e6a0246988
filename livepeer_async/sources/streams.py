"""Streams as sources: an async iterable whose unacknowledged bytes stay in memory.

A `Prefetcher` reads the iterable in a task of its own, a little ahead of the sender, and joins the
pieces that are ready. A `StreamSource` keeps these bytes until they are released, in segments of a
fixed size: a buffer that grows would be copied, and would need twice its size meanwhile.

A stream of any length takes one chunk (8 MiB at Livepeer), one segment and `READ_AHEAD` bytes.
"""

from __future__ import annotations

import mmap
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import anyio
import anyio.lowlevel

from livepeer_async.concurrency import Notifier, plain_task_group
from livepeer_async.errors import (
    SourceChanged,
    SourceError,
    SourceNotReadable,
    SourceNotReplayable,
)
from livepeer_async.http.messages import Span
from livepeer_async.redaction import redact
from livepeer_async.sources.source import Bytes, Source, as_bytes, source_name, timed_out

# Bytes that are read ahead of the sender, and joined. Sent one by one, pieces of 16 KiB take four
# times the CPU time of pieces of 256 KiB.
READ_AHEAD = 256 * 1024
# Iterations of the event loop without another piece, after which those at hand are sent. A piece
# takes two or three from the socket through an ASGI server, so this adds no delay of its own.
JOIN_STEPS = 4
SEGMENT = 256 * 1024


class StreamSource(Source):
    """An async iterable of bytes; bytes that weren't released yet are buffered.

    Args:
        blocks: the bytes; `prefetch` makes them survive the cancellation of a reader.
        length: bytes, if known.
        name: by default that of `blocks`.

    Attributes:
        is_open_ended: whether the length isn't known yet; `length` is 0 until then.
    """

    is_stream = True
    is_replayable = False

    def __init__(
        self, blocks: AsyncIterable[Any], *, length: int | None, name: str | None = None
    ) -> None:
        super().__init__(name or source_name(blocks), length or 0)
        self.is_open_ended = length is None
        try:
            self._blocks = aiter(blocks)
        except Exception as error:
            raise SourceNotReadable(
                f"{self.name} can't be iterated: {redact(repr(error))}", source=self.name
            ) from error
        self._buffer = _SegmentedBuffer()
        self._is_broken = self._is_slow = False
        # The first byte of the latest chunk.
        self._waited_for: int | None = None

    @property
    def can_restart(self) -> bool:
        """Whether nothing was released yet."""
        return self._buffer.start == 0

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Copy buffered bytes, or the next block; errors as for `view`."""
        found, count = await self.view(position, len(buffer)), 0
        while len(found):
            buffer[count : count + len(found)] = found
            count += len(found)
            found = self._buffer.view(position + count, len(buffer) - count)
        return count

    async def view(self, position: int, size: int) -> memoryview:
        """Return at most `size` bytes from `position` on without a copy; none at the end.

        The view is valid until these bytes are released.

        Raises:
            SourceNotReplayable: `position` was released.
            SourceNotReadable: the iterable failed, or yields no bytes.
            SourceTimedOut: the iterable yielded no byte for too long.
        """
        if position < self._buffer.start:
            raise SourceNotReplayable(
                f"{self.name}: bytes from {position} on are needed again, but a stream keeps only "
                f"those from {self._buffer.start} on; use a file or bytes instead",
                source=self.name,
            )
        if not await self.available(position, 1):
            return memoryview(b"")
        return self._buffer.view(position, size)

    async def available(self, position: int, wanted: int) -> int:
        """Buffer `wanted` bytes from `position` on, and return how many there are.

        While the length is unknown, one byte more is read to detect the end with the last byte.
        """
        stop = position + wanted
        while self.end < (stop + 1 if self.is_open_ended else stop):
            if not await self._read_block():
                break
        return min(self.end, stop) - position

    async def check(self) -> None:
        """Check, once all bytes were read, that the stream isn't longer than announced."""
        if self.is_open_ended or self.end < self.length:
            return
        while self.end == self.length:
            if not await self._read_block():
                return
        raise SourceChanged(
            f"{self.name} has more than the {self.length} bytes that were announced",
            source=self.name,
        )

    def release(self, position: int) -> None:
        """Drop the bytes before `position`."""
        self._buffer.release(position)

    @property
    def end(self) -> int:
        """The position after the last byte that was read from the iterable."""
        return self._buffer.end

    async def wait_for_chunk(self, chunk: Span, *, max_seconds: float) -> None:
        """Wait until a chunk can be sent: for its first byte, and for all if the stream is slow.

        A server ends a request that takes too long (Livepeer's after 300 s), and its storage may
        have kept nothing of the chunk.

        Args:
            chunk: its bytes; empty for a request without any.
            max_seconds: time in which a stream that isn't slow yields the rest, at its rate so far.
        """
        if not (chunk.size and await self.available(chunk.start, 1)):
            return
        is_repeated, self._waited_for = self._waited_for == chunk.start, chunk.start
        missing = chunk.stop - self.end
        if missing > 0:
            # Perhaps the stream was too slow for the request of the same bytes that failed.
            blocks = self._blocks
            seconds = blocks.seconds_for(missing) if isinstance(blocks, Prefetcher) else 0.0
            self._is_slow = self._is_slow or is_repeated or seconds > max_seconds
        if self._is_slow:
            await self.available(chunk.start, chunk.size)

    async def _read_block(self) -> bool:
        if self._is_broken:
            raise SourceNotReadable(f"{self.name} broke off earlier", source=self.name)
        # A generator that an error or a cancellation ended looks like one that is exhausted.
        self._is_broken = not isinstance(self._blocks, Prefetcher)
        try:
            block = await anext(self._blocks, None)
        except Exception as error:
            # A prefetcher raises its error again, with the cause.
            if isinstance(error, SourceError):
                raise
            raise SourceNotReadable(
                f"{self.name} broke off: {redact(repr(error))}", source=self.name
            ) from error
        self._is_broken = False
        if block is None:
            self._buffer.trim()
            if self.is_open_ended:
                self.is_open_ended, self.length = False, self.end
            return False
        self._buffer.append(memoryview(as_bytes(block, self.name)))
        return True


class _SegmentedBuffer:
    """The bytes from `start` to `end` of a stream, in segments that are used again.

    A segment is a map of its own: in the heap, segments of several streams leave gaps, which took
    1.3 MiB a stream.
    """

    def __init__(self) -> None:
        self.start = self.end = 0
        # The first segment begins at a multiple of SEGMENT.
        self._segments = deque[mmap.mmap]()
        self._first = 0
        self._free: list[mmap.mmap] = []

    def append(self, block: memoryview) -> None:
        """Copy a block to the end."""
        while len(block):
            offset = self.end % SEGMENT
            if self.end - self._first == len(self._segments) * SEGMENT:
                self._segments.append(self._free.pop() if self._free else mmap.mmap(-1, SEGMENT))
            count = min(len(block), SEGMENT - offset)
            memoryview(self._segments[-1])[offset : offset + count] = block[:count]
            self.end += count
            block = block[count:]

    def view(self, position: int, size: int) -> memoryview:
        """Return at most `size` of the bytes from `position` on, up to the end of a segment."""
        size = min(size, self.end - position)
        if size <= 0:
            return memoryview(b"")
        index, offset = divmod(position - self._first, SEGMENT)
        stop = min(offset + size, SEGMENT)
        return memoryview(self._segments[index])[offset:stop]

    def release(self, position: int) -> None:
        """Drop the bytes before `position`."""
        self.start = max(self.start, position)
        while self._segments and self._first + SEGMENT <= self.start:
            self._free.append(self._segments.popleft())
            self._first += SEGMENT

    def trim(self) -> None:
        """Free the segments without bytes, because no more will come."""
        self._free.clear()


class Prefetcher:
    """The bytes of a stream, read in a task that a cancelled reader doesn't affect.

    Iterating it yields the pieces that are ready, joined.

    Args:
        name: of the stream.
        timeout: seconds without a byte after which the stream has failed, while bytes are wanted.
    """

    def __init__(self, name: str, *, timeout: float | None = None) -> None:
        self._name = name
        self._timeout = inf if timeout is None else timeout
        self._pieces = deque[bytes]()
        self._size = 0
        self._has_ended = False
        self._error: Exception | None = None
        self._changed = Notifier()
        # For the rate: bytes, and seconds in which the stream let the upload wait.
        self._received = 0
        self._waited = 0.0
        # Ends the reading once bytes were wanted, and none came, for too long.
        self._scope = anyio.CancelScope()
        self._silence = 0.0
        self._wanted_since: float | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not (self._size or self._has_ended):
            await self._wait_for_bytes()
        await self._join()
        if self._size:
            return self._take()
        # Outside of a handler, which would replace the context of the caller's exception.
        raise self._error or StopAsyncIteration

    def seconds_for(self, size: int) -> float:
        """Estimate the seconds in which the stream yields `size` more bytes."""
        if self._has_ended or not self._waited:
            return 0.0
        return self._waited * size / max(1, self._received)

    async def read(self, blocks: AsyncIterable[Any]) -> None:
        """Read the stream, at most `READ_AHEAD` bytes ahead of the iterator."""
        with self._scope as scope:
            try:
                await self._read(blocks)
            except SourceError as error:
                self._error = error
            except Exception as error:  # noqa: BLE001 - raised by the iterator
                self._error = SourceNotReadable(
                    f"{self._name} broke off: {redact(repr(error))}", source=self._name
                )
                self._error.__cause__ = error
        # A generator may turn the cancellation into an error of its own.
        if scope.cancelled_caught or (self._error and scope.cancel_called):
            self._error = timed_out(self._name, self._timeout, self._received)
        self._has_ended = True
        self._changed.notify()

    async def _read(self, blocks: AsyncIterable[Any]) -> None:
        # One scope round all iterations: a generator may have scopes of its own, which must not
        # outlive a scope of ours that is entered for a single step.
        began = time.monotonic()
        async for block in blocks:
            piece = as_bytes(block, self._name)
            # An empty piece is no progress, and a stream of them must not occupy the loop.
            if not len(piece):
                await anyio.lowlevel.checkpoint()
                continue
            self._waited += time.monotonic() - began
            self._end_silence()
            await self._put(piece)
            began = time.monotonic()

    async def _wait_for_bytes(self) -> None:
        """Wait for a byte or the end, and limit the time without one.

        It doesn't pass while no byte is wanted: in a pause, and while the server is slower.
        """
        self._wanted_since = anyio.current_time()
        self._scope.deadline = self._wanted_since + self._timeout - self._silence
        try:
            while not (self._size or self._has_ended):
                await self._changed.wait()
        finally:
            # A cancelled request is sent again, and waits for the same byte.
            self._silence += anyio.current_time() - self._wanted_since
            self._scope.deadline, self._wanted_since = inf, None

    def _end_silence(self) -> None:
        self._silence, self._scope.deadline = 0.0, inf
        if self._wanted_since is not None:
            self._wanted_since = anyio.current_time()

    async def _put(self, piece: Bytes) -> None:
        for part in _split(piece):
            while self._size >= READ_AHEAD:
                await self._changed.wait()
            self._pieces.append(part)
            self._size += len(part)
            self._received += len(part)
            self._changed.notify()

    async def _join(self) -> None:
        """Wait for more pieces, as long as each few iterations of the event loop bring one."""
        steps = 0
        while steps < JOIN_STEPS and self._size < READ_AHEAD and not self._has_ended:
            before = self._size
            await anyio.lowlevel.checkpoint()
            steps = 0 if self._size > before else steps + 1

    def _take(self) -> bytes:
        joined = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._changed.notify()
        return joined


def _split(piece: Bytes) -> Iterator[bytes]:
    """Yield at most `READ_AHEAD` bytes each, copied: an iterable may use its buffer again."""
    if isinstance(piece, bytes) and len(piece) <= READ_AHEAD:
        yield piece
        return
    view = memoryview(piece)
    for start in range(0, len(view), READ_AHEAD):
        yield bytes(view[start : start + READ_AHEAD])


@asynccontextmanager
async def prefetch(
    blocks: AsyncIterable[Any], *, name: str, timeout: float | None = None
) -> AsyncGenerator[Prefetcher, None]:
    """Read a stream a little ahead, in a task of its own.

    A reader is cancelled whenever a connection breaks. If the cancellation reached the user's
    generator, it would end the generator, and no retry could continue the upload.

    Args:
        blocks: the stream.
        name: its name.
        timeout: seconds without a byte, while bytes are wanted, after which it has failed.
    """
    prefetcher = Prefetcher(name, timeout=timeout)
    async with plain_task_group() as tasks:
        tasks.start_soon(prefetcher.read, blocks)
        yield prefetcher
        tasks.cancel_scope.cancel()
