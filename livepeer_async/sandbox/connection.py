"""A connection: uvicorn's h11 protocol with access to the transport.

uvicorn hides the transport from applications. This class puts itself into the scope of each
request, which lets faults break the connection below HTTP.
"""

import asyncio
import itertools
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from livepeer_async.sandbox.faults import Cut

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONNECTION = "sandbox.connection"

# After a FIN, keep reading what the client still sends: closing at once would turn the FIN into
# a RST (nginx does the same: lingering_timeout, 5 s there).
LINGER_SECONDS = 2.0

# Linux: the first byte of TCP_INFO is the state of the connection.
TCP_CLOSE = 7
TCP_CLOSE_WAIT = 8

REQUEST_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"

# The sandbox runs inside another program's tests, so uvicorn's log must not reach their output.
SILENT_LOGGER = logging.getLogger("livepeer_async.sandbox.uvicorn")
SILENT_LOGGER.setLevel(logging.CRITICAL + 1)

_numbers = itertools.count(1)


class Connection(H11Protocol):
    """A connection that faults can cut."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = SILENT_LOGGER
        self.access_log = False
        self.number = next(_numbers)
        self.is_cut = False
        self._inner = cast("App", self.app)
        self.app = cast("Any", self._serve)
        self._linger: asyncio.TimerHandle | None = None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CONNECTION] = self
        await self._inner(scope, receive, send)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; discard them after a cut."""
        if not self.is_cut:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop lingering."""
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)

    @property
    def is_closed(self) -> bool:
        """Whether this side has closed the connection, or has noticed that it is closed."""
        return self.is_cut or self.transport.is_closing()

    def is_peer_gone(self) -> bool:
        """Whether the client has closed or reset the connection, read or not."""
        if self.is_closed:
            return True
        option = getattr(socket, "TCP_INFO", None)
        if option is None:
            return False
        sock: socket.socket = self.transport.get_extra_info("socket")
        state = sock.getsockopt(socket.IPPROTO_TCP, option, 1)[0]
        return state in (TCP_CLOSE, TCP_CLOSE_WAIT)

    def cut(self, how: Cut) -> None:
        """Break the connection; to its request it looks as if the client had disconnected."""
        if self.is_closed:
            return
        self.is_cut = True
        if how == "rst":
            self._reset()
        else:
            self._send_fin()
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def time_out(self) -> None:
        """End a request that takes too long, as Node's `requestTimeout` does."""
        self.write_raw(REQUEST_TIMEOUT)
        self.cut("fin")

    def write_raw(self, raw: bytes) -> None:
        """Send bytes past the HTTP layer; the connection must be cut afterwards."""
        if not self.is_closed:
            self.transport.write(raw)

    def send_continue(self) -> None:
        """Send `100 Continue` if the client waits for it, as Node does before any check."""
        if self.cycle.waiting_for_100_continue:
            self.cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _reset(self) -> None:
        """Close with a RST: a linger time of 0 discards unsent bytes."""
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _send_fin(self) -> None:
        self.flow.resume_reading()
        try:
            self.transport.write_eof()
        except OSError:
            # The client has reset the connection, which has not been read yet.
            self.transport.abort()
        else:
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
