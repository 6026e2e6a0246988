"""Retry policy: how long to wait before the next attempt, or that there is none.

Pure; the caller sleeps.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct

from livepeer_async.errors import ConfigurationError

# The exponent that takes any first delay beyond any sensible longest one.
_MOST_DOUBLINGS = 30


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When to repeat what failed.

    Attributes:
        attempts: setbacks that are borne without progress; each byte of progress starts the count
            anew, so that a long upload over a bad link isn't punished for its length. Of an upload,
            those of its chunks and those of each question for its offset are counted apart.
        first_delay: seconds of the first wait at the most; doubled with each setback.
        max_delay: seconds of any wait at the most, unless the server asks for more.
        max_retry_after: seconds of `Retry-After` that are obeyed; beyond them the attempt ends.
        busy_timeout: seconds for which a full queue (429) is waited out beyond `attempts`;
            hours are right for unattended jobs.
        restarts: times in a row that an upload may begin again on a new ticket after it was lost;
            one that got further than ever before starts the count anew. A request for an upload
            whose answer was lost is repeated as often.
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
        # Written so that NaN, which compares as false, is refused too.
        if not (0 <= self.first_delay < inf and 0 <= self.max_delay < inf):
            raise ConfigurationError("RetryPolicy: delays must be 0 or above, and finite")
        if not (self.max_retry_after >= 0 and self.busy_timeout >= 0):
            raise ConfigurationError(
                "RetryPolicy: max_retry_after and busy_timeout must be 0 or above"
            )


class RetryEvent(Struct, frozen=True, kw_only=True):
    """What came between, and when the next attempt is.

    Attributes:
        reason: what happened, without secrets.
        attempt: setbacks since the last progress, this one included.
        attempts: how many are borne.
        delay: seconds until the next attempt.
    """

    reason: str
    attempt: int
    attempts: int
    delay: float

    def __str__(self) -> str:
        return (
            f"{self.reason}; setback {self.attempt} of {self.attempts}, "
            f"next attempt in {self.delay:.1f} s"
        )


def next_delay(
    policy: RetryPolicy, *, failures: int, jitter: float, retry_after: float | None = None
) -> float | None:
    """Give the seconds to wait after a setback, or `None` to give up.

    The wait is exponential with full jitter, so that clients that failed together don't come back
    together.

    Args:
        policy: the policy.
        failures: setbacks since the last progress, this one included; from 1.
        jitter: a random number in 0..1.
        retry_after: seconds that the server asked for.
    """
    if failures > policy.attempts:
        return None
    if retry_after is not None and retry_after > policy.max_retry_after:
        return None
    return max(_longest_delay(policy, failures) * jitter, retry_after or 0.0)


class RestartCounter:
    """Counts how often an upload began again since it last got further than ever before.

    Attributes:
        count: restarts since then, the next one included.
    """

    def __init__(self) -> None:
        self.count = 0
        self._furthest = 0

    def next_delay(self, policy: RetryPolicy, *, reached: int, jitter: float) -> float | None:
        """Give the seconds to wait before an upload begins again, or `None` to give up.

        Args:
            policy: the policy.
            reached: bytes that the server held of the upload that was lost.
            jitter: a random number in 0..1.
        """
        if reached > self._furthest:
            self._furthest, self.count = reached, 0
        self.count += 1
        if self.count > policy.restarts:
            return None
        return _longest_delay(policy, self.count) * jitter


def _longest_delay(policy: RetryPolicy, failures: int) -> float:
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    return min(policy.max_delay, policy.first_delay * float(2**doublings))
