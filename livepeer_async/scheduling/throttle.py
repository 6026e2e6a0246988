"""Rate limit, back-pressure and slots of one client.

Callers await the budget before they send; it delays them to respect the rate limit and the pauses
that the server asks for. The decisions are made in `adaptive`.
"""

from __future__ import annotations

import random
import sys
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection
from http import HTTPStatus
from math import inf
from typing import Any

import anyio
from msgspec.structs import replace

from livepeer_async.errors import ConfigurationError, TimedOut
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.transport import MAX_RESPONSE_SIZE, Transport
from livepeer_async.scheduling.adaptive import (
    MAX_SLOTS,
    MIN_UPLOAD_RATE,
    Sample,
    Slots,
    adapt,
    load_of,
    max_slots_at_rate,
    pause_delay,
)

# Seconds between two measurements: a new upload needs about one before its bytes flow.
PERIOD = 2.5
# The first part of a period isn't measured: a step of the slots takes so long to show.
WARM_UP = 1.0
# A probe that has told nothing for so long is taken for lost: it may be a chunk, which takes a
# minute on a slow line, and all else would wait for it.
PROBE_SECONDS = 10.0
# Seconds without a byte and an answer after which one more upload would only wait with the others.
IDLE_LIMIT = 10.0
# Seconds that who has waited may have woken too late.
MAX_WAKEUP_DELAY = 1.0
# Of a pause is slept at a time.
SLEEP_STEP = 0.25


