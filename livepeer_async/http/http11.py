"""An HTTP/1.1 connection on h11, for requests that need no proxy.

It takes the requests of the HTTP library and raises the library's exceptions, but leaves out the
layers between the library's client and the socket.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
import h11
from anyio.lowlevel import checkpoint

from livepeer_async.http.body_thread import BodyThread, EarlyResponse
from livepeer_async.http.connecting import connect
from livepeer_async.http.socket_stream import (
    READ,
    WOULD_BLOCK,
    WRITE,
    SocketStream,
    wanted_direction,
)
from livepeer_async.http.streams import RequestBody, ThreadBody

_PORTS = {"http": 80, "https": 443}
# Bytes of a response's head, as in httpcore.
MAX_HEAD = 100 * 1024
# Seconds between two reports of the bytes that a thread has sent.
REPORT_PERIOD = 0.1


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
        self._connection: _Connection | None = None
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

    def release(self, connection: _Connection) -> None:
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

    def _find_idle(self) -> _Connection | None:
        connection = self._connection
        if connection is None or connection.stream.is_closed:
            return None
        age = time.monotonic() - self._idle_since
        # The server has closed a readable one, or sent something that no request asked for.
        if age > self._keepalive or connection.stream.is_readable:
            connection.close()
            return None
        return connection

    async def _connect(self, built: Any) -> _Connection:
        url, seconds = built.url, built.extensions["timeout"]["connect"]
        host = url.raw_host.decode("ascii")
        errors = _Errors(self._module)
        with errors.map(self._module.ConnectTimeout, self._module.ConnectError):
            with anyio.fail_after(seconds):
                sock = await connect(host, url.port or _PORTS[url.scheme])
            stream = SocketStream(sock)
            try:
                self._on_connect(sock)
                if url.scheme == "https":
                    await stream.start_tls(self._load_context(), host, seconds)
            except BaseException:
                stream.close()
                raise
        return _Connection(stream, errors)


class Http11Response:
    """The part of the library's response that the transport uses."""

    http_version = "HTTP/1.1"
    is_stream_consumed = False

    def __init__(
        self, client: Http11Client, connection: _Connection, status: int, headers: Any
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


class _Errors:
    """Raises the library's exceptions for those of sockets and of h11."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    @contextmanager
    def map(self, timeout: type[Exception], broken: type[Exception]) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            # The kernel's own time-out, of a peer that is gone, has a number.
            is_timeout = isinstance(error, TimeoutError) and error.errno is None
            raise (timeout if is_timeout else broken)(str(error)) from error
        except h11.RemoteProtocolError as error:
            raise self.module.RemoteProtocolError(str(error)) from error
        except h11.LocalProtocolError as error:
            raise self.module.LocalProtocolError(str(error)) from error


class _Connection:
    """An open connection, and the state of its current request."""

    def __init__(self, stream: SocketStream, errors: _Errors) -> None:
        self.stream = stream
        self._errors = errors
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._limits: dict[str, float] = {}
        self._thread: BodyThread | None = None

    async def send(self, built: Any) -> tuple[int, Any]:
        """Send a request; return status and headers of its response."""
        self._limits, module = built.extensions["timeout"], self._errors.module
        body = built.extensions["body"]
        body = body if isinstance(body, RequestBody) else None
        early = EarlyResponse(self.stream)
        with self._errors.map(module.WriteTimeout, module.WriteError):
            head = self._start(built, body)
            try:
                await self.stream.send(head, self._limits["write"])
                if body is not None:
                    await self._send_body(body, early)
            except OSError as error:
                # The server may have responded before it closed the connection.
                if isinstance(error, TimeoutError) and error.errno is None:
                    raise
        with self._errors.map(module.ReadTimeout, module.ReadError):
            if early.received:
                self._state.receive_data(bytes(early.received))
            elif early.error is not None:
                raise early.error
            return await self._receive_head()

    def _start(self, built: Any, body: RequestBody | None) -> bytes:
        """Return the head of a request, with the body that the request has."""
        request = h11.Request(
            method=built.method, target=built.url.raw_path, headers=built.headers.raw
        )
        head = self._state.send(request) or b""
        if body is None:
            if built.content:
                head += self._state.send(h11.Data(data=built.content)) or b""
            head += self._state.send(h11.EndOfMessage()) or b""
        return head

    async def _send_body(self, body: RequestBody, early: EarlyResponse) -> None:
        in_thread = body.in_thread()
        if in_thread is None:
            is_complete = await self._send_blocks(body, early)
        else:
            is_complete = await self._run_thread(in_thread, early)
        if is_complete:
            # The bytes went past h11, which only counts them.
            counted: Any = range(body.size)
            self._state.send_with_data_passthrough(h11.Data(data=counted))
            self._state.send(h11.EndOfMessage())

    async def _run_thread(self, body: ThreadBody, early: EarlyResponse) -> bool:
        """Send a body in a worker thread; return whether all of it was sent."""
        self._thread = thread = BodyThread(self.stream, body, early, self._limits["write"])
        loop, error = asyncio.get_running_loop(), None

        def report() -> None:
            nonlocal timer, error
            timer = loop.call_later(REPORT_PERIOD, report)
            try:
                body.record_sent(thread.sent)
            except Exception as caught:  # noqa: BLE001 - raised below, in the task of the request
                error = caught
                thread.abort()

        timer = loop.call_later(REPORT_PERIOD, report)
        try:
            # Not one of anyio's 40 tokens, which also wait for files: `ChunkLimiter` limits chunks.
            limiter = anyio.CapacityLimiter(1)
            await anyio.to_thread.run_sync(thread.run, abandon_on_cancel=True, limiter=limiter)
        except Exception:  # the thread has ended
            raise
        except BaseException:
            thread.abort()
            raise
        finally:
            self._thread = None
            timer.cancel()
        if error is not None:
            raise error
        body.record_sent(thread.sent)
        if early.has_started:
            return False
        body.record_end()
        return True

    async def _send_blocks(self, body: RequestBody, early: EarlyResponse) -> bool:
        """Send a body in the event loop; return whether all of it was sent."""
        async for block in body:
            rest = memoryview(block)
            while rest:
                if early.check():
                    return False
                try:
                    rest = rest[self.stream.sock.send(rest) :]
                except WOULD_BLOCK as error:
                    wanted = wanted_direction(error, WRITE)
                    await self.stream.wait(self._limits["write"], READ, wanted)
            # A quick socket must not keep the event loop from other tasks.
            await checkpoint()
        return True

    async def _receive_head(self) -> tuple[int, Any]:
        while True:
            event = await self._receive_event()
            if isinstance(event, h11.Response):
                return event.status_code, event.headers.raw_items()
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("the server sent no response")

    async def read_body(self) -> bytes:
        """Return the next part of the response's body; none at its end."""
        module = self._errors.module
        with self._errors.map(module.ReadTimeout, module.ReadError):
            event = await self._receive_event()
            return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _receive_event(self) -> Any:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            block = await self.stream.receive(self._limits["read"])
            if not block and self._state.their_state is h11.SEND_RESPONSE:
                message = "Server disconnected without sending a response."
                raise h11.RemoteProtocolError(message)
            self._state.receive_data(block)
        return event

    def is_reusable(self) -> bool:
        """Prepare for another request, if both sides have sent everything."""
        state = self._state
        if state.our_state is h11.DONE and state.their_state is h11.DONE:
            state.start_next_cycle()
            return not self.stream.is_closed
        return False

    def close(self) -> None:
        """Reset the connection at once."""
        if self._thread is not None:
            self._thread.abort()
        self.stream.close()
