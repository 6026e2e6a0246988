"""A circuit breaker: pauses an ingestion while the server doesn't respond.

After an error that the server or the network may have caused, no row starts until a ping succeeds.
Running uploads retry by themselves, for minutes before one fails. Therefore the server is pinged as
well after some seconds in which no request has succeeded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf

import anyio

from livepeer_async.concurrency import Clock
from livepeer_async.errors import ApiError, DecodeError, NetworkError, TimedOut, is_transient
from livepeer_async.http.retry import backoff
from livepeer_async.ingest.events import Event, Halted, Resumed
from livepeer_async.scheduling.throttle import Throttle

# Seconds before the second ping, doubled with each failure.
FIRST_DELAY = 1.0
MAX_DELAY = 60.0
# Seconds without a successful request after which the server is pinged, doubled with each ping that
# succeeds: a slow storage is silent for minutes.
FIRST_PATIENCE = 8.0
MAX_PATIENCE = 64.0
# Seconds to wait for the response to the first ping, doubled with each failure: a dead server is
# reported after 17 s, but a slow one must be able to respond.
FIRST_PING_TIMEOUT = 8.0
MAX_PING_TIMEOUT = 120.0
WATCH_INTERVAL = 1.0


class CircuitBreaker:
    """Holds rows back until a ping succeeds; `run` and `watch` must run as tasks.

    Args:
        ping: sends one request to the server.
        notify: receives `Halted` and `Resumed`.
        timeout: seconds after which an outage ends the run.
        throttle: knows whether requests succeed.
        clock: time and jitter.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        notify: Callable[[Event], Awaitable[None]],
        *,
        timeout: float,
        throttle: Throttle,
        clock: Clock | None = None,
    ) -> None:
        self._ping = ping
        self._throttle = throttle
        self._patience = FIRST_PATIENCE
        self._healthy_at = -inf
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

    async def watch(self) -> None:
        """Open the circuit when the server hasn't responded to any request for some seconds."""
        while True:
            await self._clock.sleep(WATCH_INTERVAL)
            silent = self._throttle.silent_seconds
            if silent < FIRST_PATIENCE:
                self._patience = FIRST_PATIENCE
            elif min(silent, self._clock.now() - self._healthy_at) >= self._patience:
                if self._healthy_at > -inf:
                    self._patience = min(2 * self._patience, MAX_PATIENCE)
                self.trip()

    async def _ping_in_time(self, timeout: float) -> None:
        """Ping the server; a timeout is no failure if other requests make progress meanwhile.

        Raises:
            TimedOut: the server responds to nothing.
            LivepeerError: the ping failed.
        """
        activity = self._throttle.activity
        with anyio.move_on_after(timeout) as scope:
            await self._ping()
        if scope.cancelled_caught and activity == self._throttle.activity:
            raise TimedOut(f"the server hasn't responded to a check for {timeout:.0f} s")

    async def _probe(self) -> None:
        began, failures = self._clock.now(), 0
        while True:
            try:
                ping_timeout = backoff(
                    failures + 1, first_delay=FIRST_PING_TIMEOUT, max_delay=MAX_PING_TIMEOUT
                )
                await self._ping_in_time(ping_timeout)
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
        self._has_succeeded, self._healthy_at = True, self._clock.now()
        if failures:
            await self._notify(Resumed(self._clock.now() - began))
