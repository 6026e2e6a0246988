"""Adaptive concurrency: how many uploads may run, which one starts next, how long pauses are.

Additive increase, multiplicative decrease (AIMD): the slots double at first and then grow by one,
and a step is kept only if it raises the throughput enough. Congestion (429, 503, timeouts, stalls)
halves them. A network that one upload can fill thus keeps few slots, one that limits each
connection gets many. A short file takes a part of a slot, because it mostly waits for round trips.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.http.retry import RetryPolicy, backoff

MIB = 1024 * 1024

INITIAL_SLOTS = 2
# Each slot holds 1.5 MiB and a connection or two.
MAX_SLOTS = 32
# A step is kept if the throughput grows by this fraction of the gain that the new slots allow.
MIN_GAIN = 0.4
# Measurements after a rejected step until the next one; doubled with each rejection.
MIN_COOLDOWN = 4
MAX_COOLDOWN = 32
# Files from this size on hold a slot for long, and could starve small ones.
LARGE_FILE = 64 * MIB
# With fewer slots, small and large files can't have one half each.
MIN_SHARED_SLOTS = 2
# Files from this size on take a whole slot. One of 64 KiB at 80 ms and 25 Mbit/s spends nine tenths
# of its time waiting for responses.
FULL_SLOT_SIZE = MIB
MIN_SHARE = 1 / 16
# Maximum pause for a full queue in seconds: with a hundred tasks, one ends every few seconds.
MAX_QUEUE_PAUSE = 5.0
# Bytes per second. Below, a chunk of 8 MiB comes near the 300 s after which Studio ends a request.
MIN_UPLOAD_RATE = 64 * 1024


class Slots(Struct, frozen=True, kw_only=True):
    """The number of uploads that may run, and the state of its adaptation.

    Attributes:
        count: uploads that may run concurrently.
        max_count: the upper bound of `count`.
        rate: bytes per second before the last step; `None` before a measurement.
        step: slots that the last step added; 0 without one to evaluate.
        is_doubling: whether no step was rejected yet.
        cooldown: measurements until the next step.
        next_cooldown: the cooldown after the next rejection.
    """

    count: int = INITIAL_SLOTS
    max_count: int = MAX_SLOTS
    rate: float | None = None
    step: int = 0
    is_doubling: bool = True
    cooldown: int = 0
    next_cooldown: int = MIN_COOLDOWN


class Sample(Struct, frozen=True, kw_only=True):
    """A measurement.

    Attributes:
        rate: bytes per second that the sockets accepted.
        is_full: whether all slots were in use.
        congestion_events: number of responses 429 and 503, timeouts and stalls.
    """

    rate: float
    is_full: bool
    congestion_events: int = 0


def adapt(slots: Slots, sample: Sample) -> Slots:
    """Return the slots after a measurement."""
    if sample.congestion_events:
        return _reduce(slots)
    if not sample.is_full or not sample.rate:
        # Slots don't limit the throughput, or nothing is sent: the measurement says nothing.
        return replace(slots, rate=None, step=0)
    if slots.step:
        return _evaluate_step(slots, sample.rate)
    if slots.cooldown:
        return replace(slots, cooldown=slots.cooldown - 1, rate=sample.rate)
    return _grow(slots, sample.rate)


def max_slots_at_rate(max_rate: float) -> int:
    """Return how many uploads may share a maximum rate in bytes per second."""
    return max(1, int(max_rate // MIN_UPLOAD_RATE))


def compute_load(running: Collection[int | None]) -> float:
    """Return how many slots the running uploads take.

    Args:
        running: lengths in bytes; `None` if unknown, which takes a whole slot.
    """
    return sum(
        1.0 if length is None else min(1.0, max(MIN_SHARE, length / FULL_SLOT_SIZE))
        for length in running
    )


def next_to_start(
    waiting: Sequence[int | None], running: Collection[int | None], *, slots: int
) -> int:
    """Choose the upload that starts next: the first one, with two exceptions.

    A small file goes before large ones if large ones would hold more than half of the slots. A
    large file goes before small ones if no large one runs, to start long uploads early. A single
    slot always goes to the first upload; any preference would starve the others.

    Args:
        waiting: lengths in bytes in order, at least one; `None` if unknown, which counts as large.
        running: lengths of the running uploads.
        slots: uploads that may run concurrently.

    Returns:
        The index in `waiting`.
    """
    large = sum(_is_large(length) for length in running)
    if slots < MIN_SHARED_SLOTS or 0 < large < slots // 2:
        return 0
    found = (index for index, length in enumerate(waiting) if _is_large(length) is not bool(large))
    return next(found, 0)


def pause_delay(
    policy: RetryPolicy,
    pauses: int,
    *,
    jitter: float,
    retry_after: float | None,
    is_queue_full: bool = False,
) -> float:
    """Return the seconds for which all requests pause before one of them probes.

    They start at twice the policy's first delay, because they stop all requests.

    Args:
        policy: its delays apply.
        pauses: pauses in a row, this one included; from 1.
        jitter: a random number in 0..1.
        retry_after: seconds that the server asked for; bounded by the policy.
        is_queue_full: whether the account's queue is full, which ends with the next finished task,
            rather than the server overloaded.
    """
    maximum = min(policy.max_delay, MAX_QUEUE_PAUSE) if is_queue_full else policy.max_delay
    delay = backoff(
        pauses, first_delay=2 * policy.first_delay, max_delay=maximum, jitter=0.5 + jitter / 2
    )
    return max(delay, min(retry_after or 0.0, policy.max_retry_after))


def _reduce(slots: Slots) -> Slots:
    return replace(
        slots,
        count=max(1, slots.count // 2),
        rate=None,
        step=0,
        is_doubling=False,
        cooldown=MIN_COOLDOWN,
        next_cooldown=MIN_COOLDOWN,
    )


def _evaluate_step(slots: Slots, rate: float) -> Slots:
    """Keep the last step if it raised the throughput enough, else undo it."""
    before = slots.count - slots.step
    required = (slots.rate or 0.0) * (1 + MIN_GAIN * slots.step / before)
    if rate >= required:
        return _grow(replace(slots, next_cooldown=MIN_COOLDOWN), rate)
    return replace(
        slots,
        count=before,
        rate=None,
        step=0,
        is_doubling=False,
        cooldown=slots.next_cooldown,
        next_cooldown=min(2 * slots.next_cooldown, MAX_COOLDOWN),
    )


def _grow(slots: Slots, rate: float) -> Slots:
    step = min(slots.count if slots.is_doubling else 1, slots.max_count - slots.count)
    return replace(slots, count=slots.count + step, rate=rate, step=step)


def _is_large(length: int | None) -> bool:
    return length is None or length >= LARGE_FILE
