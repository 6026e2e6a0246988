"""Rate limit, back-pressure and upload slots of one client.

Callers await the throttle before sending; it delays them to respect the rate limit and the pauses
that the server asks for. `adaptive` makes the decisions.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection
from math import inf
from typing import Any

import anyio
from msgspec.structs import replace

from livepeer_async.concurrency import Clock, LoopLocal
from livepeer_async.errors import ConfigurationError
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.scheduling.adaptive import (
    MAX_SLOTS,
    MIN_UPLOAD_RATE,
    Sample,
    Slots,
    adapt,
    compute_load,
    max_slots_at_rate,
)
from livepeer_async.scheduling.pauses import SLEEP_STEP, Pauses

# Seconds between two measurements: a new upload needs about one before its bytes flow.
PERIOD = 2.5
# Seconds at the start of a period that aren't measured, until a change of the slots has an effect.
WARM_UP = 1.0
# Seconds without a byte or a response after which another upload would only wait as well.
IDLE_LIMIT = 10.0
# Seconds by which a sleep may end late without lowering the rate.
MAX_WAKEUP_DELAY = 1.0


class _LoopState:
    """What a throttle has in one event loop.

    Attributes:
        rate_lock: fair; callers consume the rate in the order in which they came.
        in_flight: number of requests.
    """

    def __init__(self) -> None:
        self.rate_lock = anyio.Lock(fast_acquire=True)
        self.in_flight = 0


class Throttle:
    """The limits that all uploads of a client share; they may be changed while uploads run.

    Event loops in several threads share the rate and the pauses; the concurrency counts in each.
    With a journal on PostgreSQL, all clients of the account that have it open share both.

    Args:
        concurrency: maximum number of concurrent uploads of `upload_many`; `None` adapts it to the
            throughput.
        max_rate: maximum bytes per second of all uploads; `None` for no limit. The clients of a
            shared journal divide it by the number of those that have one.
        max_slots: number of uploads that there are connections for; `None` for no limit.
        descriptors: limit how many uploads may run.
        retry: determines the length of pauses.
        clock: time and randomness.

    Attributes:
        activity: a number that increases while bytes are sent and the server responds.
        pauses: the pauses after 429 and 503.

    Raises:
        ConfigurationError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        concurrency: int | None = None,
        max_rate: float | None = None,
        max_slots: int | None = None,
        descriptors: Descriptors | None = None,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self.pauses = Pauses(retry or RetryPolicy(), self._clock)
        self._descriptors = descriptors or Descriptors()
        self._max_slots = sys.maxsize if max_slots is None else max(1, max_slots)
        self._sent = 0
        # Until then, the bytes that were sent use up the maximum rate.
        self._due_at = -inf
        self._max_rate: float | None = None
        # Of `max_rate`; the clients of a shared journal divide it.
        self._rate: float | None = None
        self._sharers = 1
        self._wake: Callable[[], None] | None = None
        self._due_lock = threading.Lock()
        self._loops = LoopLocal(_LoopState)
        self.concurrency = concurrency
        self.max_rate = max_rate
        self._slots = Slots()
        self._congestion_events = 0
        self._congested_at = self._reduced_at = -inf
        self._measured_from: tuple[float, int] | None = None
        self._period_start = self._sampled_at = -inf
        self._active_at = 0.0
        self._failing_since: float | None = None
        self.activity = 0

    def __repr__(self) -> str:
        adapts = "adapting, " if self._concurrency is None else ""
        rate = "any rate" if self._rate is None else f"{self._rate:g} bytes/s"
        return f"<Throttle {adapts}{self.slots} uploads, {rate}>"

    @property
    def concurrency(self) -> int | None:
        """Maximum number of concurrent uploads; `None` adapts it to the throughput."""
        return self._concurrency

    @concurrency.setter
    def concurrency(self, value: int | None) -> None:
        if value is not None and (type(value) is not int or value < 1):
            raise ConfigurationError(f"concurrency is {value!r}; wanted at least 1, or None")
        self._concurrency = value

    @property
    def max_rate(self) -> float | None:
        """Maximum bytes per second of all uploads; `None` for no limit.

        With a journal on PostgreSQL, it is divided by the number of clients of the account that
        have set one: give each the same.
        """
        return self._max_rate

    @max_rate.setter
    def max_rate(self, value: float | None) -> None:
        if value is not None and not _is_rate(value):
            raise ConfigurationError(
                f"max_rate is {value!r} bytes per second; wanted at least {MIN_UPLOAD_RATE}, or a "
                "chunk would take longer than the server waits; or None, for no limit"
            )
        self._max_rate = value
        self._divide_rate()
        if (wake := self._wake) is not None:
            wake()

    def set_limits(self, concurrency: int | None, max_rate: float | None) -> None:
        """Set those limits that aren't `None`; the others stay."""
        if concurrency is not None:
            self.concurrency = concurrency
        if max_rate is not None:
            self.max_rate = max_rate

    @property
    def rate_share(self) -> float | None:
        """Maximum bytes per second of this client, its share of `max_rate`."""
        return self._rate

    def share_rate(self, sharers: int) -> None:
        """Divide `max_rate` between clients; may be called in any thread.

        Args:
            sharers: number of clients that have a maximum rate, this one included.
        """
        if sharers != self._sharers:
            self._sharers = sharers
            self._divide_rate()

    def attach(self, wake: Callable[[], None]) -> None:
        """Share the limits from now on; may be called in any thread.

        Args:
            wake: called in any thread after a change, and must not block.
        """
        self._wake = wake
        self.pauses.attach(wake)

    def detach(self) -> None:
        """Keep pauses to this client, and its share of the rate; may be called in any thread."""
        self._wake = None
        self.pauses.detach()

    def _divide_rate(self) -> None:
        """Change the rate; bytes that were already sent count at the new one."""
        with self._due_lock:
            total, before = self._max_rate, self._rate
            rate = None if total is None else max(total / max(self._sharers, 1), MIN_UPLOAD_RATE)
            now = self._clock.now()
            has_backlog = rate is not None and before is not None and self._due_at > now
            ratio = (before or 1.0) / (rate or 1.0)
            self._due_at = now + (self._due_at - now) * ratio if has_backlog else -inf
            self._rate = rate

    @property
    def slots(self) -> int:
        """How many uploads may run now; if they adapt, up to 32 when the files are short."""
        wanted = self._slots.count if self._concurrency is None else self._concurrency
        return min(wanted, self._max_count)

    def has_room(self, running: Collection[int | None]) -> bool:
        """Whether one more upload may start, given the lengths of the running ones."""
        max_uploads = self._descriptors.max_uploads(len(running))
        if self.idle_seconds >= IDLE_LIMIT or (
            max_uploads is not None and len(running) >= max_uploads
        ):
            return False
        if self._concurrency is not None:
            return len(running) < self.slots
        return len(running) < min(MAX_SLOTS, self._max_slots) and compute_load(running) < self.slots

    async def consume(self, count: int) -> None:
        """Wait until `count` bytes may be sent, and record them."""
        if self._rate is not None:
            await self.wait_for_rate(count)
        self.record_sent(count)

    def record_sent(self, count: int) -> None:
        """Record that `count` bytes are sent."""
        self._sent += count
        self.activity += 1
        self._active_at = self._clock.now()

    async def wait_for_rate(self, count: int) -> None:
        """Wait until the maximum rate, if there is one, allows `count` bytes."""
        rate_lock = self._loops.get().rate_lock
        has_waited = rate_lock.locked()
        async with rate_lock:
            while self._rate is not None and (wait := self._due_at - self._clock.now()) > 0:
                has_waited = True
                await self._clock.sleep(min(wait, SLEEP_STEP))
            # A caller that waited may have woken late, which must not lower the rate.
            allowance = MAX_WAKEUP_DELAY if has_waited else 0.0
            with self._due_lock:
                if self._rate is not None:
                    start = max(self._due_at, self._clock.now() - allowance)
                    self._due_at = start + count / self._rate

    @property
    def is_paused(self) -> bool:
        """Whether the server asked for less load and hasn't accepted a request since."""
        return self.pauses.is_active

    async def wait_while_paused(self) -> None:
        """Wait while all requests are paused, without becoming the probe."""
        await self.pauses.wait()

    async def wait_or_probe(self) -> bool:
        """Wait while all requests are paused; see `Pauses.wait_or_probe`."""
        return await self.pauses.wait_or_probe()

    def release_probe(self) -> None:
        """Allow another caller to probe, because the probe got no response."""
        self.pauses.release_probe()

    def request_started(self) -> None:
        """Count a request as in flight."""
        loop_state = self._loops.get()
        if not loop_state.in_flight:
            self._active_at = self._clock.now()
        loop_state.in_flight += 1

    def request_finished(self) -> None:
        """Count a request as finished, with or without a response."""
        self._loops.get().in_flight -= 1

    @property
    def idle_seconds(self) -> float:
        """Seconds without a byte or a response while requests are in flight."""
        in_flight = self._loops.get().in_flight
        return self._clock.now() - self._active_at if in_flight else 0.0

    @property
    def silent_seconds(self) -> float:
        """Seconds for which all requests have failed, or are waiting without a byte or a response.

        Failures are broken connections and 5xx responses.
        """
        since = self._failing_since
        return max(self.idle_seconds, 0.0 if since is None else self._clock.now() - since)

    def record_failure(self) -> None:
        """Record that a request failed because of the server or the network."""
        if self._failing_since is None:
            self._failing_since = self._clock.now()

    def record_response(self) -> None:
        """Record that the server processed a request, which says nothing about its load."""
        self._failing_since = None
        self.activity += 1

    def record_overload(self, retry_after: float | None, *, is_queue_full: bool = False) -> None:
        """Pause all requests, because the server asked for less load.

        Args:
            retry_after: seconds that the server asked for.
            is_queue_full: whether the account's queue is full, rather than the server overloaded.
        """
        self._active_at = self._clock.now()
        if self.pauses.pause(retry_after, is_queue_full=is_queue_full):
            self.record_stall()

    def record_success(self) -> None:
        """End a pause if the response is to its probe, or came after it."""
        self._active_at = self._clock.now()
        self.pauses.record_success()

    def record_stall(self) -> None:
        """Count a congestion event: a stall or a timeout."""
        self._congestion_events += 1
        self._congested_at = self._clock.now()

    def sample(self, running: Collection[int | None]) -> None:
        """Measure the throughput and adapt the slots once a period; call this often.

        Args:
            running: lengths of the running uploads.
        """
        now = self._clock.now()
        is_full = compute_load(running) >= self.slots
        # Nothing is measured between two calls of `upload_many`.
        is_first, self._sampled_at = now - self._sampled_at > WARM_UP, now
        if is_first or not is_full or self.is_paused:
            self._period_start, self._measured_from = now, None
        if self._measured_from is None and now - self._period_start >= WARM_UP:
            self._measured_from = (now, self._sent)
        if now - self._reduced_at < PERIOD or now - self._congested_at > PERIOD:
            # Part of the last event, or too old to say anything about the present.
            self._congestion_events = 0
        if now - self._period_start >= PERIOD or self._congestion_events:
            self._adapt(now, is_full=is_full)

    def _adapt(self, now: float, *, is_full: bool) -> None:
        since, sent = self._measured_from or (self._period_start, self._sent)
        rate = (self._sent - sent) / (now - since) if now > since else 0.0
        sample = Sample(rate=rate, is_full=is_full, congestion_events=self._congestion_events)
        max_count = min(MAX_SLOTS, self._max_count)
        self._slots = adapt(replace(self._slots, max_count=max_count), sample)
        if self._congestion_events:
            self._reduced_at = now
        self._period_start, self._measured_from, self._congestion_events = now, None, 0

    @property
    def _max_count(self) -> int:
        """The number of uploads that connections and rate allow."""
        if self._rate is None:
            return self._max_slots
        return min(self._max_slots, max_slots_at_rate(self._rate))


def _is_rate(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and MIN_UPLOAD_RATE <= value < inf
