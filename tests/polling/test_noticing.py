"""What events say about a watched asset, in any order and number."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import AssetDeleted, AssetFailed
from livepeer_async.models import Asset, AssetStatus, Task, TaskStatus
from livepeer_async.polling.noticing import (
    EVENT_DELAY,
    MAX_QUIET,
    Notice,
    asset_id_of,
    notice,
)
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.webhooks import AssetEvent, TaskEvent

_numbers = itertools.count(1000)


def asset(phase, updated_at=2000, **more):
    fields = {"playback_id": "p1", "size": 5, "playback_url": "https://a.example/", **more}
    return Asset(id="a1", status=AssetStatus(phase=phase, updated_at=updated_at), **fields)


def event(name, phase, updated_at=2000, *, created_at=None, **more):
    """Return an event of the asset, by default newer than those before."""
    created_at = next(_numbers) if created_at is None else created_at
    facts = {"id": "e", "event": name, "timestamp": 1, "created_at": created_at}
    return AssetEvent(**facts, asset=asset(phase, updated_at, **more))


def task_event(phase, updated_at=2000, *, name="task.updated"):
    status = TaskStatus(phase=phase, updated_at=updated_at) if phase else None
    task = Task(id="t1", output_asset_id="a1", status=status)
    return TaskEvent(id="e", event=name, timestamp=1, created_at=next(_numbers), task=task)


def watching(phase=None, updated_at=1000, **more):
    """Return a watched asset, polled at 100.0 if it has a phase."""
    watched = WatchedAsset("a1")
    watched.restart(100.0, 5000.0, 0.5)
    if phase is not None:
        watched.update(asset(phase, updated_at, **more), '"tag"', 100.0)
        watched.schedule(100.0, 0.5)
    return watched


def test_event_names_its_asset():
    assert asset_id_of(event("asset.ready", "ready")) == "a1"
    assert asset_id_of(task_event("running")) == "a1"


@pytest.mark.parametrize("known", [None, "uploading", "waiting", "processing"])
@pytest.mark.parametrize("name", ["asset.ready", "asset.updated"])
def test_ready_snapshot_replaces_a_poll(known, name):
    watched = watching(known)
    assert notice(watched, event(name, "ready"), 101.0) is Notice.CHANGE
    assert (watched.asset.phase, watched.failure, watched.etag) == ("ready", None, None)


INCOMPLETE = {
    "no status": event("asset.ready", "ready"),
    "no date": event("asset.ready", "ready", None),
    "no size": event("asset.ready", "ready", size=None),
    "size 0": event("asset.ready", "ready", size=0),
    "no URL": event("asset.ready", "ready", playback_url=None),
    "no playback ID": event("asset.ready", "ready", playback_id=""),
    "another playback ID": event("asset.ready", "ready", playback_id="p2"),
    "another phase": event("asset.ready", "processing"),
    "not failed": event("asset.failed", "ready"),
    "progress without a date": event("asset.updated", "processing", None),
}
INCOMPLETE["no status"] = AssetEvent(
    id="e", event="asset.ready", timestamp=1, asset=Asset(id="a1", playback_id="p1")
)


@pytest.mark.parametrize("name", INCOMPLETE)
def test_incomplete_snapshot_only_makes_a_poll_due(name):
    watched = watching("processing")
    notice(watched, event("asset.updated", "processing", 1500), 100.5)
    assert notice(watched, INCOMPLETE[name], 101.0) is Notice.POLL
    assert watched.asset.phase == "processing"
    assert (watched.due, watched.needs_request(101.0)) == (101.0, True)
    # The poll ends the hurry.
    watched.update(watched.asset, None, 101.0)
    assert not watched.needs_request(101.0)


def test_database_row_is_never_ready():
    watched = watching("uploading")
    assert notice(watched, event("asset.created", "ready"), 101.0) is Notice.NOTHING
    assert watched.asset.phase == "uploading"


def test_deletion_counts_by_its_name():
    watched = watching("processing")
    assert notice(watched, event("asset.deleted", "ready"), 101.0) is Notice.CHANGE
    assert isinstance(watched.failure, AssetDeleted)


def test_deletion_of_another_asset_only_makes_a_poll_due():
    watched = watching("processing")
    late = event("asset.deleted", "ready", playback_id="p2")
    assert notice(watched, late, 101.0) is Notice.POLL
    assert watched.failure is None
    assert watched.needs_request(101.0)


def test_failure_counts_at_once():
    watched = watching("processing")
    assert notice(watched, event("asset.failed", "failed"), 101.0) is Notice.CHANGE
    assert isinstance(watched.failure, AssetFailed)


def test_failure_of_an_unknown_asset_needs_a_look_at_its_task():
    watched = watching()
    assert notice(watched, event("asset.failed", "failed"), 101.0) is Notice.CHANGE
    assert watched.failure is None
    assert watched.is_task_due(101.0)


def test_failure_before_a_retry_is_old():
    watched = watching("failed")
    watched.retried = watched.asset.status
    assert notice(watched, event("asset.failed", "failed", 1000), 101.0) is Notice.NOTHING
    assert watched.failure is None
    assert notice(watched, event("asset.updated", "failed", 3000), 102.0) is Notice.CHANGE
    assert isinstance(watched.failure, AssetFailed)


@pytest.mark.parametrize(
    ("known", "late"),
    [
        (("processing", 2000), ("waiting", 1999)),
        (("ready", 2000), ("processing", 1999)),
        (("ready", 2000), ("processing", 2000)),
        (("ready", 2000), ("failed", 3000)),
        (("ready", 2000), ("processing", 3000)),
        (("failed", 2000), ("processing", 3000)),
        (("deleting", 2000), ("processing", 3000)),
    ],
)
def test_state_never_goes_back(known, late):
    watched = watching(*known)
    before = watched.asset, watched.due
    assert notice(watched, event("asset.updated", *late), 101.0) is Notice.NOTHING
    assert (watched.asset, watched.due) == before


def test_retried_asset_becomes_ready():
    watched = watching("failed")
    assert notice(watched, event("asset.ready", "ready"), 101.0) is Notice.CHANGE
    assert watched.failure is None
    assert watched.asset.phase == "ready"


def test_events_make_polls_rarer_until_they_stop():
    watched = watching("processing")
    assert watched.due < 101.0
    assert notice(watched, event("asset.updated", "processing"), 101.0) is Notice.CHANGE
    assert watched.due == 101.0 + EVENT_DELAY
    assert notice(watched, task_event("running"), 110.0) is Notice.QUIET
    assert watched.due == 110.0 + EVENT_DELAY
    # None for a while: one poll, and then the usual delays.
    watched.update(None, None, 125.0)
    watched.schedule(125.0, 0.5)
    assert watched.due == 125.0 + watched.delay(125.0, 0.5)


def test_repeated_event_does_not_postpone_polls():
    watched = watching("processing")
    first = event("asset.updated", "processing")
    notice(watched, first, 101.0)
    assert notice(watched, first, 110.0) is Notice.NOTHING
    older = event("asset.updated", "processing", created_at=1)
    assert notice(watched, older, 110.0) is Notice.NOTHING
    assert watched.due == 101.0 + EVENT_DELAY


def test_endless_events_do_not_end_the_polls():
    watched = watching("processing")
    for second in range(101, 3000):
        notice(watched, task_event("running"), float(second))
    assert watched.due == 100.0 + MAX_QUIET


def test_event_before_a_wait_delays_its_first_poll():
    watched = watching("uploading")
    notice(watched, task_event("waiting"), 101.0)
    watched.restart(102.0, 50.0, 0.5)
    assert watched.due == 101.0 + EVENT_DELAY


@pytest.mark.parametrize("phase", ["waiting", "running"])
def test_task_shows_that_the_upload_is_complete(phase):
    watched = watching("uploading")
    assert notice(watched, task_event(phase), 101.0) is Notice.CHANGE
    assert watched.asset.phase == "waiting"
    # The row of the asset may change later.
    watched.update(asset("uploading", 1000), None, 102.0)
    assert watched.asset.phase == "waiting"
    watched.update(asset("waiting", 2001), None, 103.0)
    assert watched.asset.status.updated_at == 2001


@pytest.mark.parametrize("phase", ["pending", "failed", "cancelled", "an unknown phase", None])
def test_other_phases_of_the_task_say_nothing(phase):
    watched = watching("uploading")
    assert notice(watched, task_event(phase), 101.0) is Notice.NOTHING
    assert watched.asset.phase == "uploading"


def test_task_of_an_unknown_or_ready_asset_says_nothing():
    assert notice(watching(), task_event("running"), 101.0) is Notice.NOTHING
    assert notice(watching("ready"), task_event("completed"), 101.0) is Notice.NOTHING


def test_completed_task_makes_a_poll_due():
    watched = watching("processing")
    late = task_event("completed", name="task.completed")
    assert notice(watched, late, 101.0) is Notice.POLL
    assert watched.due == 101.0


def test_running_task_shows_that_a_failed_asset_is_processed_again():
    watched = watching("failed", 1000)
    assert watched.is_task_due(100.0)
    assert notice(watched, task_event("running", 900), 101.0) is Notice.QUIET
    assert not watched.is_reprocessed
    assert notice(watched, task_event("running", 1500), 102.0) is Notice.QUIET
    assert watched.is_reprocessed
    assert not watched.is_task_due(103.0)


UPLOAD = [
    event("asset.created", "uploading", 1000),
    task_event("pending", 1000, name="task.spawned"),
    task_event("waiting", 1100),
    task_event("running", 1200),
    event("asset.updated", "processing", 1201),
    event("asset.updated", "processing", 1300),
    event("asset.updated", "ready", 1400),
    event("asset.ready", "ready", 1400),
    task_event("completed", 1401),
    task_event("completed", 1401, name="task.completed"),
]


@given(order=st.permutations(UPLOAD), repeated=st.lists(st.sampled_from(UPLOAD), max_size=5))
def test_each_order_of_an_upload_ends_ready(order, repeated):
    watched = watching("uploading", 1000)
    has_been_ready = False
    for number, it in enumerate([*order, *repeated]):
        notice(watched, it, 101.0 + number)
        has_been_ready = has_been_ready or watched.asset.phase == "ready"
        assert not has_been_ready or watched.asset.phase == "ready"
    assert watched.asset.phase == "ready"
    assert watched.failure is None
