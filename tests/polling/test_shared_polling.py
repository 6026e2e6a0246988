"""Many waits that share one poller, in virtual time."""

import random
import statistics
from collections import Counter
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import errors
from livepeer_async.concurrency import Clock
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.polling.intervals import MIN_LIST_DELAY
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.sandbox.faults import Answer, Fault, On
from support.clock import until
from support.polling import delete_asset, virtual_waiter

pytestmark = pytest.mark.anyio

LISTS = "/api/asset$"
# Real seconds: each virtual second may cost requests.
TEST_TIMEOUT = 90.0


@pytest.fixture
async def harness():
    async with virtual_waiter() as harness:
        yield harness


def latencies(ended, ids, times):
    return [ended[name][0] - when for name, when in zip(ids, times, strict=True)]


@pytest.mark.parametrize("others", [0, 300])
async def test_thousand_assets_need_at_most_30_requests(harness, others):
    rng = random.Random(1)
    times = [rng.uniform(0, 60) for _ in range(1000)]
    ids = harness.add_assets(*times)
    harness.add_assets(*[rng.uniform(1000, 2000) for _ in range(others)])
    await harness.wait_many(ids)
    found = latencies(harness.ended, ids, times)
    assert Counter(error for _, error in harness.ended.values()) == {None: 1000}
    assert len(harness.log.requests) <= 30
    assert statistics.median(found) <= 5
    assert harness.log.busiest_second() <= 2
    lists = [when for when, _ in harness.log.lists()]
    assert min(later - earlier for earlier, later in pairwise(lists)) > 0.999 * MIN_LIST_DELAY


async def test_thousand_tasks_share_polls_and_see_progress(harness):
    times = [20 + n / 25 for n in range(1000)]
    ids = harness.add_assets(*times)
    seen = {name: [] for name in ids}
    async with anyio.create_task_group() as tasks:
        for name in ids:
            tasks.start_soon(
                harness.wait,
                name,
                500.0,
                lambda asset: seen[asset.id].append(asset.status.progress),
            )
    assert {error for _, error in harness.ended.values()} == {None}
    assert len(harness.log.requests) <= 100
    assert statistics.median(latencies(harness.ended, ids, times)) <= 5
    assert sum(len(progress) > 3 for progress in seen.values()) > 900


async def test_cancelled_leader_is_replaced(harness):
    ids = harness.add_assets(*[10.0] * 5)
    scopes, cancelled, send = {}, [], harness.send

    async def cancel_caller(request):
        task = anyio.get_current_task().id
        if len(cancelled) < 4:
            cancelled.append(task)
            scopes[task].cancel()
        await anyio.lowlevel.checkpoint()
        return await send(request)

    async def wait(name):
        with scopes.setdefault(anyio.get_current_task().id, anyio.CancelScope()):
            await harness.wait(name)

    harness.send = cancel_caller
    with anyio.fail_after(TEST_TIMEOUT):
        async with anyio.create_task_group() as tasks:
            for name in ids:
                tasks.start_soon(wait, name)
    assert len(set(cancelled)) == 4
    assert [error for _, error in harness.ended.values()] == [None]


async def test_cancelled_leader_does_not_lose_updates(harness):
    ids = harness.add_assets(*[10.0] * 4)
    scope, send = anyio.CancelScope(), harness.send
    has_started = anyio.Event()

    async def hang_once(request):
        if not has_started.is_set():
            has_started.set()
            await anyio.sleep_forever()
        return await send(request)

    async def lead():
        with scope:
            await harness.wait(ids[0])

    harness.send = hang_once
    with anyio.fail_after(TEST_TIMEOUT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lead)
            await has_started.wait()
            for name in ids[1:]:
                tasks.start_soon(harness.wait, name)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert set(harness.ended) == set(ids[1:])


async def test_leader_and_its_successors_may_end_at_once(harness):
    ids = harness.add_assets(*[10.0] * 5)
    scopes, send = {name: anyio.CancelScope() for name in ids}, harness.send
    has_started = anyio.Event()

    async def hang_once(request):
        if not has_started.is_set():
            has_started.set()
            await anyio.sleep_forever()
        return await send(request)

    async def wait(name):
        with scopes[name]:
            await harness.wait(name)

    harness.send = hang_once
    with anyio.fail_after(TEST_TIMEOUT):
        async with anyio.create_task_group() as tasks:
            for name in ids:
                tasks.start_soon(wait, name)
            await has_started.wait()
            await anyio.wait_all_tasks_blocked()
            for name in ids[:4]:
                scopes[name].cancel()
    assert set(harness.ended) == {ids[4]}


async def test_sleep_is_never_negative_on_a_slow_event_loop(harness):
    clock = harness.clock

    def now():
        # Each look at the clock takes about as long as a delay.
        clock.advance(0.15)
        return clock.now

    harness.waiter = Waiter(harness.session, clock=Clock(now, clock.sleep, lambda: 0.5))
    with anyio.fail_after(TEST_TIMEOUT):
        await harness.wait(*harness.add_assets(10.0))
    assert [error for _, error in harness.ended.values()] == [None]
    assert min(clock.sleeps) >= 0


