"""API session: sends calls for an account and retries those that are safe to repeat."""

from __future__ import annotations

from collections.abc import Awaitable
from math import inf
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
from livepeer_async.http.messages import Request, Response, origin_of
from livepeer_async.http.observers import report_event, report_recovery
from livepeer_async.http.recovery import Recovery
from livepeer_async.http.retry import RetryPolicy, describe_failure, next_retry, status_of
from livepeer_async.telemetry.events import REQUEST_RETRY, log_event

T = TypeVar("T")

# While `busy_timeout` lasts, further failures don't increase the delay before the next attempt.
MAX_BUSY_FAILURES = 3


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
        recovery: ends the delay before a retry when the server recovers.
    """

    def __init__(
        self,
        account: Account,
        transport: Sender,
        *,
        retry: RetryPolicy,
        clock: Clock | None = None,
        recovery: Recovery | None = None,
    ) -> None:
        self.account = account
        self.retry = retry
        self._recovery = recovery
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
        failures, busy_since = 0, inf
        while True:
            try:
                result = await self.send_once(call)
            except NetworkError as error:
                if not call.is_repeatable and not isinstance(error, ConnectFailed):
                    raise _ambiguous(call, error) from error
                failures += 1
                await self.back_off(error, failures)
            except ApiError as error:
                if not is_safe_to_repeat(call, error):
                    raise
                failures += 1
                if isinstance(error, TooManyRequests):
                    busy_since = min(busy_since, self._clock.now())
                    failures = self._limit_busy_failures(failures, busy_since)
                await self.back_off(error, failures)
            else:
                report_recovery(failures)
                return result

    def _limit_busy_failures(self, failures: int, busy_since: float) -> int:
        if self._clock.now() - busy_since < self.retry.busy_timeout:
            return min(failures, self.retry.attempts, MAX_BUSY_FAILURES)
        return failures

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
            reason=describe_failure(error),
            request_id=error.request_id,
            failures=failures,
            jitter=self._clock.random(),
            retry_after=error.retry_after if isinstance(error, ApiError) else None,
            status=status_of(error),
        )
        if event is None:
            try:
                raise error
            finally:
                # Breaks the cycle between this frame and the error's traceback.
                del error
        log_event(REQUEST_RETRY, "%s", event, **event.facts)
        report_event(event)
        await self.wait_to_retry(event.delay)

    @property
    def recovers(self) -> bool:
        """Whether `wait_to_retry` may return early."""
        return self._recovery is not None

    async def wait_to_retry(self, seconds: float) -> bool:
        """Wait before a retry; return early, and true, if an outage of the server ends."""
        if self._recovery is None:
            await self._clock.sleep(seconds)
            return False
        return await self._recovery.wait(origin_of(self.account.base_url), seconds)


def _ambiguous(call: Call[T], error: NetworkError) -> AmbiguousRequest:
    return AmbiguousRequest(
        f"{call.request.place} may have taken effect, but its response was lost: {error}",
        request_id=error.request_id,
    )
