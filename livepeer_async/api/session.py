"""Sends API requests for an account and retries those that may be repeated.

One `Caller` serves a whole client.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import anyio

from livepeer_async.api.requests import Account, Call, is_safe_to_repeat
from livepeer_async.errors import (
    AmbiguousRequest,
    ApiError,
    ConnectFailed,
    LivepeerError,
    NetworkError,
    TooManyRequests,
)
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.retry import RetryEvent, RetryPolicy, next_delay

T = TypeVar("T")

# As many doublings has the delay of a request that waits for room in the queue.
BUSY_DOUBLINGS = 3

_log = logging.getLogger("livepeer_async")


class Sender(Protocol):
    """What carries requests: a `Transport`, or one that is held to a budget."""

    def send(self, request: Request, /) -> Awaitable[Response]:
        """Send a request and read its answer."""
        ...


class Session:
    """Sends calls in the name of an account.

    Args:
        account: where and who.
        transport: how.
        retry: how often, and how long in between.
        sleep: waits so many seconds.
        jitter: gives a random number in 0..1.
        clock: gives seconds that only grow.
    """

    def __init__(  # noqa: PLR0913 - time and chance come in as arguments, with the real ones as defaults
        self,
        account: Account,
        transport: Sender,
        *,
        retry: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.account = account
        self._transport = transport
        self.retry = retry
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock

    async def send_once(self, call: Call[T]) -> T:
        """Send a call and read its answer, without a second attempt; raises as `perform`."""
        return call.decode(await self._transport.send(call.request))

    async def send(self, call: Call[T]) -> T:
        """Send a call until it is answered, as often as the policy and the call allow.

        Raises:
            ApiError: the server answered with an error.
            NetworkError: no answer came.
            AmbiguousRequest: no answer came to what may not be repeated blindly.
            DecodeError: the answer can't be used.
        """
        failures, busy_since = 0, None
        while True:
            try:
                return await self.send_once(call)
            except NetworkError as error:
                if not call.is_repeatable and not isinstance(error, ConnectFailed):
                    raise AmbiguousRequest(
                        f"{call.request.place} may have been carried out, its answer was lost: "
                        f"{error}",
                        request_id=error.request_id,
                    ) from error
                failures += 1
                await self.back_off(error, failures)
            except ApiError as error:
                if not is_safe_to_repeat(call, error):
                    raise
                failures += 1
                if isinstance(error, TooManyRequests):
                    busy_since = self._clock() if busy_since is None else busy_since
                    if self._clock() - busy_since < self.retry.busy_timeout:
                        # A full queue says nothing against the request, and all pause for it.
                        failures = min(failures, self.retry.attempts, BUSY_DOUBLINGS)
                await self.back_off(error, failures)

    async def back_off(self, problem: LivepeerError, failures: int) -> None:
        """Wait before the next attempt, as long as the policy and the server want it.

        Args:
            problem: what came between.
            failures: how often in a row, this time included.

        Raises:
            LivepeerError: `problem`, where there is no next attempt.
        """
        asked = problem.retry_after if isinstance(problem, ApiError) else None
        delay = next_delay(self.retry, failures=failures, jitter=self._jitter(), retry_after=asked)
        if delay is None:
            try:
                raise problem
            finally:
                # This frame and the error would hold each other, and all that the error came by.
                del problem
        attempts = self.retry.attempts
        retry_event = RetryEvent(
            reason=str(problem), attempt=failures, attempts=attempts, delay=delay
        )
        _log.warning("%s", retry_event)
        await self._sleep(delay)
