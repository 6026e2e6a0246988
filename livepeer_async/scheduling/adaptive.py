"""Adaptive concurrency: how many uploads may run, which starts next, how long to pause.

Pure. The limit doubles at first and then grows by one; an increase is kept only if the throughput
grew by a good part of a slot's share. Congestion (429, 503, time-outs, stalls) halves it. A line
that one upload fills thus keeps few slots, one that limits each connection gets many. A short file
takes a part of a slot, because it mostly waits for round trips.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.http.retry import RetryPolicy

MIB = 1024 * 1024

INITIAL_SLOTS = 2
# Each slot holds 1.5 MiB and a connection or two.
MAX_SLOTS = 32
# Of the growth that a slot would bring on an empty line, so much must come for it to stay.
MIN_GAIN = 0.4
# Measurements after a step that brought nothing, before the next is tried; doubled each time.
MIN_COOLDOWN = 4
MAX_COOLDOWN = 32
# Files from this size on are large: they hold a slot for long, and small ones could starve.
LARGE_FILE = 64 * MIB
# Of fewer slots than these, small and large files can't have a half each.
FEWEST_TO_SHARE = 2
# Files from this size on take a whole slot. One of 64 KiB at 80 ms and 25 Mbit/s waits for answers
# for nine tenths of its time.
FULL_SLOT_SIZE = MIB
SMALLEST_SHARE = 1 / 16
# Tasks end every few seconds where a hundred of them run.
LONGEST_QUEUE_PAUSE = 5.0
# Slower than this a chunk of 8 MiB would come near the 300 s after which Studio cuts a request.
MIN_UPLOAD_RATE = 64 * 1024


class Slots(Struct, frozen=True, kw_only=True):
    """How many uploads may run, and what is known of the line.

    Attributes:
        count: uploads that may run at the same time.
        max_count: that `count` never exceeds.
        rate: bytes per second before the last step; `None` before a measurement.
        step: slots that the last step added; 0 while resting.
        is_doubling: whether no step has failed yet.
        rest: measurements to go before the next step.
        next_rest: the length of the next rest.
    """

    count: int = INITIAL_SLOTS
    max_count: int = MAX_SLOTS
    rate: float | None = None
    step: int = 0
    is_doubling: bool = True
    cooldown: int = 0
    next_cooldown: int = MIN_COOLDOWN


class Sample(Struct, frozen=True, kw_only=True):
    """What a moment brought.

    Attributes:
        rate: bytes per second that the sockets took.
        is_full: whether all slots were in use.
        congestion_events: answers 429 and 503, time-outs and stalls.
    """

    rate: float
    is_full: bool
    congestion_events: int = 0


def adapt(slots: Slots, sample: Sample) -> Slots:
    """Say how many uploads may run after a measurement."""
    if sample.congestion_events:
        return _back_off(slots)
    if not sample.is_full or not sample.rate:
        # Slots aren't what bounds the rate, or all wait: nothing is learned of them.
        return replace(slots, rate=None, step=0)
    if slots.step:
        return _evaluate_step(slots, sample.rate)
    if slots.cooldown:
        return replace(slots, cooldown=slots.cooldown - 1, rate=sample.rate)
    return _grow(slots, sample.rate)


def max_slots_at_rate(max_rate: float) -> int:
    """Say how many uploads may share so many bytes per second."""
    return max(1, int(max_rate // MIN_UPLOAD_RATE))


def load_of(running: Collection[int | None]) -> float:
    """Say how many slots are taken.

    Args:
        running: lengths in bytes of those that run; `None` where unknown, which takes a whole one.
    """
    return sum(
        1.0 if length is None else min(1.0, max(SMALLEST_SHARE, length / FULL_SLOT_SIZE))
        for length in running
    )


def next_to_start(
    waiting: Sequence[int | None], running: Collection[int | None], *, slots: int
) -> int:
    """Say which of those that wait starts next: the first, with two exceptions.

    A small one goes before a large one where large ones would hold more than half of the slots, and
    a large one before small ones where none runs, so that the long ones begin early. A single slot
    goes to the first: whoever else were preferred would have it for ever.

    Args:
        waiting: lengths in bytes in their order, at least one; `None` where unknown, which counts
            as large.
        running: lengths of those that run.
        slots: uploads that may run at the same time.

    Returns:
        The index in `waiting`.
    """
    large = sum(_is_large(length) for length in running)
    if slots < FEWEST_TO_SHARE or 0 < large < slots // 2:
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
    """Give the seconds for which everything pauses before one request probes.

    They begin at twice the first delay of a single request, for they are everybody's.

    Args:
        policy: its first and its longest delay.
        pauses: pauses in a row, this one included; from 1.
        jitter: a random number in 0..1.
        retry_after: seconds that the server asked for; obeyed as far as the policy does.
        is_queue_full: whether the account's queue is full, which a task that ends changes, rather
            than the server overloaded.
    """
    longest = min(policy.max_delay, policy.first_delay * float(2 ** min(pauses, 30)))
    if is_queue_full:
        longest = min(longest, LONGEST_QUEUE_PAUSE)
    asked = min(retry_after or 0.0, policy.max_retry_after)
    return max(longest * (0.5 + jitter / 2), asked)


def _back_off(slots: Slots) -> Slots:
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
    """Keep the slots of the last step if they brought enough, else take them back."""
    before = slots.count - slots.step
    wanted = (slots.rate or 0.0) * (1 + MIN_GAIN * slots.step / before)
    if rate >= wanted:
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
