"""The events of a run, from the updates of its workers."""

import pickle

import pytest

from ingest.running import events_of
from livepeer_async.errors import LivepeerError
from livepeer_async.ingest import Halted, Resumed, Row, RowStarted
from livepeer_async.ingest.cluster.messages import Update, to_worker
from livepeer_async.ingest.cluster.tracker import RowTracker

pytestmark = pytest.mark.anyio
HALTED = Halted(LivepeerError("no connection"), 5.0)
ROW = Row(source="a.mp4", is_url=False, key="a")


@pytest.fixture
def sent():
    return []


@pytest.fixture
async def receive(sent):
    """Return a function that applies the events of a batch."""

    async def send(event):
        sent.append(event)

    tracker = RowTracker("run", send, None)
    tracker.add(ROW)

    async def receive(key, event):
        update = pickle.dumps(Update([(key, event)]))
        tracker.receive((0.0, pickle.dumps(("run", update))))
        await tracker.apply_all()

    return receive


async def test_run_resumes_when_no_batch_is_halted(receive, sent):
    await receive("first", HALTED)
    await receive("second", HALTED)
    await receive("first", Resumed(1.0))
    assert events_of(Resumed, sent) == []
    await receive("second", Resumed(1.0))
    (resumed,) = events_of(Resumed, sent)
    assert resumed.seconds > 0
    assert len(events_of(Halted, sent)) == 1


async def test_batch_that_starts_elsewhere_is_not_halted(receive, sent):
    await receive("first", HALTED)
    await receive("first", RowStarted(to_worker(ROW, 1, "/a.mp4")))
    assert len(events_of(Resumed, sent)) == 1
    assert events_of(RowStarted, sent) == [RowStarted(ROW)]