async def test_paused_iteration_does_not_block_other_waits(harness):
    first, second, third = harness.add_assets(1.0, 2.0, 5.0)
    results = harness.waiter.wait_each([first, second], timeout=100)
    await anext(results)
    with anyio.fail_after(TEST_TIMEOUT):
        await harness.wait(third)
    assert harness.ended[third][1] is None
    assert (await anext(results)).asset_id == second
    with pytest.raises(StopAsyncIteration):
        await anext(results)


async def test_new_wait_wakes_the_leader(harness):
    old, new = harness.add_assets(5000.0, 0.0)
    sleeps = []
    is_asleep = anyio.Event()

    async def sleep(seconds):
        if harness.clock.now < 600:
            await harness.clock.sleep(seconds)
            return
        sleeps.append(seconds)
        if not is_asleep.is_set():
            is_asleep.set()
            await anyio.sleep_forever()
        await harness.clock.sleep(seconds)

    harness.sleep = sleep
    with anyio.fail_after(TEST_TIMEOUT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(harness.wait, old, 6000.0)
            await is_asleep.wait()
            assert sleeps[0] > 20
            await harness.wait(new)
    assert [error for _, error in harness.ended.values()] == [None, None]


async def test_each_wait_has_its_own_timeout(harness):
    ids = harness.add_assets(*[500.0] * 12)
    async with anyio.create_task_group() as tasks:
        for number, name in enumerate(ids):
            tasks.start_soon(harness.wait, name, 10.0 * (number + 1))
    for number, name in enumerate(ids):
        when, error = harness.ended[name]
        assert isinstance(error, errors.AssetTimeout)
        assert 0 <= when - 10.0 * (number + 1) <= 1


async def test_timeouts_are_punctual_while_the_network_is_down(harness):
    ids = harness.add_assets(*[500.0] * 5)
    harness.session.retry = RetryPolicy(attempts=10**6, first_delay=30, max_delay=300)

    async def fail(request):
        raise errors.ConnectFailed("connection refused")

    harness.send = fail
    async with anyio.create_task_group() as tasks:
        for number, name in enumerate(ids):
            tasks.start_soon(harness.wait, name, 10.0 * (number + 1))
    for number, name in enumerate(ids):
        when, error = harness.ended[name]
        assert isinstance(error, errors.AssetTimeout)
        assert isinstance(error.__cause__, errors.ConnectFailed)
        assert 0 <= when - 10.0 * (number + 1) <= 1


async def test_retries_exhausted_gives_each_wait_its_own_error(harness):
    ids = harness.add_assets(*[500.0] * 5)
    harness.session.retry = RetryPolicy(attempts=4)
    calls = []

    async def fail(request):
        calls.append(request)
        raise errors.ConnectFailed("connection refused")

    harness.send = fail
    async with anyio.create_task_group() as tasks:
        for name in ids:
            tasks.start_soon(harness.wait, name)
    found = [error for _, error in harness.ended.values()]
    assert {str(error) for error in found} == {"connection refused"}
    assert len({id(error) for error in found}) == len(ids)
    assert len(calls) == 5


FAILURES = {
    "429": Answer(status=429, headers={"Retry-After": "1"}),
    "503": Answer(status=503),
    "page of a proxy": Answer(status=200, body=b"<html>sign in</html>"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failed_poll_is_retried(harness, name):
    times = [5.0 + n for n in range(40)]
    ids = harness.add_assets(*times)
    for nth in (4, 5):
        harness.sandbox.add_fault(Fault(On(path=LISTS, nth=nth), FAILURES[name]))
    await harness.wait_many(ids)
    assert {error for _, error in harness.ended.values()} == {None}
    assert statistics.median(latencies(harness.ended, ids, times)) <= 5
    assert len(harness.log.requests) < 60


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=403),
        Answer(status=200, body=b"<html>"),
        Answer(status=500),
        Answer(status=504),
    ],
)
async def test_unusable_lists_fall_back_to_single_polls(harness, answer):
    ids = harness.add_assets(5.0, 6.0, 7.0, 8.0)
    harness.sandbox.add_fault(Fault(On(path=LISTS), answer))
    await harness.wait_many(ids)
    assert {error for _, error in harness.ended.values()} == {None}
    assert len(harness.log.lists()) <= 6
    assert harness.log.busiest_second() <= 2


async def test_refused_list_is_retried_later(harness):
    times = [400.0 + n for n in range(60)]
    ids = harness.add_assets(*times)
    harness.sandbox.add_fault(Fault(On(path=LISTS, nth=1), Answer(status=403)))
    await harness.wait_many(ids)
    assert {error for _, error in harness.ended.values()} == {None}
    first, second, *_ = [when for when, _ in harness.log.lists()]
    assert 5 <= second - first <= 15
    assert statistics.median(latencies(harness.ended, ids, times)) <= 5


