"""The distribution of progress to a callback and to iterators."""

import anyio
import pytest

from livepeer_async import Progress, Stage
from livepeer_async.http.retry import RetryEvent
from livepeer_async.uploads.progress import ProgressReporter

pytestmark = pytest.mark.anyio
RETRY = RetryEvent(reason="cut", attempt=1, attempts=5, delay=0.5)


def test_callback_receives_each_change_once():
    seen = []
    reporter = ProgressReporter(10, seen.append)
    for sent in (1, 1, 2):
        reporter.report(sent=sent, asset_id="a")
    reporter.report(asset_id="a", retry=RETRY)
    assert [(it.sent, it.retry) for it in seen] == [(1, None), (2, None), (2, RETRY)]
    assert {it.stage for it in seen} == {Stage.UPLOADING}


async def test_iterator_skips_values_but_yields_the_last():
    reporter = ProgressReporter(3, None)
    iterator = aiter(reporter)
    assert (await anext(iterator)).sent == 0
    for sent in (1, 2, 3):
        reporter.report(sent=sent, asset_id="a")
    reporter.close()
    assert [it.sent async for it in iterator] == [3]


async def test_close_wakes_a_waiting_iterator():
    reporter = ProgressReporter(3, None)
    seen = []

    async def read():
        seen.extend([it.sent async for it in reporter])

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            reporter.close()
    assert seen == [0]


def test_setback_is_a_deprecated_name_of_retry():
    progress = Progress(sent=0, length=1, retry=RETRY)
    with pytest.warns(DeprecationWarning, match=r"Progress\.retry"):
        assert progress.setback is RETRY
