import heapq
from collections import Counter

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import ConfigurationError, UploadJob
from livepeer_async.concurrency import Clock
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
    return lambda **options: Throttle(clock=clock.as_clock(random=lambda: 1.0), **options)


async def climb(throttle, clock, *, periods):
    """Measure a network that limits each connection, with all slots in use."""
    for _ in range(10 * periods):
        throttle.sample([None] * 99)
        clock.now += PERIOD / 10
        await throttle.consume(int(throttle.slots * 3e6 * PERIOD / 10))


async def test_bytes_are_sent_at_the_maximum_rate(make, clock):
    throttle = make(max_rate=1e6)
    for _ in range(20):
        await throttle.consume(100_000)
    # The first block is sent at once.
    assert clock.now - 100.0 == pytest.approx(1.9)


async def test_concurrent_senders_share_the_rate(make, clock):
    throttle = make(max_rate=1e6)

    async def send():
        for _ in range(10):
            await throttle.consume(100_000)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(send)
    assert clock.now - 100.0 > 3.89


async def test_rate_can_be_removed(make, clock):
    throttle = make(max_rate=1e5)
    await throttle.consume(100_000)
    await throttle.consume(100_000)
    assert clock.now == 101.0
    throttle.max_rate = None
    for _ in range(100):
        await throttle.consume(100_000)
    assert clock.now == 101.0


async def test_waiting_sender_notices_a_changed_rate(make, clock):
    throttle = make(max_rate=65536)
    await throttle.consume(100 * 65536)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(throttle.consume, 1)
        await anyio.lowlevel.checkpoint()
        throttle.max_rate = None
    assert clock.now <= 101.0


async def test_cancelled_wait_does_not_consume_rate(clock):
    never = Clock(now=clock, sleep=lambda _: anyio.sleep_forever())
    throttle = Throttle(max_rate=65536, clock=never)
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
def test_invalid_rate_is_rejected(make, rate):
    with pytest.raises(ConfigurationError, match="max_rate"):
        make(max_rate=rate)


@pytest.mark.parametrize("concurrency", [0, -1, 2.5, float("nan"), "4", True])
def test_invalid_concurrency_is_rejected(make, concurrency):
    with pytest.raises(ConfigurationError, match="at least 1"):
        make(concurrency=concurrency)


def test_low_rate_limits_concurrency(make):
    assert make(concurrency=10, max_rate=3 * 65536).slots == 3
    assert make(concurrency=10).slots == 10
    assert "3 uploads, 196608 bytes/s" in repr(make(concurrency=10, max_rate=3 * 65536))


async def test_overload_pauses_all_and_one_probes(make, clock):
    throttle, started = make(), []
    throttle.record_overload(None)
    assert throttle.is_paused

    async def start(name):
        await throttle.wait_or_probe()
        started.append((name, clock.now))

    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(start, name)
        while not started:
            await anyio.lowlevel.checkpoint()
        assert len(started) == 1
        assert started[0][1] >= 101.0
        throttle.record_success()
    assert len(started) == 3


async def test_overloaded_probe_starts_a_longer_pause(make, clock):
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


async def test_earlier_requests_do_not_extend_a_pause(make, clock):
    throttle = make()
    for _ in range(10):
        throttle.record_overload(None)
    throttle.record_success()
    assert throttle.is_paused
    await throttle.wait_or_probe()
    assert clock.now <= 101.5


async def test_probe_without_response_is_replaced(make, clock):
    throttle = make()
    throttle.record_overload(None)
    await throttle.wait_or_probe()
    await throttle.wait_or_probe()
    assert 110.0 <= clock.now <= 113.0


async def test_slots_follow_the_throughput(make, clock):
    throttle = make()
    before = throttle.slots
    await climb(throttle, clock, periods=12)
    assert throttle.slots >= 4 * before
    throttle.record_stall()
    slots = throttle.slots
    throttle.sample([None] * 99)
    assert throttle.slots == slots // 2


async def test_late_wakeups_keep_the_rate_and_its_fair_sharing():
    now, sleepers, blocks = 0.0, [], Counter()

    async def sleep(seconds):
        """End late, as on a busy loop."""
        woken = anyio.Event()
        heapq.heappush(sleepers, (now + seconds + 0.002, len(blocks), id(woken), woken))
        await woken.wait()

    throttle = Throttle(max_rate=5e6, clock=Clock(now=lambda: now, sleep=sleep))

    async def send(name):
        while True:
            await throttle.consume(65536)
            blocks[name] += 1

    async with anyio.create_task_group() as tasks:
        for name in range(16):
            tasks.start_soon(send, name)
        while now < 20:
            while not sleepers:
                await anyio.lowlevel.checkpoint()
            now, *_, woken = heapq.heappop(sleepers)
            woken.set()
        tasks.cancel_scope.cancel()
    assert 0.98 <= blocks.total() * 65536 / (5e6 * now) <= 1.01
    assert max(blocks.values()) - min(blocks.values()) <= 2


