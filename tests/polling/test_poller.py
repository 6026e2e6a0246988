"""Failed polls: pauses, and the end of a wait."""

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox.faults import Answer, Fault, On
from support.polling import virtual_waiter

pytestmark = pytest.mark.anyio

POLLS = "/api/asset"


@pytest.fixture
async def harness():
    async with virtual_waiter() as harness:
        yield harness


def pause_after(harness, fault):
    """Return the virtual seconds from a fault to the next request of any kind."""
    times = [when for when, _ in harness.log.requests]
    return times[fault.on.nth] - times[fault.on.nth - 1]


@pytest.mark.parametrize("count", [1, 5], ids=["single polls", "lists"])
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_pauses_all_polls(harness, count, status):
    ids = harness.add_assets(*[50.0 + n for n in range(count)])
    busy = Answer(status=status, headers={"Retry-After": "40"})
    fault = harness.sandbox.add_fault(Fault(On(path=POLLS, nth=2), busy))
    await harness.wait_many(ids)
    assert fault.fired
    assert pause_after(harness, fault) >= 40
    assert {error for _, error in harness.ended.values()} == {None}


@pytest.mark.parametrize("count", [1, 5], ids=["single polls", "lists"])
async def test_failure_pauses_all_polls(harness, count):
    harness.session.retry = RetryPolicy(first_delay=60.0, max_delay=60.0)
    ids = harness.add_assets(*[50.0 + n for n in range(count)])
    fault = harness.sandbox.add_fault(Fault(On(path=POLLS, nth=2), Answer(status=502)))
    await harness.wait_many(ids)
    assert fault.fired
    # Full jitter; the harness uses one half.
    assert pause_after(harness, fault) >= 30
    assert {error for _, error in harness.ended.values()} == {None}


async def test_asset_that_cannot_be_returned_fails_alone(harness):
    good, bad = harness.add_assets(600.0, 600.0)
    harness.session.retry = RetryPolicy(attempts=2)
    harness.sandbox.add_fault(Fault(On(path=f"/api/asset/{bad}$"), Answer(status=500)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(harness.wait, good)
        tasks.start_soon(harness.wait, bad)
    assert isinstance(harness.ended[bad][1], errors.ServerError)
    assert harness.ended[bad][0] < harness.ended[good][0]
    assert harness.ended[good][1] is None
