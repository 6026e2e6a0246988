"""Many who wait, and what they share."""

import random
import statistics
from collections import Counter
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.polling.intervals import SHORTEST_ROUND
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.sandbox.faults import Answer, Fault, On
from planting import delete, watched_garden
from studio import until

pytestmark = pytest.mark.anyio

LISTS = "/api/asset$"
# Each virtual second may cost requests: a busy machine takes its time for the longest waits.
LIMIT = 90.0


@pytest.fixture
async def scene():
    async with watched_garden() as scene:
        yield scene


def latencies(ended, ids, times):
    return [ended[name][0] - when for name, when in zip(ids, times, strict=True)]


@pytest.mark.parametrize("others", [0, 300])
async def test_thousand_assets_cost_less_than_hundred_calls(scene, others):
    rng = random.Random(1)
    times = [rng.uniform(0, 60) for _ in range(1000)]
    ids = scene.plant(*times)
    scene.plant(*[rng.uniform(1000, 2000) for _ in range(others)])
    await scene.each(ids)
    found = latencies(scene.ended, ids, times)
    assert Counter(error for _, error in scene.ended.values()) == {None: 1000}
    assert len(scene.diary.times) <= 100
    assert statistics.median(found) <= 5
    assert scene.diary.busiest_second() <= 2
    lists = [when for when, _ in scene.diary.lists()]
    assert min(later - earlier for earlier, later in pairwise(lists)) > 0.999 * SHORTEST_ROUND


async def test_thousand_tasks_share_the_looks_and_see_progress(scene):
    times = [20 + n / 25 for n in range(1000)]
    ids = scene.plant(*times)
    seen = {name: [] for name in ids}
    async with anyio.create_task_group() as tasks:
        for name in ids:
            tasks.start_soon(
                scene.until,
                name,
                500.0,
                lambda asset: seen[asset.id].append(asset.status.progress),
            )
    assert {error for _, error in scene.ended.values()} == {None}
    assert len(scene.diary.times) <= 100
    assert statistics.median(latencies(scene.ended, ids, times)) <= 5
    assert sum(len(progress) > 3 for progress in seen.values()) > 900


async def test_a_leader_that_is_cancelled_leaves_the_looks_to_another(scene):
    ids = scene.plant(*[10.0] * 5)
    scopes, cut, send = {}, [], scene.send

    async def cut_off(request):
        task = anyio.get_current_task().id
        if len(cut) < 4:
            cut.append(task)
            scopes[task].cancel()
        await anyio.lowlevel.checkpoint()
        return await send(request)

    async def wait(name):
        with scopes.setdefault(anyio.get_current_task().id, anyio.CancelScope()):
            await scene.until(name)

    scene.send = cut_off
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for name in ids:
                tasks.start_soon(wait, name)
    assert len(set(cut)) == 4
    assert [error for _, error in scene.ended.values()] == [None]


async def test_a_leader_that_goes_in_the_middle_of_a_request_loses_nothing_for_the_others(scene):
    ids = scene.plant(*[10.0] * 4)
    scope, send = anyio.CancelScope(), scene.send
    is_begun = anyio.Event()

    async def hang_once(request):
        if not is_begun.is_set():
            is_begun.set()
            await anyio.sleep_forever()
        return await send(request)

    async def lead():
        with scope:
            await scene.until(ids[0])

    scene.send = hang_once
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lead)
            await is_begun.wait()
            for name in ids[1:]:
                tasks.start_soon(scene.until, name)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert set(scene.ended) == set(ids[1:])


async def test_nobody_leads_while_a_result_is_in_the_hands_of_its_taker(scene):
    first, second, third = scene.plant(1.0, 2.0, 5.0)
    results = scene.waiter.wait_each([first, second], timeout=100)
    await anext(results)
    with anyio.fail_after(LIMIT):
        await scene.until(third)
    assert scene.ended[third][1] is None
    assert (await anext(results)).asset_id == second
    with pytest.raises(StopAsyncIteration):
        await anext(results)


async def test_a_new_wait_wakes_the_leader(scene):
    old, new = scene.plant(5000.0, 0.0)
    sleeps = []
    is_asleep = anyio.Event()

    async def sleep(seconds):
        if scene.virtual.now < 600:
            await scene.virtual.sleep(seconds)
            return
        sleeps.append(seconds)
        if not is_asleep.is_set():
            is_asleep.set()
            await anyio.sleep_forever()
        await scene.virtual.sleep(seconds)

    scene.sleep = sleep
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scene.until, old, 6000.0)
            await is_asleep.wait()
            assert sleeps[0] > 20
            await scene.until(new)
    assert [error for _, error in scene.ended.values()] == [None, None]


