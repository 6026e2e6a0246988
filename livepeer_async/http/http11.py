"""An HTTP/1.1 connection on h11, for requests that need no proxy.

It takes the requests of the HTTP library and raises the library's exceptions, but leaves out the
layers between the library's client and the socket.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from types import ModuleType
from typing import Any

import anyio
import h11

from livepeer_async.http.connecting import connect
from livepeer_async.http.http11_connection import Http11Connection, LibraryErrors
from livepeer_async.http.request_building import Head, build_head
from livepeer_async.http.socket_stream import SocketStream
from livepeer_async.http.streams import Outgoing

CLOSED = "the client is closed"


class Http11Client:
    """A client with one connection, which is opened when a request needs it.

    Args:
        module: the HTTP library.
        load_context: returns the TLS context.
        keepalive: seconds after which an idle connection isn't used any more.
        on_connect: called with the socket of each new connection.

    Attributes:
        is_closed: whether `close` was called.
    """

    def __init__(
        self,
        module: ModuleType,
        load_context: Callable[[], ssl.SSLContext],
        *,
        keepalive: float,
        on_connect: Callable[[Any], None],
    ) -> None:
        self.is_closed = False
        self._module = module
        self._load_context = load_context
        self._keepalive = keepalive
        self._on_connect = on_connect
        self._connection: Http11Connection | None = None
        self._idle_since = 0.0

    def prepare(
        self, outgoing: Outgoing
    ) -> AbstractAsyncContextManager[Callable[[], Awaitable[Http11Response]]]:
        """Return a context with a function that sends a request and returns its response."""
        return nullcontext(partial(self._send, outgoing))

    async def _send(self, outgoing: Outgoing) -> Http11Response:
        self._require_open()
        head = build_head(self._module, outgoing)
        connection = self._find_idle()
        if connection is None:
            connection = self._connection = await self._connect(head, outgoing.limits["connect"])
        response = await connection.send(head, outgoing)
        return Http11Response(self, connection, response)

    def release(self, connection: Http11Connection) -> None:
        """Keep a connection for the next request if its response was read to the end."""
        self._idle_since = time.monotonic()
        if not connection.is_reusable():
            connection.close()

    async def aclose(self) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection at once; its event loop may be closed."""
        self.is_closed = True
        if self._connection is not None:
            self._connection.close()

    def _require_open(self) -> None:
        if self.is_closed:
            raise RuntimeError(CLOSED)

    def _find_idle(self) -> Http11Connection | None:
        connection = self._connection
        if connection is None or connection.stream.is_closed:
            return None
        age = time.monotonic() - self._idle_since
        # The server has closed a readable one, or sent something that no request asked for.
        if age > self._keepalive or connection.stream.is_readable:
            connection.close()
            return None
        return connection

    async def _connect(self, head: Head, seconds: float) -> Http11Connection:
        context = self._load_context() if head.scheme == "https" else None
        errors = LibraryErrors(self._module)
        with errors.map(self._module.ConnectTimeout, self._module.ConnectError):
            with anyio.fail_after(seconds):
                sock = await connect(head.host, head.port)
            stream = SocketStream(sock)
            try:
                self._on_connect(sock)
                if context is not None:
                    with anyio.fail_after(seconds):
                        await stream.start_tls(context, head.host, seconds)
                self._require_open()
            except BaseException:
                stream.close()
                raise
        return Http11Connection(stream, errors)


class ResponseHeaders(dict[str, str]):
    """The headers of a response, by names in lower case; repetitions are joined."""

    def __init__(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self._items = [(_decode(name), _decode(value)) for name, value in items]
        for name, value in self._items:
            self[name] = f"{self[name]}, {value}" if name in self else value

    def get_list(self, name: str) -> list[str]:
        """Return the values of a header, one for each line."""
        return [value for other, value in self._items if other == name]


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


class Http11Response:
    """The part of the library's response that the transport uses."""

    http_version = "HTTP/1.1"
    is_stream_consumed = False

    def __init__(
        self, client: Http11Client, connection: Http11Connection, response: h11.Response
    ) -> None:
        self.status_code = response.status_code
        self.headers = ResponseHeaders(response.headers)
        self.is_closed = False
        self._client = client
        self._connection = connection

    async def aiter_raw(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the blocks of the body, without decoding them."""
        while block := await self._connection.read_body():
            yield block

    async def aclose(self) -> None:
        """End the use of the connection."""
        if not self.is_closed:
            self.is_closed = True
            self._client.release(self._connection)
