"""The progress of an upload, and its distribution to a callback and to iterators."""

import anyio
import pytest

from livepeer_async import Progress, Stage
from livepeer_async.http.observers import WaitEvent
from livepeer_async.http.retry import RetryEvent
from livepeer_async.uploads.progress import RATE_WINDOW, ProgressReporter, RateMeter
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio
RETRY = RetryEvent(reason="cut", attempt=1, attempts=5, delay=0.5)
WAIT = WaitEvent(reason="no response", seconds=5.0)


def reporter_of(length, callback=None, **options):
    reporter = ProgressReporter(length, callback, **options)
    reporter.begin("a", is_resumed=False)
    return reporter


def test_callback_receives_each_change_once():
    seen = []
    reporter = reporter_of(10, seen.append)
    for sent in (1, 1, 2):
        reporter.update_transfer(sent, 0)
    reporter.observe(RETRY)
    reporter.observe(RETRY)
    assert [(it.sent, it.retry) for it in seen] == [(0, None), (1, None), (2, None), (2, RETRY)]
    assert {it.stage for it in seen} == {Stage.UPLOADING}


async def test_iterator_skips_values_but_yields_the_last():
    reporter = reporter_of(3)
    iterator = aiter(reporter)
    assert (await anext(iterator)).sent == 0
    for sent in (1, 2, 3):
        reporter.update_transfer(sent, 0)
    reporter.close()
    assert [it.sent async for it in iterator] == [3]


async def test_close_wakes_a_waiting_iterator():
    reporter = reporter_of(3)
    seen = []

    async def read():
        seen.extend([it.sent async for it in reporter])

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            reporter.close()
    assert seen == [0]


def test_resumed_upload_begins_at_the_confirmed_offset():
    seen = []
    reporter = ProgressReporter(10, seen.append)
    reporter.begin("a", is_resumed=True)
    reporter.update_transfer(6, 0)
    assert [(it.sent, it.fraction, it.stage) for it in seen] == [(6, 0.6, Stage.UPLOADING)]


def test_failure_while_resuming_has_no_fraction():
    seen = []
    reporter = ProgressReporter(10, seen.append)
    reporter.begin("a", is_resumed=True)
    reporter.observe(RETRY)
    assert [(it.stage, it.fraction, it.retry) for it in seen] == [(Stage.RESUMING, None, RETRY)]


def test_failure_before_the_asset_is_reported():
    seen = []
    reporter = ProgressReporter(10, seen.append)
    reporter.observe(RETRY)
    reporter.begin("a", is_resumed=False)
    assert [(it.stage, it.retry) for it in seen] == [
        (Stage.STARTING, RETRY),
        (Stage.UPLOADING, None),
    ]


def test_bytes_in_flight_are_no_part_of_the_fraction():
    reporter = reporter_of(10)
    reporter.update_transfer(0, 10)
    assert (reporter.latest.sent, reporter.latest.in_flight, reporter.latest.fraction) == (0, 10, 0)
    reporter.update_transfer(10, 0)
    assert (reporter.latest.in_flight, reporter.latest.fraction) == (0, 1.0)


def test_acknowledged_and_in_flight_never_exceed_the_length():
    reporter = reporter_of(10)
    reporter.update_transfer(8, 8)
    assert (reporter.latest.sent, reporter.latest.in_flight) == (8, 2)


@pytest.mark.parametrize(
    ("length", "stage"), [(0, Stage.UPLOADING), (9, Stage.STARTING), (9, Stage.RESUMING)]
)
def test_fraction_is_unknown_without_length_or_offset(length, stage):
    assert Progress(sent=0, length=length, stage=stage).fraction is None


def test_wait_keeps_the_retry_until_a_request_succeeds():
    reporter = reporter_of(10)
    reporter.observe(RETRY)
    reporter.observe(WAIT)
    assert (reporter.latest.retry, reporter.latest.waiting) == (RETRY, WAIT)
    reporter.observe(WaitEvent(reason="no response", seconds=0))
    assert (reporter.latest.retry, reporter.latest.waiting) == (RETRY, None)
    reporter.observe(None)
    assert (reporter.latest.retry, reporter.latest.waiting) == (None, None)


def test_processing_counts_all_bytes_as_sent():
    reporter = reporter_of(10)
    reporter.update_transfer(0, 10)
    reporter.update_stage(Stage.PROCESSING, processed=0.5, asset_id="a")
    latest = reporter.latest
    assert (latest.sent, latest.in_flight, latest.processed, latest.rate) == (10, 0, 0.5, None)


def test_rate_is_that_of_the_bytes_in_flight():
    clock = VirtualClock()
    reporter = reporter_of(100_000, clock=clock.as_clock())
    for count in range(0, 5000, 1000):
        reporter.update_transfer(0, count)
        clock.advance(1)
    reporter.update_transfer(4000, 0)
    # The first bytes only mark the beginning.
    assert reporter.latest.rate == pytest.approx(750)


def test_rate_forgets_what_is_older_than_its_window():
    clock = VirtualClock()
    meter = RateMeter(clock)
    for rate in (1000, 10):
        for _ in range(int(2 * RATE_WINDOW)):
            meter.add(rate)
            clock.advance(1)
    assert meter.rate == pytest.approx(10, rel=0.1)
    clock.advance(2 * RATE_WINDOW)
    assert meter.rate is None


def test_rate_is_unknown_at_first_and_after_a_reset():
    clock = VirtualClock()
    meter = RateMeter(clock)
    assert meter.rate is None
    meter.add(1000)
    clock.advance(0.5)
    meter.add(1000)
    assert meter.rate is None
    clock.advance(0.5)
    assert meter.rate == 1000
    meter.reset()
    assert meter.rate is None


def test_setback_is_a_deprecated_name_of_retry():
    progress = Progress(sent=0, length=1, retry=RETRY)
    with pytest.warns(DeprecationWarning, match=r"Progress\.retry"):
        assert progress.setback is RETRY