async def test_each_wait_has_its_own_time_out(scene):
    ids = scene.plant(*[500.0] * 12)
    async with anyio.create_task_group() as tasks:
        for number, name in enumerate(ids):
            tasks.start_soon(scene.until, name, 10.0 * (number + 1))
    for number, name in enumerate(ids):
        when, error = scene.ended[name]
        assert isinstance(error, errors.AssetTimeout)
        assert 0 <= when - 10.0 * (number + 1) <= 1


async def test_time_outs_come_in_time_while_the_network_is_down(scene):
    ids = scene.plant(*[500.0] * 5)
    scene.session.retry = RetryPolicy(attempts=10**6, first_delay=30, max_delay=300)

    async def fail(request):
        raise errors.ConnectFailed("nobody listens")

    scene.send = fail
    async with anyio.create_task_group() as tasks:
        for number, name in enumerate(ids):
            tasks.start_soon(scene.until, name, 10.0 * (number + 1))
    for number, name in enumerate(ids):
        when, error = scene.ended[name]
        assert isinstance(error, errors.AssetTimeout)
        assert isinstance(error.__cause__, errors.ConnectFailed)
        assert 0 <= when - 10.0 * (number + 1) <= 1


async def test_a_network_that_stays_down_ends_all_waits_each_with_an_error_of_its_own(scene):
    ids = scene.plant(*[500.0] * 5)
    scene.session.retry = RetryPolicy(attempts=4)
    calls = []

    async def fail(request):
        calls.append(request)
        raise errors.ConnectFailed("nobody listens")

    scene.send = fail
    async with anyio.create_task_group() as tasks:
        for name in ids:
            tasks.start_soon(scene.until, name)
    found = [error for _, error in scene.ended.values()]
    assert {str(error) for error in found} == {"nobody listens"}
    assert len({id(error) for error in found}) == len(ids)
    assert len(calls) == 5


SETBACKS = {
    "429": Answer(status=429, headers={"Retry-After": "1"}),
    "503": Answer(status=503),
    "a page of a proxy": Answer(status=200, body=b"<html>sign in</html>"),
}


@pytest.mark.parametrize("name", SETBACKS)
async def test_a_setback_in_the_middle_is_borne(scene, name):
    times = [5.0 + n for n in range(40)]
    ids = scene.plant(*times)
    for nth in (4, 5):
        scene.sandbox.add_fault(Fault(On(path=LISTS, nth=nth), SETBACKS[name]))
    await scene.each(ids)
    assert {error for _, error in scene.ended.values()} == {None}
    assert statistics.median(latencies(scene.ended, ids, times)) <= 5
    assert len(scene.diary.times) < 60


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=403),
        Answer(status=200, body=b"<html>"),
        Answer(status=500),
        Answer(status=504),
    ],
)
async def test_where_lists_are_of_no_use_assets_are_asked_for_singly(scene, answer):
    ids = scene.plant(5.0, 6.0, 7.0, 8.0)
    scene.sandbox.add_fault(Fault(On(path=LISTS), answer))
    await scene.each(ids)
    assert {error for _, error in scene.ended.values()} == {None}
    assert len(scene.diary.lists()) <= 6
    assert scene.diary.busiest_second() <= 2


async def test_lists_that_were_refused_once_are_tried_again_later(scene):
    times = [400.0 + n for n in range(60)]
    ids = scene.plant(*times)
    scene.sandbox.add_fault(Fault(On(path=LISTS, nth=1), Answer(status=403)))
    await scene.each(ids)
    assert {error for _, error in scene.ended.values()} == {None}
    first, second, *_ = [when for when, _ in scene.diary.lists()]
    assert 5 <= second - first <= 15
    assert statistics.median(latencies(scene.ended, ids, times)) <= 5


@pytest.mark.parametrize("status", [502, 503, 500])
async def test_a_short_outage_leaves_the_lists_as_they_are(scene, status):
    times = [n / 10 for n in range(400)]
    ids = scene.plant(*times)
    scene.sandbox.add_fault(Fault(On(path=LISTS, times=3), Answer(status=status)))
    await scene.each(ids)
    assert {error for _, error in scene.ended.values()} == {None}
    assert statistics.median(latencies(scene.ended, ids, times)[100:]) <= 5
    assert len(scene.diary.times) <= 100


