"""A full queue of the account is reported once, as what limits an ingestion."""

import pytest

from ingest.running import events_of, run, states_of, write_videos
from livepeer_async import Progress, RetryEvent
from livepeer_async.ingest import Notice, Row
from livepeer_async.ingest.full_queue import FullQueue
from livepeer_async.sandbox import Answer, Fault, On
from support.sandbox import sandbox_and_client


def progress_of(status, attempt):
    retry = RetryEvent(reason="", attempt=attempt, attempts=9, delay=1.0, status=status)
    return Progress(sent=0, length=1, retry=retry)


@pytest.mark.parametrize(("status", "notices"), [(429, 1), (503, 0), (None, 0)])
def test_full_queue_is_reported_once(status, notices):
    found, passed = [], []
    queue = FullQueue(found.append)
    row = Row(source="a.mp4", is_url=False, key="a")
    for attempt in range(1, 10):
        for _ in range(2):
            queue.observe(lambda *it: passed.append(it), row, progress_of(status, attempt))
    assert len(found) == notices
    assert len(passed) == 18


def test_short_burst_is_not_reported():
    found = []
    queue = FullQueue(found.append)
    row = Row(source="a.mp4", is_url=False, key="a")
    for _ in range(9):
        queue.observe(None, row, progress_of(429, 1))
    assert found == []


@pytest.mark.anyio
async def test_ingestion_says_that_the_queue_limits_it(folder):
    videos = write_videos(folder, 2)
    full = Fault(On(path="request-upload", times=4), Answer(429, b"{}"))
    async with sandbox_and_client(full) as (_, livepeer):
        events = await run(livepeer, folder)
    assert states_of(events) == dict.fromkeys(videos, "ready")
    (notice,) = events_of(Notice, events)
    assert "processes 5 videos at once and holds 100" in notice.message
