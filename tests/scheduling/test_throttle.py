import heapq
from collections import Counter

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import ConfigurationError, UploadJob
from livepeer_async.sandbox import Answer, Fault, On
from livepeer_async.scheduling.throttle import PERIOD, WARM_UP, Throttle
from support.clock import VirtualClock
from support.constants import TIMEOUT
from support.sandbox import PART, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock():
    return VirtualClock(100.0)


@pytest.fixture
def make(clock):
    return lambda **options: Throttle(clock=clock, sleep=clock.sleep, jitter=lambda: 1.0, **options)


async def climb(throttle, clock, *, periods):
    """Let a line that bounds each connection be measured, with all slots in use."""
    for _ in range(10 * periods):
        throttle.sample([None] * 99)
        clock.now += PERIOD / 10
        await throttle.consume(int(throttle.slots * 3e6 * PERIOD / 10))


async def test_bytes_go_at_the_rate_that_is_allowed(make, clock):
    throttle = make(max_rate=1e6)
    for _ in range(20):
        await throttle.consume(100_000)
    # The first of them goes at once.
    assert clock.now - 100.0 == pytest.approx(1.9)


async def test_the_rate_is_shared_by_all_who_send(make, clock):
    throttle = make(max_rate=1e6)

    async def send():
        for _ in range(10):
            await throttle.consume(100_000)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(send)
    assert clock.now - 100.0 > 3.89


async def test_the_rate_may_be_changed_meanwhile(make, clock):
    throttle = make(max_rate=1e5)
    await throttle.consume(100_000)
    await throttle.consume(100_000)
    assert clock.now == 101.0
    throttle.max_rate = None
    for _ in range(100):
        await throttle.consume(100_000)
    assert clock.now == 101.0


async def test_who_waits_for_the_rate_hears_that_it_is_another(make, clock):
    throttle = make(max_rate=65536)
    await throttle.consume(100 * 65536)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(throttle.consume, 1)
        await anyio.lowlevel.checkpoint()
        throttle.max_rate = None
    assert clock.now <= 101.0


async def test_bytes_that_are_cancelled_while_they_wait_are_nobodys_debt(clock):
    throttle = Throttle(max_rate=65536, clock=clock, sleep=lambda _: anyio.sleep_forever())
    await throttle.consume(65536)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(throttle.consume, 1_000_000)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    clock.now += 1.0
    with anyio.fail_after(TIMEOUT):
        await throttle.consume(1)


@pytest.mark.parametrize("rate", [0, -1, 1000, float("nan"), float("inf"), "10M", True])
def test_a_rate_at_which_no_chunk_would_arrive_is_refused(make, rate):
    with pytest.raises(ConfigurationError, match="max_rate"):
        make(max_rate=rate)


@pytest.mark.parametrize("concurrency", [0, -1, 2.5, float("nan"), "4", True])
def test_at_least_one_must_run(make, concurrency):
    with pytest.raises(ConfigurationError, match="at least 1"):
        make(concurrency=concurrency)


def test_a_low_rate_bounds_the_uploads_that_share_it(make):
    assert make(concurrency=10, max_rate=3 * 65536).slots == 3
    assert make(concurrency=10).slots == 10
    assert "3 uploads, 196608 bytes/s" in repr(make(concurrency=10, max_rate=3 * 65536))


async def test_busy_pauses_all_and_one_probes(make, clock):
    throttle, gone = make(), []
    throttle.record_overload(None)
    assert throttle.is_paused

    async def go(name):
        await throttle.wait_or_probe()
        gone.append((name, clock.now))

    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(go, name)
        while not gone:
            await anyio.lowlevel.checkpoint()
        assert len(gone) == 1
        assert gone[0][1] >= 101.0
        throttle.record_success()
    assert len(gone) == 3


async def test_a_probe_that_meets_a_busy_server_begins_a_longer_pause(make, clock):
    throttle = make()
    throttle.record_overload(None)
    await throttle.wait_or_probe()
    throttle.record_overload(None)
    before = clock.now
    await throttle.wait_or_probe()
    assert clock.now - before == pytest.approx(2.0, abs=0.3)


async def test_retry_after_is_obeyed(make, clock):
    throttle = make()
    throttle.record_overload(7.0)
    await throttle.wait_or_probe()
    assert clock.now >= 107.0


async def test_what_was_on_its_way_before_the_pause_makes_it_no_longer(make, clock):
    throttle = make()
    for _ in range(10):
        throttle.record_overload(None)
    throttle.record_success()
    assert throttle.is_paused
    await throttle.wait_or_probe()
    assert clock.now <= 101.5


async def test_a_probe_that_is_lost_is_followed_by_another(make, clock):
    throttle = make()
    throttle.record_overload(None)
    await throttle.wait_or_probe()
    await throttle.wait_or_probe()
    assert 110.0 <= clock.now <= 113.0


async def test_slots_follow_what_is_measured(make, clock):
    throttle = make()
    before = throttle.slots
    await climb(throttle, clock, periods=12)
    assert throttle.slots >= 4 * before
    throttle.record_stall()
    slots = throttle.slots
    throttle.sample([None] * 99)
    assert throttle.slots == slots // 2


async def test_a_rate_is_kept_and_shared_evenly_by_many_who_wake_late():
    """As on a busy loop, each sleep ends a little later than it should."""
    now, sleepers = 0.0, []

    async def sleep(seconds):
        woken = anyio.Event()
        heapq.heappush(sleepers, (now + seconds + 0.002, len(gone), id(woken), woken))
        await woken.wait()

    throttle = Throttle(max_rate=5e6, clock=lambda: now, sleep=sleep)
    gone = Counter()

    async def send(name):
        while True:
            await throttle.consume(65536)
            gone[name] += 1

    async with anyio.create_task_group() as tasks:
        for name in range(16):
            tasks.start_soon(send, name)
        while now < 20:
            while not sleepers:
                await anyio.lowlevel.checkpoint()
            now, *_, woken = heapq.heappop(sleepers)
            woken.set()
        tasks.cancel_scope.cancel()
    assert 0.98 <= gone.total() * 65536 / (5e6 * now) <= 1.01
    assert max(gone.values()) - min(gone.values()) <= 2


