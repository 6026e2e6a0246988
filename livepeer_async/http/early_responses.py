"""Responses that begin while the request body is still being sent.

httpcore reads a connection only once the whole body was sent. A server that refuses a body (401,
403, 410, 413) often answers at once, stops reading and then resets the connection, as Go's net/http
does; the response is then lost and a final refusal looks like a broken network. Here the connection
is read while the body is sent. When a final response begins the body is cut short by the
`WriteError` after which httpcore reads the response.

Source: RFC 9112, 9.3 and 9.6 (watch for a response while sending; servers that close early).
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
# Cycles of the event loop within which received bytes reach their reader, TLS included.
_LOOP_CYCLES = 10
# Shorter bodies leave in a few writes, and it is enough to look before each of them.
SHORTEST_READ_BESIDE = 128 * 1024
# Bytes that are kept; a server may send any number of informational responses.
MOST_RECEIVED = 64 * 1024
# Over TLS a write that is cancelled makes the stream unreadable. What follows the beginning of the
# response within so many seconds is read before that.
TLS_QUIET_SECONDS = 0.2


@asynccontextmanager
async def watching_for_response(size: int) -> AsyncGenerator[None, None]:
    """Watch for a response while the request within the block sends its body.

    Args:
        size: bytes of the body.
    """
    async with plain_task_group() as tasks:
        watch = _BodyWatch(tasks, reads_beside=size > SHORTEST_READ_BESIDE)
        token = _WATCH.set(watch)
        try:
            yield
        finally:
            _WATCH.reset(token)
            tasks.cancel_scope.cancel()


def body_begins() -> None:
    """Let the writes from here on be watched; those before belong to proxies, or are the head."""
    watch = _WATCH.get()
    if watch is not None:
        watch.is_sending_body = True


def watch_stream(stream: Any) -> None:
    """Let a new connection be watched while bodies are sent through it.

    Args:
        stream: an httpcore network stream, as the trace event of a new connection gives it.
    """
    watched = _WatchedStream(stream)
    stream.read, stream.write = watched.read, watched.write


def is_final_response(received: bytes | bytearray) -> bool:
    """Whether bytes from a server hold more than informational responses (1xx).

    Source: RFC 9110, 15.2; a client must be able to parse any number of them.
    """
    start = 0
    while received.startswith(b"HTTP/1.", start) and received[start + 9 : start + 10] == b"1":
        end = received.find(b"\r\n\r\n", start)
        if end < 0:
            return False
        start = end + 4
    return len(received) - start >= _STATUS_LINE


class _BodyWatch:
    """Reads the connection of one request for as long as its body is sent.

    Args:
        tasks: where the reading runs.
        reads_beside: whether to read from the first write on, or only once there is something.
    """

    def __init__(self, tasks: TaskGroup, *, reads_beside: bool) -> None:
        self._tasks = tasks
        self._reads_beside = reads_beside
        self._reading = anyio.CancelScope()
        self._writing = anyio.CancelScope()
        self._stopped: anyio.Event | None = None
        self.is_sending_body = False
        self.has_response = False

    def start(self, stream: _WatchedStream) -> None:
        """Begin to read, unless it has begun."""
        if self._stopped is not None or not (self._reads_beside or stream.is_readable):
            return
        self._stopped = anyio.Event()
        stream.watch = self
        self._tasks.start_soon(self._read, stream, self._stopped)

    async def stop(self) -> None:
        """Stop reading; what was read is kept by the stream."""
        self._reading.cancel()
        if self._stopped is not None:
            await self._stopped.wait()

    def writing(self) -> anyio.CancelScope:
        """Give the scope of a write, which a response cancels."""
        self._writing = anyio.CancelScope()
        return self._writing

    async def _read(self, stream: _WatchedStream, stopped: anyio.Event) -> None:
        try:
            with self._reading:
                self.has_response = await stream.read_ahead()
                if self.has_response and stream.is_tls:
                    await stream.read_until_quiet()
        except Exception:  # noqa: BLE001, S110 - the write, or the read that follows, raises it too
            pass
        finally:
            stopped.set()
        if self.has_response:
            self._writing.cancel()


class _WatchedStream:
    """The `read` and `write` of an httpcore network stream, with a buffer in between."""

    def __init__(self, stream: Any) -> None:
        self._read, self._write = stream.read, stream.write
        self._get_extra_info = stream.get_extra_info
        library = sys.modules[type(stream).__module__.partition(".")[0]]
        self._write_error: type[Exception] = library.WriteError
        self._received = bytearray()
        self._is_at_end = False
        self._is_http2 = False
        self.watch: _BodyWatch | None = None
        self._poll = _poll_of(self._get_extra_info("socket"))

    @property
    def is_readable(self) -> bool:
        """Whether the kernel has received something.

        httpcore's own look takes 20 us, and there is one for each write.
        """
        if self._poll is None:
            return bool(self._get_extra_info("is_readable"))
        return bool(self._poll.poll(0))

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self._get_extra_info("ssl_object") is not None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Give what was received while the body was sent, then what comes."""
        watch, self.watch = self.watch, None
        if watch is not None:
            await watch.stop()
        if self._received:
            received = bytes(self._received[:max_bytes])
            del self._received[:max_bytes]
            return received
        if self._is_at_end:
            return b""
        return bytes(await self._read(max_bytes, timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send, unless a final response has begun.

        Raises:
            WriteError: it has; httpcore goes on by reading it.
        """
        watch = _WATCH.get()
        # An HTTP/2 connection is read while it is written to, by httpcore itself.
        self._is_http2 |= bytes(buffer[: len(HTTP2_PREFACE)]) == HTTP2_PREFACE
        if watch is None or self._is_http2 or not watch.is_sending_body:
            await self._write(buffer, timeout)
            return
        watch.start(self)
        await self._receive_first(watch)
        if not watch.has_response:
            with watch.writing():
                await self._write(buffer, timeout)
        if watch.has_response:
            raise self._write_error("the server responded before it had the whole body")

    async def read_ahead(self) -> bool:
        """Read until a final response has begun, or the server has closed its side.

        Returns:
            False if neither has happened within what is kept.
        """
        while not (self._is_at_end or is_final_response(self._received)):
            if len(self._received) >= MOST_RECEIVED:
                return False
            await self._read_more()
        return True

    async def read_until_quiet(self) -> None:
        """Read what follows without a pause."""
        size = -1
        while size < len(self._received) < MOST_RECEIVED and not self._is_at_end:
            size = len(self._received)
            with anyio.move_on_after(TLS_QUIET_SECONDS):
                await self._read_more()

    async def _read_more(self) -> None:
        block = await self._read(READ_SIZE, None)
        self._received += block
        self._is_at_end = not block

    async def _receive_first(self, watch: _BodyWatch) -> None:
        """Let the loop receive what has arrived, before a write that fails would discard it.

        asyncio closes a socket whose write fails without reading what the kernel still holds.
        """
        for _ in range(_LOOP_CYCLES):
            if watch.has_response or not self.is_readable:
                return
            await checkpoint()


def _poll_of(sock: Any) -> Any:
    """Give an object that polls a socket; `None` where there is none, or the platform can't."""
    if sock is None or sock.fileno() < 0 or not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return poll


_WATCH: ContextVar[_BodyWatch | None] = ContextVar("_WATCH", default=None)
