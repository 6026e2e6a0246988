"""A circuit breaker: pauses an ingestion while the server doesn't respond.

After an error that may be the server's or the network's, no row starts until a ping succeeds.
Running uploads retry by themselves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable

import anyio

from livepeer_async.errors import ApiError, DecodeError, NetworkError, is_transient
from livepeer_async.ingest.events import Event, Halted, Resumed

# Seconds before the second question at the most, doubled with each.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
_MOST_DOUBLINGS = 6


class CircuitBreaker:
    """Watches over the server's answers; `run` is its task.

    Args:
        ping: asks the server once.
        tell: takes events.
        timeout: seconds without an answer after which all ends.
        sleep: waits so many seconds.
        clock: gives seconds that only grow.
        jitter: gives a random number in 0..1.
    """

    def __init__(  # noqa: PLR0913 - time and chance come in as arguments, with the real ones as defaults
        self,
        ping: Callable[[], Awaitable[None]],
        tell: Callable[[Event], Awaitable[None]],
        *,
        timeout: float,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ping = ping
        self._put = tell
        self._timeout = timeout
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._suspected = anyio.Event()
        self._closed = anyio.Event()
        self._closed.set()
        self._is_given_up = False
        self._has_answered = False

    def trip(self) -> None:
        """Have the server asked before anything else starts."""
        if self._closed.is_set() and not self._is_given_up:
            self._closed = anyio.Event()
            self._suspected.set()

    def stop(self) -> None:
        """Let those go who wait, now and later; they start nothing more."""
        self._is_given_up = True
        self._closed.set()

    async def wait(self) -> None:
        """Wait until the server answers, where that is in doubt."""
        await self._closed.wait()

    async def run(self) -> None:
        """Ask each time that there is a suspicion.

        Raises:
            ApiError: the server doesn't take the key, or isn't where it was looked for.
            DecodeError: what answers, and never did otherwise, is no such server.
            LivepeerError: it hasn't answered for as long as that was to be borne.
        """
        while True:
            await self._suspected.wait()
            self._suspected = anyio.Event()
            await self._ask()
            self._closed.set()

    async def _ask(self) -> None:
        began, failures = self._clock(), 0
        while True:
            try:
                await self._ping()
                break
            except (NetworkError, ApiError, DecodeError) as error:
                is_over = self._clock() - began > self._timeout
                # A page that isn't the API's comes from a proxy, or from a wrong address.
                is_foreign = isinstance(error, DecodeError) and not self._has_answered
                if is_over or is_foreign or not is_transient(error):
                    raise
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures, _MOST_DOUBLINGS))
                delay *= 0.5 + self._jitter() / 2
                failures += 1
                await self._put(Halted(error, delay))
            await self._sleep(delay)
        self._has_answered = True
        if failures:
            await self._put(Resumed(self._clock() - began))
