"""A circuit breaker: pauses an ingestion while the server doesn't respond.

After an error that the server or the network may have caused, no row starts until a ping succeeds.
Running uploads retry by themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from livepeer_async.concurrency import Clock
from livepeer_async.errors import ApiError, DecodeError, NetworkError, is_transient
from livepeer_async.http.retry import backoff
from livepeer_async.ingest.events import Event, Halted, Resumed

# Seconds before the second ping, doubled with each failure.
FIRST_DELAY = 1.0
MAX_DELAY = 60.0


class CircuitBreaker:
    """Holds rows back after an error until a ping succeeds; `run` must run as a task.

    Args:
        ping: sends one request to the server.
        notify: receives `Halted` and `Resumed`.
        timeout: seconds after which an outage ends the run.
        clock: time and jitter.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        notify: Callable[[Event], Awaitable[None]],
        *,
        timeout: float,
        clock: Clock | None = None,
    ) -> None:
        self._ping = ping
        self._notify = notify
        self._timeout = timeout
        self._clock = clock or Clock()
        self._tripped = anyio.Event()
        self._closed = anyio.Event()
        self._closed.set()
        self._is_stopped = False
        self._has_succeeded = False

    def trip(self) -> None:
        """Open the circuit until a ping succeeds."""
        if self._closed.is_set() and not self._is_stopped:
            self._closed = anyio.Event()
            self._tripped.set()

    def stop(self) -> None:
        """Close the circuit permanently; `wait` returns from now on."""
        self._is_stopped = True
        self._closed.set()

    async def wait(self) -> None:
        """Wait while the circuit is open."""
        await self._closed.wait()

    async def run(self) -> None:
        """Ping the server each time the circuit is opened, and close it again.

        Raises:
            ApiError: the server rejects the key or the base URL.
            DecodeError: the first response isn't the API's.
            LivepeerError: the last error of an outage that took longer than the timeout.
        """
        while True:
            await self._tripped.wait()
            self._tripped = anyio.Event()
            await self._probe()
            self._closed.set()

    async def _probe(self) -> None:
        began, failures = self._clock.now(), 0
        while True:
            try:
                await self._ping()
                break
            except (NetworkError, ApiError, DecodeError) as error:
                is_over = self._clock.now() - began > self._timeout
                # A page that isn't the API's comes from a proxy, or from a wrong base URL.
                is_foreign = isinstance(error, DecodeError) and not self._has_succeeded
                if is_over or is_foreign or not is_transient(error):
                    raise
                failures += 1
                # Half of the jitter: a single client must not ping too often.
                jitter = 0.5 + self._clock.random() / 2
                delay = backoff(
                    failures, first_delay=FIRST_DELAY, max_delay=MAX_DELAY, jitter=jitter
                )
                await self._notify(Halted(error, delay))
            await self._clock.sleep(delay)
        self._has_succeeded = True
        if failures:
            await self._notify(Resumed(self._clock.now() - began))