async def test_who_is_cancelled_leaves_his_time_to_those_behind_him(make, clock):
    throttle, gone = (
        Throttle(max_rate=65536, clock=clock, sleep=lambda _: anyio.lowlevel.checkpoint()),
        [],
    )

    async def send(name):
        await throttle.consume(65536)
        gone.append(name)

    await throttle.consume(1)
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as others:
            for name in range(28):
                others.start_soon(send, name)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(send, "last")
            await anyio.lowlevel.checkpoint()
            others.cancel_scope.cancel()
        clock.now += 1.0
    assert gone == ["last"]


async def test_the_same_rate_again_forgives_nothing(make, clock):
    throttle = make(max_rate=1e6)
    for _ in range(20):
        throttle.max_rate = 1e6
        await throttle.consume(100_000)
    assert clock.now - 100.0 == pytest.approx(1.9)
    throttle.max_rate = 2e6
    await throttle.consume(1)
    # What was left of a tenth of a second takes half of that at twice the rate.
    assert clock.now - 100.0 == pytest.approx(1.95)


async def test_an_old_trouble_is_over(make, clock):
    throttle = make()
    await climb(throttle, clock, periods=4)
    slots = throttle.slots
    throttle.record_stall()
    clock.now += 3600
    throttle.sample([None] * 99)
    assert throttle.slots == slots > 2


async def test_while_nothing_flows_nothing_is_learned(make, clock):
    throttle = make()
    for _ in range(40):
        throttle.sample([None] * 99)
        clock.now += WARM_UP
    assert throttle.slots == 2


async def test_one_event_halves_the_slots_once(make, clock):
    throttle = make()
    await climb(throttle, clock, periods=4)
    slots = throttle.slots
    for _ in range(6):
        # Answers to requests that were on their way, and time-outs.
        throttle.record_overload(None)
        throttle.record_stall()
        throttle.sample([None] * 99)
        clock.now += 0.25
    assert throttle.slots == slots // 2


def test_slots_stay_below_the_connections_that_there_are(make):
    assert make(most=3, concurrency=10).slots == 3
    assert make(most=1).slots == 1
    assert not make(most=5).has_room([1] * 5)
    assert make(most=0, concurrency=4).slots == 1


async def test_slots_that_adapt_stay_below_the_connections_and_below_their_own_most(make, clock):
    for most, wanted in ((5, 5), (None, 32)):
        throttle = make(most=most, max_rate=1e12)
        await climb(throttle, clock, periods=20)
        assert throttle.slots == wanted


async def test_the_time_between_two_calls_teaches_nothing(make, clock):
    throttle = make()
    before = throttle.slots
    for _ in range(40):
        throttle.sample([None] * 99)
        clock.now += 60
        throttle.sample([None] * 99)
        clock.now += WARM_UP
    assert throttle.slots == before


async def test_what_is_not_full_is_not_measured(make, clock):
    throttle = make()
    before = throttle.slots
    for _ in range(40):
        throttle.sample([])
        clock.now += WARM_UP
        await throttle.consume(10**9)
    assert throttle.slots == before


async def test_a_busy_server_pauses_all_uploads_and_all_become_ready():
    busy = Fault(On(path="request-upload", times=3), Answer(429, b'{"errors":["too many"]}'))
    async with sandbox_and_client(busy) as (sandbox, livepeer):
        data = [make_bytes(PART + number, seed=number) for number in range(1, 9)]
        jobs = [UploadJob(piece, f"{number}.mp4") for number, piece in enumerate(data)]
        async with livepeer.upload_many(jobs) as results:
            async for result in results:
                assert result.error is None
                assert is_stored(sandbox, result.asset, result.source)
        assert busy.fired == 3
        assert len(sandbox.assets) == len(jobs)
        assert not livepeer.throttle.is_paused


async def test_uploads_keep_to_the_rate_of_the_client():
    async with sandbox_and_client() as (_, livepeer):
        jobs = [UploadJob(make_bytes(3 * PART, seed=n), f"{n}.mp4") for n in (1, 2)]
        began = anyio.current_time()
        async with livepeer.upload_many(jobs, max_rate=4 * PART) as results:
            assert [result.error async for result in results] == [None, None]
        # 6 parts at 4 a second.
        assert anyio.current_time() - began > 1.0


ROOM = {
    "two large ones": ([None, None], False),
    "one large and many short ones": ([None, *[1] * 15], True),
    "one large and too many short ones": ([None, *[1] * 16], False),
    "short ones": ([1] * 31, True),
    "as many as there may be connections": ([1] * 32, False),
}


@pytest.mark.parametrize("name", ROOM)
def test_two_slots_have_room_for_two_large_files_or_many_short_ones(name):
    running, has_room = ROOM[name]
    assert Throttle().has_room(running) is has_room


def test_a_number_that_was_asked_for_counts_files_of_any_length():
    assert not Throttle(concurrency=2).has_room([1, 1])
    assert Throttle(concurrency=40).has_room([None] * 39)


def test_while_nothing_moves_nothing_more_starts():
    now = 100.0
    throttle = Throttle(concurrency=9, clock=lambda: now)
    throttle.request_started()
    assert throttle.has_room([None])
    now += 10
    assert not throttle.has_room([None])
    throttle.record_success()
    assert throttle.has_room([None])
