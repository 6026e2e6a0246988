"""Setbacks of the looks at assets: how long they pause, and when they end a wait."""

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox.faults import Answer, Fault, On
from planting import watched_garden

pytestmark = pytest.mark.anyio

LOOKS = "/api/asset"


@pytest.fixture
async def scene():
    async with watched_garden() as scene:
        yield scene


def pause_after(scene, fault):
    """Give the virtual seconds from a fault to the next request of any kind."""
    times = [when for when, _ in scene.diary.times]
    return times[fault.on.nth] - times[fault.on.nth - 1]


@pytest.mark.parametrize("count", [1, 5], ids=["singly", "by lists"])
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed_by_all_looks(scene, count, status):
    ids = scene.plant(*[50.0 + n for n in range(count)])
    asking = Answer(status=status, headers={"Retry-After": "40"})
    fault = scene.sandbox.add_fault(Fault(On(path=LOOKS, nth=2), asking))
    await scene.each(ids)
    assert fault.fired
    assert pause_after(scene, fault) >= 40
    assert {error for _, error in scene.ended.values()} == {None}


@pytest.mark.parametrize("count", [1, 5], ids=["singly", "by lists"])
async def test_a_setback_pauses_all_looks(scene, count):
    scene.session.retry = RetryPolicy(first_delay=60.0, max_delay=60.0)
    ids = scene.plant(*[50.0 + n for n in range(count)])
    fault = scene.sandbox.add_fault(Fault(On(path=LOOKS, nth=2), Answer(status=502)))
    await scene.each(ids)
    assert fault.fired
    # Full jitter; the scene's is one half.
    assert pause_after(scene, fault) >= 30
    assert {error for _, error in scene.ended.values()} == {None}


async def test_an_asset_that_cant_be_shown_ends_before_the_others(scene):
    good, bad = scene.plant(600.0, 600.0)
    scene.session.retry = RetryPolicy(attempts=2)
    scene.sandbox.add_fault(Fault(On(path=f"/api/asset/{bad}$"), Answer(status=500)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.until, good)
        tasks.start_soon(scene.until, bad)
    assert isinstance(scene.ended[bad][1], errors.ServerError)
    assert scene.ended[bad][0] < scene.ended[good][0]
    assert scene.ended[good][1] is None
