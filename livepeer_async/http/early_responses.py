"""Early responses, which arrive while the request body is still being sent.

httpcore reads a connection only after it has sent the whole body. A server that rejects a body
(401, 403, 410, 413) often responds at once, stops reading and then resets the connection, as Go's
net/http does. The response is then lost, and a rejection looks like a network error. This module
reads the connection while the body is sent. When a final response starts, it raises the
`WriteError` after which httpcore reads the response.

Source: RFC 9112, 9.3 and 9.6 (monitor the connection while sending; servers that close early).
"""

from __future__ import annotations

import select
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from livepeer_async.concurrency import plain_task_group

READ_SIZE = 64 * 1024
HTTP2_PREFACE = b"PRI "
_STATUS_LINE = len("HTTP/1.1 200")
# Cycles of the event loop after which received bytes have reached the reader, even over TLS.
_LOOP_CYCLES = 10
# Smaller bodies need few writes; a check before each write is sufficient.
MIN_CONCURRENT_READ_SIZE = 128 * 1024
# Bytes that are buffered; a server may send any number of informational responses.
MAX_RECEIVED = 64 * 1024
# A cancelled write over TLS makes the stream unreadable, so the rest of the response is read first,
# until a pause of this many seconds.
TLS_QUIET_SECONDS = 0.2


@asynccontextmanager
async def detect_early_response(size: int) -> AsyncGenerator[None, None]:
    """Read the connection while the request in the block sends its body.

    Args:
        size: size of the body.
    """
    async with plain_task_group() as tasks:
        reader = _EarlyReader(tasks, reads_concurrently=size > MIN_CONCURRENT_READ_SIZE)
        token = _READER.set(reader)
        try:
            yield
        finally:
            _READER.reset(token)
            tasks.cancel_scope.cancel()


def start_body() -> None:
    """Mark the start of the body; earlier writes are the head, or belong to a proxy."""
    reader = _READER.get()
    if reader is not None:
        reader.is_sending_body = True


def wrap_stream(stream: Any) -> None:
    """Make a new connection readable while a body is sent.

    Args:
        stream: the httpcore network stream that the trace event of a new connection provides.
    """
    buffered = _BufferedStream(stream)
    stream.read, stream.write = buffered.read, buffered.write


def is_final_response(received: bytes | bytearray) -> bool:
    """Whether received bytes contain more than informational responses (1xx).

    Source: RFC 9110, 15.2: a client must be able to parse any number of them.
    """
    start = 0
    while received.startswith(b"HTTP/1.", start) and received[start + 9 : start + 10] == b"1":
        end = received.find(b"\r\n\r\n", start)
        if end < 0:
            return False
        start = end + 4
    return len(received) - start >= _STATUS_LINE


class _EarlyReader:
    """Reads the connection of one request while its body is sent.

    Args:
        tasks: task group of the reading task.
        reads_concurrently: whether to read from the first write on, or only once the stream is
            readable.
    """

    def __init__(self, tasks: TaskGroup, *, reads_concurrently: bool) -> None:
        self._tasks = tasks
        self._reads_concurrently = reads_concurrently
        self._reading = anyio.CancelScope()
        self._writing = anyio.CancelScope()
        self._stopped: anyio.Event | None = None
        self.is_sending_body = False
        self.has_response = False

    def start(self, stream: _BufferedStream) -> None:
        """Start to read, unless already started."""
        if self._stopped is not None or not (self._reads_concurrently or stream.is_readable):
            return
        self._stopped = anyio.Event()
        stream.reader = self
        self._tasks.start_soon(self._read, stream, self._stopped)

    async def stop(self) -> None:
        """Stop reading; the stream keeps the bytes."""
        self._reading.cancel()
        if self._stopped is not None:
            await self._stopped.wait()

    def writing(self) -> anyio.CancelScope:
        """Return the scope for a write, which an early response cancels."""
        self._writing = anyio.CancelScope()
        return self._writing

    async def _read(self, stream: _BufferedStream, stopped: anyio.Event) -> None:
        try:
            with self._reading:
                self.has_response = await stream.read_ahead()
                if self.has_response and stream.is_tls:
                    await stream.read_until_quiet()
        except Exception:  # noqa: BLE001, S110 - the write or the next read raises it too
            pass
        finally:
            stopped.set()
        if self.has_response:
            self._writing.cancel()


class _BufferedStream:
    """The `read` and `write` of an httpcore network stream, with a buffer for early responses."""

    def __init__(self, stream: Any) -> None:
        self._read, self._write = stream.read, stream.write
        self._get_extra_info = stream.get_extra_info
        library = sys.modules[type(stream).__module__.partition(".")[0]]
        self._write_error: type[Exception] = library.WriteError
        self._received = bytearray()
        self._is_at_end = False
        self._is_http2 = False
        self.reader: _EarlyReader | None = None
        self._poll = _create_poll(self._get_extra_info("socket"))

    @property
    def is_readable(self) -> bool:
        """Whether the kernel has received bytes.

        This is checked before each write; httpcore's own check takes 20 us.
        """
        if self._poll is None:
            return bool(self._get_extra_info("is_readable"))
        return bool(self._poll.poll(0))

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self._get_extra_info("ssl_object") is not None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return buffered bytes first, then read."""
        reader, self.reader = self.reader, None
        if reader is not None:
            await reader.stop()
        if self._received:
            received = bytes(self._received[:max_bytes])
            del self._received[:max_bytes]
            return received
        if self._is_at_end:
            return b""
        return bytes(await self._read(max_bytes, timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send, unless a final response has started.

        Raises:
            WriteError: a response has started; httpcore reads it next.
        """
        reader = _READER.get()
        # httpcore reads an HTTP/2 connection while it writes.
        self._is_http2 |= bytes(buffer[: len(HTTP2_PREFACE)]) == HTTP2_PREFACE
        if reader is None or self._is_http2 or not reader.is_sending_body:
            await self._write(buffer, timeout)
            return
        reader.start(self)
        await self._yield_to_reader(reader)
        if not reader.has_response:
            with reader.writing():
                await self._write(buffer, timeout)
        if reader.has_response:
            raise self._write_error("the server responded before the whole body was sent")

    async def read_ahead(self) -> bool:
        """Read until a final response has started or the server has closed its side.

        Returns:
            False if the buffer is full before that.
        """
        while not (self._is_at_end or is_final_response(self._received)):
            if len(self._received) >= MAX_RECEIVED:
                return False
            await self._read_more()
        return True

    async def read_until_quiet(self) -> None:
        """Read until nothing arrives for a while."""
        size = -1
        while size < len(self._received) < MAX_RECEIVED and not self._is_at_end:
            size = len(self._received)
            with anyio.move_on_after(TLS_QUIET_SECONDS):
                await self._read_more()

    async def _read_more(self) -> None:
        block = await self._read(READ_SIZE, None)
        self._received += block
        self._is_at_end = not block

    async def _yield_to_reader(self, reader: _EarlyReader) -> None:
        """Give the reader a chance to receive bytes that have arrived.

        asyncio closes a socket whose write fails, and discards the bytes in the kernel's buffer.
        """
        for _ in range(_LOOP_CYCLES):
            if reader.has_response or not self.is_readable:
                return
            await checkpoint()


def _create_poll(sock: Any) -> Any:
    """Return an object that polls a socket, or `None` if the socket or platform has none."""
    if sock is None or sock.fileno() < 0 or not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return poll


_READER: ContextVar[_EarlyReader | None] = ContextVar("_READER", default=None)