async def test_cancelled_senders_do_not_delay_later_ones(make, clock):
    still = Clock(now=clock, sleep=lambda _: anyio.lowlevel.checkpoint())
    throttle, done = Throttle(max_rate=65536, clock=still), []

    async def send(name):
        await throttle.consume(65536)
        done.append(name)

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
    assert done == ["last"]


async def test_setting_the_rate_again_keeps_the_debt(make, clock):
    throttle = make(max_rate=1e6)
    for _ in range(20):
        throttle.max_rate = 1e6
        await throttle.consume(100_000)
    assert clock.now - 100.0 == pytest.approx(1.9)
    throttle.max_rate = 2e6
    await throttle.consume(1)
    # The remaining 0.1 s take half as long at twice the rate.
    assert clock.now - 100.0 == pytest.approx(1.95)


async def test_old_congestion_is_ignored(make, clock):
    throttle = make()
    await climb(throttle, clock, periods=4)
    slots = throttle.slots
    throttle.record_stall()
    clock.now += 3600
    throttle.sample([None] * 99)
    assert throttle.slots == slots > 2


async def test_slots_stay_while_nothing_is_sent(make, clock):
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
        # Responses to earlier requests, and timeouts.
        throttle.record_overload(None)
        throttle.record_stall()
        throttle.sample([None] * 99)
        clock.now += 0.25
    assert throttle.slots == slots // 2


def test_connections_limit_the_slots(make):
    assert make(max_slots=3, concurrency=10).slots == 3
    assert make(max_slots=1).slots == 1
    assert not make(max_slots=5).has_room([1] * 5)
    assert make(max_slots=0, concurrency=4).slots == 1


async def test_adaptive_slots_stay_below_their_limits(make, clock):
    for max_slots, expected in ((5, 5), (None, 32)):
        throttle = make(max_slots=max_slots, max_rate=1e12)
        await climb(throttle, clock, periods=20)
        assert throttle.slots == expected


async def test_time_between_two_calls_is_not_measured(make, clock):
    throttle = make()
    before = throttle.slots
    for _ in range(40):
        throttle.sample([None] * 99)
        clock.now += 60
        throttle.sample([None] * 99)
        clock.now += WARM_UP
    assert throttle.slots == before


async def test_free_slots_are_not_measured(make, clock):
    throttle = make()
    before = throttle.slots
    for _ in range(40):
        throttle.sample([])
        clock.now += WARM_UP
        await throttle.consume(10**9)
    assert throttle.slots == before


async def test_uploads_become_ready_after_an_overload():
    overload = Fault(On(path="request-upload", times=3), Answer(429, b'{"errors":["too many"]}'))
    async with sandbox_and_client(overload) as (sandbox, livepeer):
        data = [make_bytes(PART + number, seed=number) for number in range(1, 9)]
        jobs = [UploadJob(content, f"{number}.mp4") for number, content in enumerate(data)]
        async with livepeer.upload_many(jobs) as results:
            async for result in results:
                assert result.error is None
                assert is_stored(sandbox, result.asset, result.source)
        assert overload.fired == 3
        assert len(sandbox.assets) == len(jobs)
        assert not livepeer.throttle.is_paused


async def test_uploads_respect_the_maximum_rate():
    async with sandbox_and_client() as (_, livepeer):
        jobs = [UploadJob(make_bytes(3 * PART, seed=n), f"{n}.mp4") for n in (1, 2)]
        started = anyio.current_time()
        async with livepeer.upload_many(jobs, max_rate=4 * PART) as results:
            assert [result.error async for result in results] == [None, None]
        # 6 parts at 4 parts per second.
        assert anyio.current_time() - started > 1.0


ROOM = {
    "two large files": ([None, None], False),
    "one large and 15 short files": ([None, *[1] * 15], True),
    "one large and 16 short files": ([None, *[1] * 16], False),
    "31 short files": ([1] * 31, True),
    "32 short files": ([1] * 32, False),
}


@pytest.mark.parametrize("name", ROOM)
def test_short_files_share_adaptive_slots(name):
    running, has_room = ROOM[name]
    assert Throttle().has_room(running) is has_room


def test_fixed_concurrency_counts_files_of_any_length():
    assert not Throttle(concurrency=2).has_room([1, 1])
    assert Throttle(concurrency=40).has_room([None] * 39)


def test_no_upload_starts_while_all_are_stalled(make, clock):
    throttle = make(concurrency=9)
    throttle.request_started()
    assert throttle.has_room([None])
    clock.advance(10)
    assert not throttle.has_room([None])
    throttle.record_success()
    assert throttle.has_room([None])