@pytest.mark.parametrize("status", [502, 503, 500])
async def test_short_outage_does_not_disable_lists(harness, status):
    times = [n / 10 for n in range(400)]
    ids = harness.add_assets(*times)
    harness.sandbox.add_fault(Fault(On(path=LISTS, times=3), Answer(status=status)))
    await harness.wait_many(ids)
    assert {error for _, error in harness.ended.values()} == {None}
    assert statistics.median(latencies(harness.ended, ids, times)[100:]) <= 5
    assert len(harness.log.requests) <= 100


async def test_refused_lists_are_retried_with_growing_delays(harness):
    ids = harness.add_assets(*[1200.0 + n for n in range(5)])
    harness.sandbox.add_fault(Fault(On(path=LISTS), Answer(status=403)))
    await harness.wait_many(ids, timeout=3000.0)
    assert {error for _, error in harness.ended.values()} == {None}
    lists = [when for when, _ in harness.log.lists()]
    assert 6 <= len(lists) <= 12
    assert lists[-1] - lists[-2] >= 300


async def test_failing_asset_does_not_end_other_waits(harness):
    good, bad = harness.add_assets(600.0, 600.0)
    harness.session.retry = RetryPolicy(attempts=2)
    harness.sandbox.add_fault(Fault(On(path=f"/api/asset/{bad}$"), Answer(status=500)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(harness.wait, good)
        while harness.clock.now < 60:
            await anyio.lowlevel.checkpoint()
        tasks.start_soon(harness.wait, bad)
    assert isinstance(harness.ended[bad][1], errors.ServerError)
    assert harness.ended[good][1] is None


async def test_deleted_and_unknown_assets_are_distinguished(harness):
    ids = [*harness.add_assets(50.0, 400.0, 600.0, 3000.0), "never"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(harness.wait_many, ids, 5000.0)
        await until(lambda: harness.clock.now > 60, seconds=TEST_TIMEOUT)
        delete_asset(harness.sandbox, ids[3])
    assert isinstance(harness.ended["never"][1], errors.NotFound)
    assert isinstance(harness.ended[ids[3]][1], errors.AssetDeleted)
    assert harness.ended[ids[3]][0] < 60 + 1800 + 400
    assert [harness.ended[name][1] for name in ids[:3]] == [None] * 3


async def test_rows_that_move_between_pages_are_not_missed(harness):
    rng = random.Random(2)
    times = [rng.uniform(0, 40) for _ in range(1500)]
    ids = harness.add_assets(*times)
    await harness.wait_many(ids)
    assert len(harness.ended) == 1500
    assert {error for _, error in harness.ended.values()} == {None}
    assert statistics.median(latencies(harness.ended, ids, times)) <= 5
    assert len(harness.log.requests) <= 100
    assert any("cursor=" in url for _, url in harness.log.lists())


async def test_assets_beyond_the_newest_are_polled_singly(harness):
    old = harness.add_assets(30.0, 31.0, 32.0)
    harness.clock.now += 1
    harness.add_assets(*[1000.0] * 1200)
    await harness.wait_many(old)
    assert all(harness.log.polls(name) for name in old)
    assert max(latencies(harness.ended, old, [30, 31, 32])) < 8
    assert len(harness.log.requests) < 40


@pytest.mark.parametrize("count", [1, 5])
async def test_rejected_key_ends_all_waits(harness, count):
    ids = harness.add_assets(*[500.0] * count)
    harness.sandbox.add_fault(Fault(On(path="/api/asset"), Answer(status=401)))
    await harness.wait_many(ids)
    assert {type(error) for _, error in harness.ended.values()} == {errors.NotAuthenticated}
    # Only a look at one asset tells a rejected key from one that may not list assets.
    assert len(harness.log.requests) == 1 + (count > 1)


async def test_wait_cancelled_during_its_poll_does_not_block(harness):
    stays, leaves = harness.add_assets(20.0, 20.0)
    scope, send = anyio.CancelScope(), harness.send

    async def send_and_cancel(request):
        response = await send(request)
        if request.url.endswith(leaves):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        return response

    harness.send = send_and_cancel
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(harness.wait, stays)
        await anyio.lowlevel.checkpoint()
        with scope:
            await harness.wait(leaves)
    assert list(harness.ended) == [stays]


async def test_known_phase_needs_no_poll(harness):
    [name] = harness.add_assets(0.0)
    watched = WatchedAsset(name)
    for _ in range(2):
        await harness.waiter.wait_until(watched, is_ready, timeout=10)
    assert len(harness.log.requests) == 1


async def test_closing_the_client_ends_all_waits_at_once(harness):
    ids = harness.add_assets(*[500.0] * 3)
    async with anyio.create_task_group() as tasks:
        for name in ids[:2]:
            tasks.start_soon(harness.wait, name)
        tasks.start_soon(harness.wait_many, ids[2:])
        while harness.clock.now < 100:
            await anyio.lowlevel.checkpoint()
        closed_at = harness.clock.now
        harness.waiter.close()
    assert {when for when, _ in harness.ended.values()} == {closed_at}
    assert all(isinstance(it, errors.ConfigurationError) for _, it in harness.ended.values())
    assert len(harness.ended) == 3
