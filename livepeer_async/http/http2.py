"""HTTP/2 streams of a user's client, which httpcore neither resets nor reads early.

httpcore (1.0.9; its fork httpcore2 2.16.2 too) forgets the stream of a request that fails or is
cancelled, but doesn't tell the server, which waits for the rest of the body and keeps its lock on
the upload. While it waits for the server to accept more of a body, it notices neither that the
stream was reset nor that a response has arrived.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Self

import anyio

from livepeer_async.http.sockets import asyncio_transport_of
from livepeer_async.http.user_client import pools_of

# Source: RFC 9113, 7.
CANCEL = 0x8
# Seconds in which the socket must accept the reset; after that, the connection is closed.
RESET_TIMEOUT = 0.5


class EarlyResponse(NamedTuple):
    """A response that arrived before the request was sent completely."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Http2Stream:
    """The stream of one request; an async context manager that resets it unless it has ended.

    Neither httpx nor httpcore has public attributes for it. Without them, as through a transport of
    the user's own, nothing is reset.

    Args:
        client: the user's client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._connection: Any = None
        self._request: Any = None
        self._stream_id = 0
        self._events: list[Any] = []
        self._writer: _Writer | None = None
        self._is_sending = False
        # Cancelled if the server ends the stream before the whole body is sent.
        self._sending = anyio.CancelScope()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_open:
            return
        # Shielded, because a cancelled request must be reset too.
        with anyio.CancelScope(shield=True):
            has_lost_frames = self._writer is not None and self._writer.has_lost_frames
            with anyio.move_on_after(RESET_TIMEOUT), suppress(Exception):
                if has_lost_frames:
                    await self._connection.aclose()
                    return
                self._state.reset_stream(self._stream_id, CANCEL)
                await self._connection._write_outgoing_data(self._request)  # noqa: SLF001 - as above
                return
            with suppress(Exception):
                await self._connection.aclose()

    async def send(
        self,
        send: Callable[[], Awaitable[Any]],
        built: Any,
        module: ModuleType,
        exceptions: tuple[type[Exception], ...],
    ) -> Any:
        """Send a request and return its response, or one that arrived before the end of the body.

        Args:
            send: sends it.
            built: the library's request.
            module: the library.
            exceptions: its exceptions.
        """
        prepare_connection = built.extensions["trace"]

        async def trace(event: str, details: dict[str, Any]) -> None:
            self._trace(event, details)
            await prepare_connection(event, details)

        built.extensions["trace"] = trace
        try:
            with self._sending:
                return await send()
            raise module.RemoteProtocolError(self._failure_reason)
        except exceptions:
            early = self._early_response()
            if early is None:
                raise
            head = {"headers": early.headers, "request": built}
            return module.Response(early.status, content=early.body, **head)

    def _trace(self, event: str, details: dict[str, Any]) -> None:
        """Find the stream when httpcore's `trace` extension reports its first frame."""
        if event == "http2.send_request_body.complete":
            self._is_sending = False
        if event != "http2.send_request_headers.started":
            return
        self._request, self._stream_id = details["request"], details["stream_id"]
        self._connection = self._find_connection()
        events: dict[int, list[Any]] = getattr(self._connection, "_events", {})
        if self._connection is not None:
            self._writer = _Writer.of(self._connection._network_stream)  # noqa: SLF001 - as above
        if self._stream_id in events:
            self._events = events[self._stream_id] = _Events(self._receive)
            self._is_sending = True

    @property
    def _failure_reason(self) -> str:
        """Why the server ended the stream."""
        resets = [event for event in self._events if hasattr(event, "error_code")]
        return describe_event(resets[-1]) if resets else "the server ended the HTTP/2 stream"

    def _early_response(self) -> EarlyResponse | None:
        """Return the error response that has arrived, although the request failed.

        A 400 counts only with its whole body, which tells whether it is final.
        """
        events = {type(event).__name__: event for event in self._events}
        head = events.get("ResponseReceived")
        if head is None:
            return None
        status = int(dict(head.headers)[b":status"])
        is_complete = "StreamEnded" in events
        if status < HTTPStatus.BAD_REQUEST + (not is_complete):
            return None
        blocks = [it.data for it in self._events if type(it).__name__ == "DataReceived"]
        headers = [(name, value) for name, value in head.headers if not name.startswith(b":")]
        if b"content-encoding" in dict(headers):
            # The body may be incomplete, and can't be decoded then.
            headers = [(name, value) for name, value in headers if name != b"content-encoding"]
            blocks = []
        return EarlyResponse(status, headers, b"".join(blocks))

    def _receive(self) -> None:
        is_reset = type(self._events[-1]).__name__ == "StreamReset"
        if self._is_sending and (is_reset or self._early_response() is not None):
            self._sending.cancel()

    @property
    def _is_open(self) -> bool:
        streams: dict[int, Any] = self._state.streams if self._connection is not None else {}
        stream = streams.get(self._stream_id)
        return stream is not None and not stream.closed

    @property
    def _state(self) -> Any:
        return self._connection._h2_state  # noqa: SLF001 - there is no public attribute

    def _find_connection(self) -> Any:
        for pool in pools_of(self._client):
            for pending in getattr(pool, "_requests", ()):
                if pending.request is self._request:
                    connection = pending.connection
                    # A connection of a pool, or of a proxy, wraps that of the protocol.
                    while connection is not None and not hasattr(connection, "_h2_state"):
                        connection = getattr(connection, "_connection", None)
                    return connection
        return None


class _Writer:
    """The `write` of an httpcore network stream, which notices frames that are lost.

    h2 counts a frame as sent when httpcore takes it. A write that is cancelled before the socket
    has it leaves the peers with different flow-control windows and header tables.

    Attributes:
        has_lost_frames: whether such a write was cancelled.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._write = stream.write
        self.has_lost_frames = False

    @classmethod
    def of(cls, stream: Any) -> _Writer:
        """Return the writer of a stream, which replaces its `write`."""
        writer = getattr(stream.write, "__self__", None)
        if not isinstance(writer, cls):
            writer = cls(stream)
            stream.write = writer.write
        return writer

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._write(buffer, timeout)
        except BaseException:
            transport = asyncio_transport_of(self._stream)
            # A write that waits for the socket has bytes in the transport's buffer.
            if transport is None or not transport.get_write_buffer_size():
                self.has_lost_frames = True
            raise


class _Events(list[Any]):
    """The events of a stream, as httpcore appends them.

    Args:
        on_event: called after each.
    """

    def __init__(self, on_event: Callable[[], None]) -> None:
        super().__init__()
        self._on_event = on_event

    def append(self, event: Any) -> None:
        super().append(event)
        self._on_event()


def describe_event(event: Any) -> str:
    """Describe an event or exception of h2 that has an error code."""
    found = _DESCRIPTIONS.get(type(event).__name__, "the HTTP/2 stream is closed")
    return f"{found} ({getattr(event.error_code, 'name', event.error_code)})"


_DESCRIPTIONS = {
    "StreamReset": "the server reset the HTTP/2 stream",
    "ConnectionTerminated": "the server closed the HTTP/2 connection",
}
