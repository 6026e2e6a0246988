import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.http.retry import RetryPolicy
from livepeer_async.scheduling.adaptive import (
    LARGE_FILE,
    MAX_SLOTS,
    MIB,
    MIN_UPLOAD_RATE,
    Sample,
    Slots,
    adapt,
    compute_load,
    max_slots_at_rate,
    next_to_start,
    pause_delay,
)

S, L, U = 1, LARGE_FILE, None
MBIT = 125_000


def climb(bandwidth, per_connection, *, steps=20, noise=0.08, seed=1, slots=None):
    """Measure a network with limits in bytes per second, in total and per connection."""
    chance, slots, counts = random.Random(seed), slots or Slots(), []
    for _ in range(steps):
        rate = min(bandwidth, per_connection * slots.count) * (1 + chance.uniform(-noise, noise))
        slots = adapt(slots, Sample(rate=rate, is_full=True))
        counts.append(slots.count)
    return slots, counts


@pytest.mark.parametrize("seed", range(20))
def test_limit_per_connection_gets_enough_slots(seed):
    _, counts = climb(200 * MBIT, 25 * MBIT, seed=seed)
    # The bandwidth is used after six periods of 2.5 s, and stays used.
    assert min(counts[5:]) >= 7
    assert max(counts[8:]) <= 12


@pytest.mark.parametrize("seed", range(20))
def test_bandwidth_used_by_one_upload_keeps_few_slots(seed):
    _, counts = climb(50 * MBIT, 1000 * MBIT, seed=seed)
    assert max(counts[2:]) <= 4
    assert sorted(counts)[len(counts) // 2] <= 3


def test_slots_never_exceed_the_maximum():
    _, counts = climb(100_000 * MBIT, 25 * MBIT)
    assert max(counts) == MAX_SLOTS


def test_slots_recover_after_congestion():
    slots, _ = climb(200 * MBIT, 25 * MBIT)
    halved = adapt(slots, Sample(rate=0, is_full=True, congestion_events=3))
    assert halved.count == slots.count // 2
    recovered, _ = climb(200 * MBIT, 25 * MBIT, slots=halved, steps=30)
    assert recovered.count >= 7


def test_congestion_leaves_one_slot():
    slots = Slots()
    for _ in range(10):
        slots = adapt(slots, Sample(rate=0, is_full=True, congestion_events=1))
    assert slots.count == 1


def test_free_slots_discard_the_measurement():
    slots, _ = climb(200 * MBIT, 25 * MBIT, steps=5)
    idle = adapt(slots, Sample(rate=5, is_full=False))
    assert (idle.count, idle.step, idle.rate) == (slots.count, 0, None)


@given(
    st.lists(
        st.builds(
            Sample,
            rate=st.floats(0, 1e12),
            is_full=st.booleans(),
            congestion_events=st.integers(0, 3),
        ),
        max_size=60,
    )
)
def test_slots_stay_within_their_bounds(samples):
    slots = Slots()
    for sample in samples:
        slots = adapt(slots, sample)
        assert 1 <= slots.count <= MAX_SLOTS


@pytest.mark.parametrize(
    ("waiting", "running", "slots", "chosen"),
    [
        ([S], [], 2, 0),
        ([L], [], 2, 0),
        ([U], [S], 2, 0),
        # In order, unless there is a reason against it.
        ([S, S, L], [L, S, S], 4, 0),
        ([L, S], [L, S, S], 4, 0),
        # A large one starts early if none runs.
        ([S, S, L], [], 2, 2),
        ([S, L, L], [S, S], 4, 1),
        # Small ones aren't starved by large ones.
        ([L, L, S], [L], 2, 2),
        ([L, L, S], [L], 3, 2),
        ([L, U, S], [L, L, S, S], 4, 2),
        ([U, S], [U, U], 4, 1),
        # Five small ones take a part of a slot each.
        ([L, S], [L, S, S, S, S, S], 2, 1),
        # More run than there are slots now.
        ([L, S], [L, L, L, L], 2, 1),
        # One slot goes to the first.
        ([S, L], [], 1, 0),
        ([L, S], [], 1, 0),
        # If all are alike, the first one starts.
        ([L, L], [L, L], 4, 0),
        ([S, S], [S, S], 4, 0),
    ],
)
def test_next_to_start_balances_short_and_long_files(waiting, running, slots, chosen):
    assert next_to_start(waiting, running, slots=slots) == chosen


@given(
    st.lists(st.sampled_from([S, L, U]), min_size=1, max_size=20),
    st.lists(st.sampled_from([S, L, U]), max_size=40),
    st.integers(1, 40),
)
def test_next_to_start_is_an_index(waiting, running, slots):
    assert 0 <= next_to_start(waiting, running, slots=slots) < len(waiting)


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 9])
@pytest.mark.parametrize(("kinds", "other"), [([S] * 3 + [L], L), ([L] * 3 + [S], S)])
def test_neither_size_is_starved_by_the_other(kinds, other, slots):
    common, running, waited = kinds[0], [], 0
    waiting = [*kinds]
    for _ in range(100):
        if len(running) == slots:
            running.pop(0)
        chosen = waiting.pop(next_to_start(waiting, running, slots=slots))
        running.append(chosen)
        waiting.append(common)
        waited = 0 if other not in waiting else waited + 1
        assert waited < max(4, slots)
        if other not in waiting:
            waiting[-1] = other


@given(st.lists(st.sampled_from([S, L]), max_size=40), st.integers(2, 32))
def test_large_files_take_at_most_half_of_the_slots(running, slots):
    large = running.count(L)
    chosen = next_to_start([L, S], running, slots=slots)
    assert chosen == 1 or large == 0 or 2 * (large + 1) <= slots


@pytest.mark.parametrize(
    ("max_rate", "expected"),
    [(MIN_UPLOAD_RATE, 1), (3.5 * MIN_UPLOAD_RATE, 3), (1e9, 15258)],
)
def test_low_rate_limits_the_number_of_slots(max_rate, expected):
    assert max_slots_at_rate(max_rate) == expected


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_pauses_are_bounded_and_obey_retry_after(pauses, jitter):
    pause = partial(pause_delay, RetryPolicy(), pauses, jitter=jitter)
    assert 0.5 <= pause(retry_after=None) <= RetryPolicy().max_delay
    assert pause(retry_after=100.0) == 100.0
    assert pause(retry_after=1e9) == RetryPolicy().max_retry_after


def test_pauses_double():
    pause = partial(pause_delay, RetryPolicy(), jitter=1.0, retry_after=None)
    assert [pause(number) for number in (1, 2, 3, 10)] == [1.0, 2.0, 4.0, 60.0]


LOADS = {
    "nothing": ([], 0),
    "unknown length": ([None], 1),
    "large and larger": ([MIB, 40 * 1024 * MIB], 2),
    "half a slot": ([MIB // 2], 0.5),
    "16 short files": ([64 * 1024] * 16, 1),
    "smallest share": ([0, 1], 2 / 16),
}


@pytest.mark.parametrize("name", LOADS)
def test_short_file_takes_a_part_of_a_slot(name):
    running, load = LOADS[name]
    assert compute_load(running) == load


@pytest.mark.parametrize(("pauses", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (30, 5.0)])
def test_pauses_for_a_full_queue_are_short(pauses, seconds):
    policy = RetryPolicy(first_delay=0.5, max_delay=60.0)
    options = {"jitter": 1.0, "retry_after": None, "is_queue_full": True}
    assert pause_delay(policy, pauses, **options) == seconds
