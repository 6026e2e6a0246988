"""An HTTP/1.1 connection on h11, for requests that need no proxy.

It takes the requests of the HTTP library and raises the library's exceptions, but leaves out the
layers between the library's client and the socket.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Callable
from types import ModuleType
from typing import Any

import anyio

from livepeer_async.http.connecting import connect
from livepeer_async.http.http11_connection import Http11Connection, LibraryErrors
from livepeer_async.http.socket_stream import SocketStream

_PORTS = {"http": 80, "https": 443}


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

    async def send(self, built: Any) -> Http11Response:
        """Send a request of the library; return the response, with an unread body."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        connection = self._find_idle()
        if connection is None:
            connection = self._connection = await self._connect(built)
        if built.url.userinfo:
            credentials = self._module.BasicAuth(built.url.username, built.url.password)
            built = next(credentials.auth_flow(built))
        head, headers = await connection.send(built)
        library_headers = self._module.Headers(headers)
        return Http11Response(self, connection, head, library_headers)

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

    async def _connect(self, built: Any) -> Http11Connection:
        url, seconds = built.url, built.extensions["timeout"]["connect"]
        if url.scheme not in _PORTS:
            message = f"the URL begins with {url.scheme!r}; wanted http:// or https://"
            raise self._module.UnsupportedProtocol(message)
        host = url.raw_host.decode("ascii")
        errors = LibraryErrors(self._module)
        context = self._load_context() if url.scheme == "https" else None
        with errors.map(self._module.ConnectTimeout, self._module.ConnectError):
            with anyio.fail_after(seconds):
                sock = await connect(host, url.port or _PORTS[url.scheme])
            stream = SocketStream(sock)
            try:
                self._on_connect(sock)
                if context is not None:
                    await stream.start_tls(context, host, seconds)
            except BaseException:
                stream.close()
                raise
        return Http11Connection(stream, errors)


class Http11Response:
    """The part of the library's response that the transport uses."""

    http_version = "HTTP/1.1"
    is_stream_consumed = False

    def __init__(
        self, client: Http11Client, connection: Http11Connection, status: int, headers: Any
    ) -> None:
        self.status_code = status
        self.headers = headers
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
