"""API session: sends calls for an account and retries those that are safe to repeat."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Protocol, TypeVar

from livepeer_async.api.calls import Account, Call, is_safe_to_repeat
from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    AmbiguousRequest,
    ApiError,
    ConnectFailed,
    LivepeerError,
    NetworkError,
    TooManyRequests,
)
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.retry import RetryPolicy, next_retry

T = TypeVar("T")

# While `busy_timeout` lasts, further failures don't increase the delay before the next attempt.
MAX_BUSY_FAILURES = 3

_log = logging.getLogger("livepeer_async")


class Sender(Protocol):
    """Sends requests: a `Transport`, or one that a throttle limits."""

    def send(self, request: Request, /) -> Awaitable[Response]:
        """Send a request and read its response."""
        ...


class Session:
    """Sends calls for an account.

    Args:
        account: base URL and API key.
        transport: sends the requests.
        retry: the retry policy.
        clock: time and jitter.
    """

    def __init__(
        self, account: Account, transport: Sender, *, retry: RetryPolicy, clock: Clock | None = None
    ) -> None:
        self.account = account
        self.retry = retry
        self._transport = transport
        self._clock = clock or Clock()

    async def send_once(self, call: Call[T]) -> T:
        """Send a call without retries and decode its response; raises the errors of `send`."""
        return call.decode(await self._transport.send(call.request))

    async def send(self, call: Call[T]) -> T:
        """Send a call, with the retries that the policy and the call allow.

        Raises:
            ApiError: the server responded with an error.
            NetworkError: no response arrived.
            AmbiguousRequest: no response arrived to a call that isn't safe to repeat.
            DecodeError: the response can't be decoded.
        """
        failures, busy_since = 0, None
        while True:
            try:
                return await self.send_once(call)
            except NetworkError as error:
                if not call.is_repeatable and not isinstance(error, ConnectFailed):
                    raise AmbiguousRequest(
                        f"{call.request.place} may have taken effect, but its response was "
                        f"lost: {error}",
                        request_id=error.request_id,
                    ) from error
                failures += 1
                await self.back_off(error, failures)
            except ApiError as error:
                if not is_safe_to_repeat(call, error):
                    raise
                failures += 1
                if isinstance(error, TooManyRequests):
                    busy_since = self._clock.now() if busy_since is None else busy_since
                    if self._clock.now() - busy_since < self.retry.busy_timeout:
                        failures = min(failures, self.retry.attempts, MAX_BUSY_FAILURES)
                await self.back_off(error, failures)

    async def back_off(self, error: LivepeerError, failures: int) -> None:
        """Wait before the next attempt, for as long as the policy and the server require.

        Args:
            error: why the last attempt failed.
            failures: failures in a row, this one included.

        Raises:
            LivepeerError: `error`, if there is no next attempt.
        """
        event = next_retry(
            self.retry,
            reason=str(error),
            failures=failures,
            jitter=self._clock.random(),
            retry_after=error.retry_after if isinstance(error, ApiError) else None,
        )
        if event is None:
            try:
                raise error
            finally:
                # Breaks the cycle between this frame and the error's traceback.
                del error
        _log.warning("%s", event)
        await self._clock.sleep(event.delay)