class Throttle:
    """What the uploads of a client share; it may be changed while they run.

    Args:
        concurrency: uploads of `upload_many` at the same time; `None` adapts to the line.
        max_rate: bytes per second of all uploads; `None` for no limit.
        most: uploads that there are connections for; `None` where nothing bounds these.
        retry: how long pauses are.
        sleep: waits so many seconds.
        clock: gives seconds that only grow.
        jitter: gives a random number in 0..1.

    Raises:
        ConfigurationError: one of them can't work.
    """

    def __init__(  # noqa: PLR0913 - time and chance come in as arguments, with the real ones as defaults
        self,
        *,
        concurrency: int | None = None,
        max_rate: float | None = None,
        most: int | None = None,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._retry = retry or RetryPolicy()
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._most = sys.maxsize if most is None else max(1, most)
        self._sent = 0
        self._due = -inf
        self._max_rate: float | None = None
        # Those who wait for the rate, each until it is the first.
        self._line: deque[anyio.Event] = deque()
        self.concurrency = concurrency
        self.max_rate = max_rate
        self._slots = Slots()
        self._congestion_events = 0
        self._eased_at = self._troubled_at = -inf
        self._measured_from: tuple[float, int] | None = None
        self._period_began = self._looked_at = -inf
        self._pauses = 0
        self._paused_until = 0.0
        self._probed_at: float | None = None
        self._out = 0
        self._moved_at = 0.0

    def __repr__(self) -> str:
        adapts = "adapting, " if self._concurrency is None else ""
        rate = "any rate" if self._max_rate is None else f"{self._max_rate:g} bytes/s"
        return f"<Budget {adapts}{self.slots} uploads, {rate}>"

    @property
    def concurrency(self) -> int | None:
        """Uploads of `upload_many` at the same time; `None` adapts to the line."""
        return self._concurrency

    @concurrency.setter
    def concurrency(self, value: int | None) -> None:
        if value is not None and (type(value) is not int or value < 1):
            raise ConfigurationError(f"concurrency is {value!r}; wanted at least 1, or None")
        self._concurrency = value

    @property
    def max_rate(self) -> float | None:
        """Bytes per second of all uploads; `None` for no limit."""
        return self._max_rate

    @max_rate.setter
    def max_rate(self, value: float | None) -> None:
        if value is not None and not _is_rate(value):
            raise ConfigurationError(
                f"max_rate is {value!r} bytes per second; wanted at least {MIN_UPLOAD_RATE}, or a "
                "chunk would take longer than the server waits; or None, for no limit"
            )
        # What went at the rate before has had a part of its time.
        now, before = self._clock(), self._max_rate
        is_owed = value is not None and before is not None and self._due > now
        ratio = (before or 1.0) / (value or 1.0)
        self._due = now + (self._due - now) * ratio if is_owed else -inf
        self._max_rate = value

    @property
    def slots(self) -> int:
        """Uploads that may run at the same time, as things are; more of short ones, up to 32."""
        wanted = self._slots.count if self._concurrency is None else self._concurrency
        return min(wanted, self._ceiling)

    def has_room(self, running: Collection[int | None]) -> bool:
        """Whether one more upload may start; `running` are the lengths of those that run."""
        if self.idle_seconds >= IDLE_LIMIT:
            return False
        if self._concurrency is not None:
            return len(running) < self.slots
        return len(running) < min(MAX_SLOTS, self._most) and load_of(running) < self.slots

    @property
    def is_paused(self) -> bool:
        """Whether the server asked for less load and hasn't taken any since."""
        return self._pauses > 0

    async def consume(self, count: int) -> None:
        """Wait until so many bytes may go."""
        if self._max_rate is not None:
            await self._wait_for_rate(count)
        self._sent += count
        self._moved_at = self._clock()

    async def _wait_for_rate(self, count: int) -> None:
        """Wait until those before have gone, and had their time."""
        turn = anyio.Event()
        self._line.append(turn)
        try:
            has_waited = self._line[0] is not turn
            if has_waited:
                await turn.wait()
            while self._max_rate is not None and (wait := self._due - self._clock()) > 0:
                has_waited = True
                # Short steps: the rate may be changed meanwhile.
                await self._sleep(min(wait, SLEEP_STEP))
            if self._max_rate is not None:
                # Who has waited may have woken late, which must not slow the line down.
                late = self._clock() - (MAX_WAKEUP_DELAY if has_waited else 0.0)
                self._due = max(self._due, late) + count / self._max_rate
        finally:
            is_first = self._line[0] is turn
            self._line.remove(turn)
            if is_first and self._line:
                self._line[0].set()

    async def wait_while_paused(self) -> None:
        """Wait while everything pauses, and leave it to others who probes."""
        while self._pauses and (wait := self._paused_until - self._clock()) > 0:
            await self._sleep(min(wait, SLEEP_STEP))

    async def wait_or_probe(self) -> bool:
        """Wait while everything pauses; the first whose pause is over goes ahead and probes.

        Returns:
            Whether this is the probe; `probe_lost` must follow where it gets no answer.
        """
        while self._pauses:
            now = self._clock()
            wait = self._paused_until - now
            if self._probed_at is not None:
                wait = max(wait, self._probed_at + PROBE_SECONDS - now)
            if wait <= 0:
                self._probed_at = now
                return True
            # Short steps: the probe may have found the server well.
            await self._sleep(min(wait, SLEEP_STEP))
        return False

    def release_probe(self) -> None:
        """Take note that the probe got no answer: the next one probes."""
        self._probed_at = None

    def request_started(self) -> None:
        """Take note that a request goes out."""
        self._moved_at = self._clock() if not self._out else self._moved_at
        self._out += 1

    def request_finished(self) -> None:
        """Take note that a request has ended, with an answer or without."""
        self._out -= 1

    @property
    def idle_seconds(self) -> float:
        """Seconds for which requests have been out, and neither a byte moved nor an answer came."""
        return self._clock() - self._moved_at if self._out else 0.0

    def record_overload(self, retry_after: float | None, *, is_queue_full: bool = False) -> None:
        """Take note that the server asked for less load: all pause."""
        self._moved_at = self._clock()
        if self._pauses and self._probed_at is None and self._clock() < self._paused_until:
            return  # it was on its way before the pause began
        self.record_stall()
        self._pauses += 1
        pause = pause_delay(
            self._retry,
            self._pauses,
            jitter=self._jitter(),
            retry_after=retry_after,
            is_queue_full=is_queue_full,
        )
        self._paused_until, self._probed_at = self._clock() + pause, None

    def record_success(self) -> None:
        """Take note that the server takes requests."""
        self._moved_at = self._clock()
        is_probe = self._probed_at is not None
        if is_probe or self._clock() >= self._paused_until:
            self._pauses, self._probed_at = 0, None

    def record_stall(self) -> None:
        """Take note that nothing moved for a while."""
        self._congestion_events += 1
        self._troubled_at = self._clock()

    def sample(self, running: Collection[int | None]) -> None:
        """Look how much was sent, and adapt the slots once in a period; call it often.

        Args:
            running: lengths of the uploads that run.
        """
        now = self._clock()
        is_full = load_of(running) >= self.slots
        # Between two calls of `upload_many` nobody looks, and nothing is learned.
        is_new, self._looked_at = now - self._looked_at > WARM_UP, now
        if is_new or not is_full or self._pauses:
            self._period_began, self._measured_from = now, None
        if self._measured_from is None and now - self._period_began >= WARM_UP:
            self._measured_from = (now, self._sent)
        if now - self._eased_at < PERIOD or now - self._troubled_at > PERIOD:
            # What comes so soon after the last is the same event; what came long ago is over.
            self._congestion_events = 0
        if now - self._period_began < PERIOD and not self._congestion_events:
            return
        since, sent = self._measured_from or (self._period_began, self._sent)
        rate = (self._sent - sent) / (now - since) if now > since else 0.0
        before = replace(self._slots, max_count=min(MAX_SLOTS, self._ceiling))
        self._slots = adapt(
            before, Sample(rate=rate, is_full=is_full, congestion_events=self._congestion_events)
        )
        if self._congestion_events:
            self._eased_at = now
        self._period_began, self._measured_from, self._congestion_events = now, None, 0

    @property
    def _ceiling(self) -> int:
        """Uploads that neither the connections nor the rate let be more."""
        return (
            self._most
            if self._max_rate is None
            else min(self._most, max_slots_at_rate(self._max_rate))
        )


def _is_rate(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and MIN_UPLOAD_RATE <= value < inf


class ThrottledTransport:
    """Sends through a transport as the budget allows.

    Args:
        transport: carries the requests.
        budget: says when.
    """

    def __init__(self, transport: Transport, throttle: Throttle) -> None:
        self._transport = transport
        self._throttle = throttle

    async def send(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = MAX_RESPONSE_SIZE,
    ) -> Response:
        """Send a request once it may go; arguments and errors as `Transport.send`."""
        throttle = self._throttle
        is_probe = await throttle.wait_or_probe()
        metered = None if blocks is None else _ThrottledBody(blocks, throttle)
        throttle.request_started()
        try:
            response = await self._transport.send(request, blocks=metered, largest=largest)
        except BaseException as error:
            if isinstance(error, TimedOut):
                throttle.record_stall()
            if is_probe:
                throttle.release_probe()
            raise
        finally:
            throttle.request_finished()
        if response.is_overload:
            is_queue_full = response.status == HTTPStatus.TOO_MANY_REQUESTS
            throttle.record_overload(response.retry_after, is_queue_full=is_queue_full)
        else:
            throttle.record_success()
        return response


class _ThrottledBody:
    """Pass blocks on when their bytes may go.

    A class and not a generator, so that an interrupted request leaves nothing suspended.
    """

    def __init__(self, blocks: AsyncIterable[bytes | memoryview], throttle: Throttle) -> None:
        self._blocks = aiter(blocks)
        self._throttle = throttle

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        piece = await anext(self._blocks)
        await self._throttle.consume(len(piece))
        return piece
