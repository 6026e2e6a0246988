"""Recovery of servers after an outage, which ends the back-off of all requests to them.

Each request that fails backs off by itself, for up to a minute. The first that succeeds again shows
that the others needn't wait.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from math import inf

from msgspec import Struct

from livepeer_async.concurrency import Clock
from livepeer_async.errors import NetworkError

# Seconds for which all requests to a server must have failed. An upload that fails alone, while
# others succeed, must keep to its own back-off.
MIN_OUTAGE = 3.0
# Seconds over which the requests that waited are spread.
SPREAD_SECONDS = 1.0
# Maximum length of one sleep, in seconds: the server may recover meanwhile.
SLEEP_STEP = 0.25


class _Server(Struct):
    """When requests began to fail, `None` after a success, and when the last outage ended."""

    failing_since: float | None = None
    recovered_at: float = -inf


class Recovery:
    """Knows which servers have recovered.

    Args:
        clock: time and jitter.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._servers: dict[str, _Server] = {}

    @contextmanager
    def record(self, origin: str) -> Generator[Callable[[int], None], None, None]:
        """Record the outcome of a request: a `NetworkError`, or the status passed to the yield."""
        try:
            # Not a `partial`, whose repr shows the origin.
            yield lambda status: self._record_status(origin, status)
        except NetworkError:
            self.record_failure(origin)
            raise

    def _record_status(self, origin: str, status: int) -> None:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.record_failure(origin)
        else:
            self.record_success(origin)

    def record_failure(self, origin: str) -> None:
        """Record that a request failed because of the server or the network."""
        server = self._servers.setdefault(origin, _Server())
        if server.failing_since is None:
            server.failing_since = self._clock.now()

    def record_success(self, origin: str) -> None:
        """Record that a request succeeded, which may end an outage."""
        server = self._servers.get(origin)
        if server is None or server.failing_since is None:
            return
        now = self._clock.now()
        if now - server.failing_since >= MIN_OUTAGE:
            server.recovered_at = now
        server.failing_since = None

    async def wait(self, origin: str, seconds: float) -> bool:
        """Wait before a retry, at most until an outage of the server ends.

        Args:
            origin: scheme, host and port of the server.
            seconds: the delay.

        Returns:
            Whether an outage ended meanwhile.
        """
        server = self._servers.setdefault(origin, _Server())
        now, sleep = self._clock.now, self._clock.sleep
        began = now()
        end = began + seconds
        while server.recovered_at <= began:
            left = end - now()
            if left <= 0:
                return False
            await sleep(min(left, SLEEP_STEP))
        await sleep(max(0.0, min(end - now(), SPREAD_SECONDS * self._clock.random())))
        return True
