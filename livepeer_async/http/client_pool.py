"""A pool of HTTP clients, one for each request in flight.

httpcore 1.0.9 scans all connections of a pool several times for each request, and offers a free one
to every waiter: with 30 small files at once that took two thirds of the CPU. A cancelled request
can also leak its slot in the pool (encode/httpcore#1093). A pool of one connection has neither
fault.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio


class _IdleClient(NamedTuple):
    """A lane that nobody uses: whom its connection leads to, and since when it idles."""

    origin: str
    client: Any
    since: float


class ClientPool:
    """Lends clients, the one that was used last first: its connection is the least likely to end.

    Args:
        make: makes a client of the library for an origin.
        keepalive: seconds that a connection may idle; as the client has it.

    Attributes:
        is_closed: whether `aclose` was called.
    """

    def __init__(self, make: Callable[[str], Any], *, keepalive: float) -> None:
        self._make = make
        self._keepalive = keepalive
        # The longest unused first.
        self._free: list[_IdleClient] = []
        self._lent: list[Any] = []
        self.is_closed = False

    @asynccontextmanager
    async def acquire(self, origin: str) -> AsyncGenerator[Any, None]:
        """Lend a client until the block ends; after an error nobody else gets it.

        Args:
            origin: scheme, host and port that the request goes to.
        """
        client = self._pop_idle(origin)
        self._lent.append(client)
        try:
            yield client
        except BaseException:
            # What was cancelled may have left a connection in any state.
            await _close(client)
            raise
        finally:
            self._lent.remove(client)
        await self._release(origin, client)

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        self.is_closed = True
        # Each is there until its turn: who is interrupted may call again.
        while self._free:
            await _close(self._free.pop().client)
        for client in list(self._lent):
            await _close(client)

    def _pop_idle(self, origin: str) -> Any:
        for index in reversed(range(len(self._free))):
            if self._free[index].origin == origin:
                return self._free.pop(index).client
        return self._make(origin)

    async def _release(self, origin: str, client: Any) -> None:
        if self.is_closed:
            await _close(client)
            return
        now = time.monotonic()
        self._free.append(_IdleClient(origin, client, now))
        # Those that idled too long are closed on the other side, and hold a descriptor each. One at
        # a time is taken out: asyncio's own cancellation passes the shield.
        while self._free and self._free[0].since < now - self._keepalive:
            await _close(self._free.pop(0).client)


def connection_limit(client: Any) -> int | None:
    """Give how many a client that was handed in may have; `None` where no bound can be seen."""
    # Neither httpx nor httpx2 has a public name for it.
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    most = getattr(pool, "_max_connections", None)
    return most if isinstance(most, int) and most < sys.maxsize else None


async def _close(client: Any) -> None:
    # Shielded: sockets must be closed also when the caller was cancelled.
    with anyio.CancelScope(shield=True):
        await client.aclose()
