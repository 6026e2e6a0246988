"""Events and polls in virtual time: rarer while events arrive, as usual when they stop."""

from itertools import pairwise

import msgspec
import pytest

from livepeer_async.models import Asset
from livepeer_async.polling.noticing import EVENT_DELAY
from livepeer_async.webhooks import AssetEvent, StreamEvent
from support.polling import virtual_waiter

pytestmark = pytest.mark.anyio


@pytest.fixture
async def harness():
    async with virtual_waiter() as harness:
        yield harness


def event_of(harness, asset_id, name="asset.updated"):
    """Return an event with the asset's present state, as the server would send it."""
    state = harness.sandbox._server  # noqa: SLF001 - there is no receiver in virtual time
    asset = state.assets[asset_id]
    now = state.now()
    snapshot = msgspec.convert(state.announcer._show(asset, now), Asset)  # noqa: SLF001 - as above
    created_at = int(now * 1000)
    return AssetEvent(id="e", event=name, timestamp=1, created_at=created_at, asset=snapshot)


def send_events(harness, asset_id, *, until, every=10.0):
    """Notice an event whenever `every` seconds have passed, until a time."""
    sleep, sent = harness.sleep, [0.0]

    async def sleep_in_steps(seconds):
        end = harness.clock.now + seconds
        while sent[0] + every <= min(end, until):
            await sleep(max(0.0, sent[0] + every - harness.clock.now))
            sent[0] += every
            harness.waiter.notice(event_of(harness, asset_id))
        await sleep(max(0.0, end - harness.clock.now))

    harness.sleep = sleep_in_steps


async def test_events_replace_most_polls(harness):
    (asset_id,) = harness.add_assets(1000.0)
    send_events(harness, asset_id, until=2000.0)
    await harness.wait(asset_id, timeout=5000.0)
    when, error = harness.ended[asset_id]
    assert error is None
    # The last event has the ready asset.
    assert when <= 1000.0 + 10.0
    after_first = [it for it in harness.log.polls(asset_id) if it > 12.0]
    # One poll in 300 s, in case events lack something.
    assert len(after_first) <= 4


async def test_polls_are_as_usual_when_events_stop(harness):
    (asset_id,) = harness.add_assets(1000.0)
    send_events(harness, asset_id, until=500.0)
    await harness.wait(asset_id, timeout=5000.0)
    when, error = harness.ended[asset_id]
    assert error is None
    assert when <= 1000.0 + 30.0 * 1.25
    polls = [it for it in harness.log.polls(asset_id) if it > 500.0]
    assert polls[0] <= 500.0 + EVENT_DELAY + 1.0
    assert max(later - earlier for earlier, later in pairwise(polls)) <= 37.5


async def test_events_of_one_asset_leave_others_polled(harness):
    busy, silent, *others = harness.add_assets(1000.0, 600.0, 700.0, 800.0)
    send_events(harness, busy, until=2000.0)
    await harness.wait_many([busy, silent, *others], timeout=5000.0)
    assert {error for _, error in harness.ended.values()} == {None}
    for asset_id, ready_at in ((silent, 600.0), (others[0], 700.0), (others[1], 800.0)):
        assert harness.ended[asset_id][0] <= ready_at + 35.0
    lists = [when for when, _ in harness.log.lists()]
    # As rarely as 30 s while events arrive, which is 5 s without them.
    assert len([it for it in lists if 100.0 < it < 600.0]) <= 20


async def test_incomplete_event_makes_a_poll_due_at_once(harness):
    (asset_id,) = harness.add_assets(1000.0)
    sleep, noticed_at = harness.sleep, []

    async def notice_and_sleep(seconds):
        if harness.clock.now > 900.0 and not noticed_at:
            noticed_at.append(harness.clock.now)
            # It says ready and shows another phase: only the server can tell.
            harness.waiter.notice(event_of(harness, asset_id, "asset.ready"))
        await sleep(seconds)

    harness.sleep = notice_and_sleep
    await harness.wait(asset_id, timeout=5000.0)
    assert harness.ended[asset_id][1] is None
    assert noticed_at[0] in harness.log.polls(asset_id)


async def test_events_of_other_assets_change_nothing(harness):
    (asset_id, other) = harness.add_assets(100.0, 50.0)
    send_events(harness, other, until=500.0)
    await harness.wait(asset_id)
    with_events = list(harness.log.polls(asset_id))
    async with virtual_waiter() as without:
        (asset_id,) = without.add_assets(100.0)
        await without.wait(asset_id)
        assert without.log.polls(asset_id) == with_events
    harness.waiter.notice(StreamEvent(id="e", event="stream.idle", timestamp=1))
