"""The exchange of requests and responses on one HTTP/1.1 connection, with h11."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import h11
from anyio.lowlevel import checkpoint

from livepeer_async.http.body_thread import BodyThread, EarlyResponse
from livepeer_async.http.request_building import Head
from livepeer_async.http.socket_stream import CLOSED, SocketStream
from livepeer_async.http.streams import Outgoing, RequestBody
from livepeer_async.http.thread_sender import ThreadSender

# Bytes of a response's head, as in httpcore.
MAX_HEAD = 100 * 1024


class LibraryErrors:
    """Raises the library's exceptions for those of sockets and of h11."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    @contextmanager
    def map(self, timeout: type[Exception], broken: type[Exception]) -> Generator[None, None, None]:
        """Raise the library's exceptions for those of the block.

        Args:
            timeout: for a time limit of ours.
            broken: for any other error of the socket.
        """
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


class Http11Connection:
    """An open connection, and the state of its current request."""

    def __init__(self, stream: SocketStream, errors: LibraryErrors) -> None:
        self.stream = stream
        self._errors = errors
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._limits: dict[str, float] = {}
        self._sender: ThreadSender | None = None

    async def send(self, head: Head, outgoing: Outgoing) -> h11.Response:
        """Send a request; return the head of its response."""
        self._limits, library = outgoing.limits, self._errors.module
        early, body = EarlyResponse(self.stream), outgoing.body
        try:
            with self._errors.map(library.WriteTimeout, library.WriteError):
                await self.stream.send(self._start(head, outgoing), self._limits["write"])
            if body is not None and await self._send_body(body, early):
                # The bytes went past h11, which only counts them.
                counted: Any = range(outgoing.request.span.size)
                self._state.send_with_data_passthrough(h11.Data(data=counted))
                self._state.send(h11.EndOfMessage())
        except library.WriteError:
            pass  # the server may have responded before it closed the connection
        with self._errors.map(library.ReadTimeout, library.ReadError):
            if early.received:
                self._state.receive_data(bytes(early.received))
            elif early.error is not None:
                raise early.error
            return await self._receive_head()

    def _start(self, head: Head, outgoing: Outgoing) -> bytes:
        """Return the head of a request as bytes, with the body that isn't sent later."""
        state, content = self._state, outgoing.request.content
        request = h11.Request(method=head.method, target=head.target, headers=head.headers)
        sent = state.send(request) or b""
        if outgoing.body is None:
            if isinstance(content, bytes) and content:
                sent += state.send(h11.Data(data=content)) or b""
            sent += state.send(h11.EndOfMessage()) or b""
        return sent

    async def _send_body(self, body: RequestBody, early: EarlyResponse) -> bool:
        """Send a body; return whether all of it was sent."""
        library = self._errors.module
        in_thread = body.in_thread()
        if in_thread is None:
            async for block in body:
                with self._errors.map(library.WriteTimeout, library.WriteError):
                    if not await self._send_block(memoryview(block), early):
                        return False
                # A quick socket must not keep the event loop from other tasks.
                await checkpoint()
            return True
        thread = BodyThread(self.stream, in_thread, early, self._limits["write"])
        self._sender = ThreadSender(thread, in_thread)
        try:
            with self._errors.map(library.WriteTimeout, library.WriteError):
                await self._sender.run()
        finally:
            self._sender = None
        if not early.has_started:
            in_thread.record_end()
        return not early.has_started

    async def _send_block(self, rest: memoryview, early: EarlyResponse) -> bool:
        """Send a block; return False once a response has started."""
        while rest:
            if early.check():
                return False
            count, wanted = self.stream.send_now(rest)
            rest = rest[count:]
            if wanted is not None:
                await self.stream.wait(self._limits["write"], wanted, *early.directions)
        return True

    async def _receive_head(self) -> h11.Response:
        while True:
            event = await self._receive_event()
            if isinstance(event, h11.Response):
                return event
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
        # Further bytes would be taken for the response to the next request.
        is_over = state.their_state is h11.DONE and not any(state.trailing_data)
        if state.our_state is h11.DONE and is_over:
            state.start_next_cycle()
            return not self.stream.is_closed
        return False

    def close(self) -> None:
        """Reset the connection at once."""
        if self._sender is not None:
            self._sender.abort(RuntimeError(CLOSED))
        self.stream.close()
