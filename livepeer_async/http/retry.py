"""Retry policy: how long to wait before the next attempt, and when to give up.

Pure; the caller sleeps.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct

from livepeer_async.errors import ConfigurationError, LivepeerError
from livepeer_async.models.model import Model
from livepeer_async.redaction import redacted

# Bounds the exponent: more doublings exceed any sensible delay, and overflow a float.
_MAX_EXPONENT = 30


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """Limits for retries, and the delays between them.

    Attributes:
        attempts: retries without progress. Each byte of progress resets the count, which keeps long
            uploads alive on a bad link. In an upload, the requests that send data and those that
            ask for the offset are counted separately.
        first_delay: maximum delay before the first retry, in seconds; doubles with each failure.
        max_delay: maximum delay before any retry, in seconds, unless the server asks for more.
        max_retry_after: maximum `Retry-After` to obey, in seconds; a longer one ends the attempts.
        busy_timeout: seconds to wait for room in a full queue (429) beyond `attempts`, and for
            a journal's database that doesn't respond; hours are right for unattended jobs.
        restarts: times in a row that a lost upload may restart as a new asset. The count is reset
            when an upload gets further than any before it. Also limits how often a request for an
            upload is repeated after its response was lost.
    """

    attempts: int = 10
    first_delay: float = 0.5
    max_delay: float = 60.0
    max_retry_after: float = 600.0
    busy_timeout: float = 0.0
    restarts: int = 10

    def __post_init__(self) -> None:
        if self.attempts < 0 or self.restarts < 0:
            raise ConfigurationError("RetryPolicy: attempts and restarts must be 0 or above")
        # Written this way to reject NaN too: its comparisons are false.
        if not (0 <= self.first_delay < inf and 0 <= self.max_delay < inf):
            raise ConfigurationError("RetryPolicy: delays must be 0 or above, and finite")
        if not (self.max_retry_after >= 0 and self.busy_timeout >= 0):
            raise ConfigurationError(
                "RetryPolicy: max_retry_after and busy_timeout must be 0 or above"
            )


@redacted()
class RetryEvent(Model, frozen=True, kw_only=True):
    """A failure that will be retried.

    Attributes:
        reason: what failed, without secrets.
        request_id: the `X-Request-ID` of the request that failed, if one did.
        attempt: failures since the last progress, this one included.
        attempts: the limit for `attempt`.
        delay: seconds until the next attempt.
        status: the status of the response that failed; `None` without one.
    """

    reason: str
    attempt: int
    attempts: int
    delay: float
    request_id: str | None = None
    status: int | None = None

    @property
    def failure(self) -> str:
        """The reason, with the request ID, which the server's operator may ask for."""
        return f"{self.reason} [request {self.request_id}]" if self.request_id else self.reason

    @property
    def facts(self) -> dict[str, str | int | float | None]:
        """The attributes of its log record."""
        return {
            "attempt": self.attempt,
            "attempts": self.attempts,
            "delay": self.delay,
            "livepeer_request_id": self.request_id,
            "reason": self.reason,
            "status_code": self.status,
        }

    def __str__(self) -> str:
        return f"{self.failure}; retry {self.attempt} of {self.attempts} in {self.delay:.1f} s"


def backoff(
    failures: int, *, first_delay: float, max_delay: float, growth: float = 2.0, jitter: float = 1.0
) -> float:
    """Return an exponential delay in seconds.

    Args:
        failures: failures in a row, the last one included; from 1.
        first_delay: the delay after the first failure.
        max_delay: the upper bound.
        growth: the factor between two delays.
        jitter: factor for the result. A random number in 0..1 (full jitter) keeps clients that
            failed together from retrying together.
    """
    return min(max_delay, first_delay * growth ** min(failures - 1, _MAX_EXPONENT)) * jitter


def next_delay(
    policy: RetryPolicy, *, failures: int, jitter: float, retry_after: float | None = None
) -> float | None:
    """Return the seconds to wait after a failure, or `None` to give up.

    Args:
        policy: the policy.
        failures: failures since the last progress, this one included; from 1.
        jitter: a random number in 0..1.
        retry_after: seconds that the server asked for.
    """
    if failures > policy.attempts:
        return None
    if retry_after is not None and retry_after > policy.max_retry_after:
        return None
    delay = backoff(
        failures, first_delay=policy.first_delay, max_delay=policy.max_delay, jitter=jitter
    )
    return max(delay, retry_after or 0.0)


def next_retry(
    policy: RetryPolicy,
    *,
    reason: str,
    failures: int,
    jitter: float,
    retry_after: float | None = None,
    request_id: str | None = None,
    status: int | None = None,
) -> RetryEvent | None:
    """Return the event for the next retry, or `None` to give up; arguments as for `next_delay`."""
    delay = next_delay(policy, failures=failures, jitter=jitter, retry_after=retry_after)
    if delay is None:
        return None
    return RetryEvent(
        reason=reason,
        attempt=failures,
        attempts=policy.attempts,
        delay=delay,
        request_id=request_id,
        status=status,
    )


def describe_failure(error: LivepeerError) -> str:
    """Return the message and the advice of an error, without the request ID."""
    return "; ".join(filter(None, [*map(str, error.args[:1]), error.advice]))


def status_of(error: LivepeerError) -> int | None:
    """Return the HTTP status that an error is about; `None` for any other error."""
    status: int | None = getattr(error, "status", None)
    return status


class RestartCounter:
    """Counts the restarts of an upload; one that gets further than all before resets the count.

    Attributes:
        count: restarts since the last reset, the next one included.
    """

    def __init__(self) -> None:
        self.count = 0
        self._max_reached = 0

    def next_delay(self, policy: RetryPolicy, *, reached: int, jitter: float) -> float | None:
        """Return the seconds to wait before an upload restarts, or `None` to give up.

        Args:
            policy: the policy.
            reached: bytes that the server had of the lost upload.
            jitter: a random number in 0..1.
        """
        if reached > self._max_reached:
            self._max_reached, self.count = reached, 0
        self.count += 1
        if self.count > policy.restarts:
            return None
        first, maximum = policy.first_delay, policy.max_delay
        return backoff(self.count, first_delay=first, max_delay=maximum, jitter=jitter)

    def next_retry(
        self, policy: RetryPolicy, *, error: LivepeerError, reached: int, jitter: float
    ) -> RetryEvent | None:
        """Return the event for a restart after an error; arguments as for `next_delay`."""
        delay = self.next_delay(policy, reached=reached, jitter=jitter)
        if delay is None:
            return None
        return RetryEvent(
            reason=describe_failure(error),
            attempt=self.count,
            attempts=policy.restarts,
            delay=delay,
            request_id=error.request_id,
            status=status_of(error),
        )
