"""A pool of HTTP clients, one for each request in flight.

Each client has one connection, because httpcore's own pool (1.0.9) has two faults. It scans all
connections several times for each request and offers a free one to every waiting request, which
took two thirds of the CPU with 30 small files at once. And a cancelled request can leak its slot in
the pool (encode/httpcore#1093).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, NamedTuple, Protocol, runtime_checkable
from weakref import WeakSet

import anyio

from livepeer_async.http.chunk_limiter import ChunkLimiter
from livepeer_async.http.messages import Request
from livepeer_async.http.sockets import asyncio_transport_of, close_abandoned


@runtime_checkable
class ClosesAtOnce(Protocol):
    """A client that needs no event loop to close its connection: `Http11Client`."""

    def close(self) -> None:
        """Close the connection."""
        ...


class _IdleClient(NamedTuple):
    """An unused client with a connection to `origin`."""

    origin: str
    client: Any
    idle_since: float


class ClientPool:
    """A pool that lends the most recently used client, whose connection is the freshest.

    Args:
        create: creates a client for an origin.
        keepalive: seconds after which an idle connection is closed, as in the clients' own limits.

    Attributes:
        is_closed: whether `aclose` was called.
    """

    def __init__(self, create: Callable[[str], Any], *, keepalive: float) -> None:
        self._create = create
        self._keepalive = keepalive
        # Longest idle first.
        self._idle: list[_IdleClient] = []
        self._in_use: list[Any] = []
        self._transports: WeakSet[Any] = WeakSet()
        self.is_closed = False

    @asynccontextmanager
    async def acquire(self, origin: str) -> AsyncGenerator[Any, None]:
        """Lend a client until the block ends; an error closes the client.

        Args:
            origin: scheme, host and port of the request.
        """
        client = self._pop_idle(origin)
        self._in_use.append(client)
        try:
            yield client
        except BaseException:
            # A cancelled request may leave the connection in any state.
            await _close(client)
            raise
        finally:
            if client in self._in_use:  # unless the pool was abandoned
                self._in_use.remove(client)
        await self._release(origin, client)

    async def aclose(self) -> None:
        """Close all clients, including those in use."""
        self.is_closed = True
        await self.close_idle()
        for client in list(self._in_use):
            await _close(client)

    async def close_idle(self) -> None:
        """Close the clients that no request is using."""
        # One at a time: if a close is interrupted, a second call closes the rest.
        while self._idle:
            await _close(self._idle.pop().client)

    def track(self, stream: Any) -> None:
        """Record a new connection, an httpcore network stream, for `abandon`."""
        transport = asyncio_transport_of(stream)
        if transport is not None:
            self._transports.add(transport)

    def abandon(self) -> None:
        """Close all sockets without awaiting, because the event loop is closed."""
        self.is_closed = True
        for client in (*(it.client for it in self._idle), *self._in_use):
            # The library's client has only the sockets of `track`.
            if isinstance(client, ClosesAtOnce):
                client.close()
        self._idle.clear()
        self._in_use.clear()
        for transport in list(self._transports):
            close_abandoned(transport)

    def _pop_idle(self, origin: str) -> Any:
        for index in reversed(range(len(self._idle))):
            if self._idle[index].origin == origin:
                return self._idle.pop(index).client
        return self._create(origin)

    async def _release(self, origin: str, client: Any) -> None:
        if self.is_closed:
            await _close(client)
            return
        now = time.monotonic()
        self._idle.append(_IdleClient(origin, client, now))
        # The server has closed expired connections, each of which still uses a file descriptor.
        # They are removed one at a time, because asyncio's `Task.cancel` ignores the shield.
        while self._idle and self._idle[0].idle_since < now - self._keepalive:
            await _close(self._idle.pop(0).client)


class Connections:
    """What a transport has in one event loop.

    Args:
        client: the user's client, or a pool of own ones.
        chunks: limits the chunks in flight.
    """

    def __init__(self, client: Any, chunks: ChunkLimiter) -> None:
        self.client = client
        self.chunks = chunks
        self.pool = client if isinstance(client, ClientPool) else None

    def acquire(self, request: Request) -> AbstractAsyncContextManager[Any]:
        """Return a context that lends a client for one request."""
        return nullcontext(self.client) if self.pool is None else self.pool.acquire(request.origin)

    async def aclose(self) -> None:
        """Close all connections, except those of a user's client."""
        if self.pool is not None:
            await self.pool.aclose()

    def abandon(self) -> None:
        """Close the connections of a closed event loop."""
        if self.pool is not None:
            self.pool.abandon()


async def _close(client: Any) -> None:
    # Shielded, because sockets must be closed after a cancellation too.
    with anyio.CancelScope(shield=True):
        await client.aclose()
