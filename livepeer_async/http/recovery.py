"""Recovery of servers after an outage, which ends the back-off of all requests to them.

Each request that fails backs off by itself, for up to a minute. The first that succeeds again shows
that the others needn't wait.
"""

from __future__ import annotations

import hashlib
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
        self._servers: dict[bytes, _Server] = {}

    @contextmanager
    def record(self, origin: str) -> Generator[Callable[[int], None], None, None]:
        """Record the outcome of a request: a `NetworkError`, or the status passed to the yield."""
        key = _key_of(origin)
        try:
            yield lambda status: self._record_status(key, status)
        except NetworkError:
            self._record_failure(key)
            raise

    def record_failure(self, origin: str) -> None:
        """Record that a request failed because of the server or the network."""
        self._record_failure(_key_of(origin))

    def record_success(self, origin: str) -> None:
        """Record that a request succeeded, which may end an outage."""
        self._record_success(_key_of(origin))

    def _record_status(self, key: bytes, status: int) -> None:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._record_failure(key)
        else:
            self._record_success(key)

    def _record_failure(self, key: bytes) -> None:
        server = self._servers.setdefault(key, _Server())
        if server.failing_since is None:
            server.failing_since = self._clock.now()

    def _record_success(self, key: bytes) -> None:
        server = self._servers.get(key)
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
        server = self._servers.setdefault(_key_of(origin), _Server())
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


def _key_of(origin: str) -> bytes:
    """Return a digest: a malformed URL may have a password in the place of its port."""
    return hashlib.sha256(origin.encode("utf-8", "surrogatepass")).digest()