async def test_lists_that_stay_refused_are_asked_for_less_and_less(scene):
    ids = scene.plant(*[1200.0 + n for n in range(5)])
    scene.sandbox.add_fault(Fault(On(path=LISTS), Answer(status=403)))
    await scene.each(ids, timeout=3000.0)
    assert {error for _, error in scene.ended.values()} == {None}
    lists = [when for when, _ in scene.diary.lists()]
    assert 6 <= len(lists) <= 12
    assert lists[-1] - lists[-2] >= 300


async def test_one_asset_that_the_server_cant_show_ends_no_other_wait(scene):
    good, bad = scene.plant(600.0, 600.0)
    scene.session.retry = RetryPolicy(attempts=2)
    scene.sandbox.add_fault(Fault(On(path=f"/api/asset/{bad}$"), Answer(status=500)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.until, good)
        while scene.virtual.now < 60:
            await anyio.lowlevel.checkpoint()
        tasks.start_soon(scene.until, bad)
    assert isinstance(scene.ended[bad][1], errors.ServerError)
    assert scene.ended[good][1] is None


async def test_what_is_deleted_or_never_was_is_told_apart(scene):
    ids = [*scene.plant(50.0, 400.0, 600.0, 3000.0), "never"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.each, ids, 5000.0)
        await until(lambda: scene.virtual.now > 60, seconds=LIMIT)
        delete(scene.sandbox, ids[3])
    assert isinstance(scene.ended["never"][1], errors.NotFound)
    assert isinstance(scene.ended[ids[3]][1], errors.AssetDeleted)
    assert scene.ended[ids[3]][0] < 60 + 1800 + 400
    assert [scene.ended[name][1] for name in ids[:3]] == [None] * 3


async def test_rows_that_move_while_pages_are_read_are_not_missed(scene):
    rng = random.Random(2)
    times = [rng.uniform(0, 40) for _ in range(1500)]
    ids = scene.plant(*times)
    await scene.each(ids)
    assert len(scene.ended) == 1500
    assert {error for _, error in scene.ended.values()} == {None}
    assert statistics.median(latencies(scene.ended, ids, times)) <= 5
    assert len(scene.diary.times) <= 100
    assert any("cursor=" in url for _, url in scene.diary.lists())


async def test_assets_beyond_the_newest_are_looked_at_singly(scene):
    old = scene.plant(30.0, 31.0, 32.0)
    scene.virtual.now += 1
    scene.plant(*[1000.0] * 1200)
    await scene.each(old)
    assert all(scene.diary.looks(name) for name in old)
    assert max(latencies(scene.ended, old, [30, 31, 32])) < 8
    assert len(scene.diary.times) < 40


@pytest.mark.parametrize("count", [1, 5])
async def test_a_key_that_is_not_valid_ends_all_waits_at_once(scene, count):
    ids = scene.plant(*[500.0] * count)
    scene.sandbox.add_fault(Fault(On(path="/api/asset"), Answer(status=401)))
    await scene.each(ids)
    assert {type(error) for _, error in scene.ended.values()} == {errors.NotAuthenticated}
    assert len(scene.diary.times) == 1


async def test_one_who_leaves_while_his_asset_is_looked_at_is_not_missed(scene):
    stays, leaves = scene.plant(20.0, 20.0)
    scope, send = anyio.CancelScope(), scene.send

    async def look(request):
        response = await send(request)
        if request.url.endswith(leaves):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        return response

    scene.send = look
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.until, stays)
        await anyio.lowlevel.checkpoint()
        with scope:
            await scene.until(leaves)
    assert list(scene.ended) == [stays]


async def test_what_was_reached_in_an_earlier_wait_needs_no_look(scene):
    [name] = scene.plant(0.0)
    watch = WatchedAsset(name)
    for _ in range(2):
        await scene.waiter.wait_until(watch, is_ready, timeout=10)
    assert len(scene.diary.times) == 1


async def test_the_end_of_the_client_ends_all_waits_at_once(scene):
    ids = scene.plant(*[500.0] * 3)
    async with anyio.create_task_group() as tasks:
        for name in ids[:2]:
            tasks.start_soon(scene.until, name)
        tasks.start_soon(scene.each, ids[2:])
        while scene.virtual.now < 100:
            await anyio.lowlevel.checkpoint()
        closed_at = scene.virtual.now
        scene.waiter.close()
    assert {when for when, _ in scene.ended.values()} == {closed_at}
    assert all(isinstance(it, errors.ConfigurationError) for _, it in scene.ended.values())
    assert len(scene.ended) == 3
