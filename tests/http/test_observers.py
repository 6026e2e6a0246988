"""Observers see the failures and the long waits of their own task's requests."""

import anyio
import pytest

from livepeer_async.http import observers
from livepeer_async.http.messages import Request
from livepeer_async.http.observers import (
    WaitEvent,
    Watch,
    describe_unconfirmed,
    observe_requests,
    report_event,
)
from livepeer_async.http.retry import RetryEvent
from support.clock import until

pytestmark = pytest.mark.anyio
RETRY = RetryEvent(reason="cut", attempt=1, attempts=5, delay=0.5)
REQUEST = Request(method="GET", url="https://api.example/asset?token=secret")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(observers, "REPORT_AFTER", 0.01)


async def test_observer_sees_its_task_and_those_that_it_starts():
    seen, other = [], []

    async def report(event):
        report_event(event)

    async def observe_other():
        with observe_requests(other.append):
            await anyio.lowlevel.checkpoint()
            report_event(None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(observe_other)
        with observe_requests(seen.append):
            async with anyio.create_task_group() as children:
                children.start_soon(report, RETRY)
        report_event(RETRY)
    assert (seen, other) == ([RETRY], [None])


def test_observers_of_nested_blocks_all_see_an_event():
    outer, inner = [], []
    with observe_requests(outer.append):
        with observe_requests(inner.append):
            report_event(RETRY)
        report_event(None)
    assert (outer, inner) == ([RETRY, None], [RETRY])


async def test_long_wait_is_reported_until_it_ends(quick):
    seen = []
    with observe_requests(seen.append), Watch("no response", REQUEST):
        await until(lambda: len(seen) >= 2)
    *waits, end = seen
    assert all(it.seconds > 0 for it in waits)
    assert [it.seconds for it in waits] == sorted(it.seconds for it in waits)
    assert end.seconds == 0
    assert {(it.reason, it.place) for it in seen} == {
        ("no response", "GET https://api.example/asset")
    }


async def test_wait_is_reported_to_the_observers_it_began_with(quick):
    seen = []
    with observe_requests(seen.append):
        watch = Watch("no response")
    with watch:
        await until(lambda: seen)
    assert seen[-1].seconds == 0


async def test_progress_ends_a_wait_and_names_the_next(quick):
    seen = []
    with observe_requests(seen.append), Watch("no connection") as watch:
        await until(lambda: seen)
        watch.restart("no response")
        assert seen[-1] == WaitEvent(reason="no connection", seconds=0)
        await until(lambda: seen[-1].reason == "no response")


async def test_source_that_is_read_is_not_watched(quick):
    seen = []
    with observe_requests(seen.append), Watch(None) as watch:
        await anyio.sleep(0.05)
        assert seen == []
        watch.restart("no data accepted")
        await until(lambda: seen)
    assert {it.reason for it in seen} == {"no data accepted"}


async def test_quick_request_reports_nothing():
    seen = []
    with observe_requests(seen.append), Watch("no response"):
        await anyio.lowlevel.checkpoint()
    assert seen == []


def test_events_are_worded_for_people():
    event = WaitEvent(reason="no response", seconds=5.2, place=REQUEST.place)
    assert str(event) == "no response for 5 s (GET https://api.example/asset)"
    assert str(WaitEvent(reason=describe_unconfirmed(8 * 1024 * 1024), seconds=12)) == (
        "the server hasn't confirmed 8.0 MiB for 12 s"
    )
    assert describe_unconfirmed(1500) == "the server hasn't confirmed 1.5 KiB"
