import time

import anyio
import pytest

from livepeer_async import errors
from livepeer_async.uploads import scheduler
from livepeer_async.uploads.admission import LARGE
from livepeer_async.uploads.budget import Budget
from livepeer_async.uploads.scheduler import UploadJob, run_many
from livepeer_async.uploads.upload import UploadResult

pytestmark = pytest.mark.anyio


class Work:
    """Runs jobs that are numbers: each takes so many milliseconds."""

    def __init__(self):
        self.running = 0
        self.most = 0
        self.begun = 0
        self.processing = 0.0

    async def __call__(self, job, arrived):
        self.running += 1
        self.begun += 1
        self.most = max(self.most, self.running)
        await anyio.sleep(job.source / 1000)
        self.running -= 1
        arrived()
        await anyio.sleep(self.processing)
        return UploadResult(source=job.source)


async def run(jobs, work=None, **options):
    async with run_many(jobs, work or Work(), budget=Budget(**options)) as results:
        return [result.source async for result in results]


async def test_results_come_in_the_order_in_which_the_uploads_end():
    assert await run([60, 5, UploadJob(30)], concurrency=3) == [5, 30, 60]


async def test_no_more_run_at_once_than_is_wanted():
    work = Work()
    assert len(await run([3] * 20, work, concurrency=4)) == 20
    assert work.most == 4


async def test_what_has_arrived_holds_no_slot():
    work = Work()
    work.processing = 0.2
    started = time.monotonic()
    assert len(await run([1] * 40, work, concurrency=2)) == 40
    # One after the other they would take 4 s.
    assert time.monotonic() - started < 2
    assert work.most == 2


async def test_what_has_arrived_is_bounded_where_nobody_takes_results(monkeypatch):
    monkeypatch.setattr(scheduler, "MOST_ARRIVED", 5)
    work = Work()
    async with run_many([1] * 100, work, budget=Budget(concurrency=2)) as results:
        await anyio.sleep(0.3)
        assert 5 <= work.begun <= 7
        assert len([result async for result in results]) == 100


async def test_the_concurrency_may_be_changed_meanwhile():
    work, budget = Work(), Budget(concurrency=1)
    async with run_many([20] * 30, work, budget=budget) as results:
        await anext(results)
        assert work.most == 1
        budget.concurrency = 6
        async for _ in results:
            pass
    assert work.most == 6


async def test_the_long_ones_begin_early_and_leave_room_for_the_short_ones(tmp_path):
    begun = []

    async def work(job, arrived):
        begun.append(job.source.name)
        await anyio.sleep(0.3 if job.source.name.startswith("large") else 0.01)
        arrived()
        return UploadResult(source=job.source)

    names = ["small1", "small2", "large1", "large2", "large3", "small3", "small4", "small5"]
    for name in names:
        with (tmp_path / name).open("wb") as file:
            file.truncate(LARGE if name.startswith("large") else 1)
    jobs = [tmp_path / name for name in names]
    async with run_many(jobs, work, budget=Budget(concurrency=4)) as results:
        ended = [result.source.name async for result in results]
    assert begun.index("large1") < 4
    assert ended[:5] == [name for name in ended if name.startswith("small")]


async def test_an_endless_async_iterable_is_taken_only_as_far_as_there_is_room():
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 1
            yield 1

    work = Work()
    async with run_many(endless(), work, budget=Budget(concurrency=2)) as results:
        for _ in range(5):
            await anext(results)
    assert taken <= 5 + 3 * 2
    assert work.running <= 2


async def test_no_jobs_are_no_results():
    assert await run([]) == []


@pytest.mark.parametrize("jobs", ["clip.mp4", b"bytes", 5])
async def test_one_source_is_no_list_of_sources(jobs):
    with pytest.raises(errors.ConfigurationError, match="iterable"):
        await run(jobs)


@pytest.mark.parametrize("concurrency", [0, -1])
async def test_at_least_one_must_run(concurrency):
    with pytest.raises(errors.ConfigurationError, match="at least 1"):
        await run([1], concurrency=concurrency)


async def test_an_error_of_the_iterable_comes_out_as_it_is():
    def broken():
        yield 1
        raise KeyError("row 2")

    with pytest.raises(KeyError, match="row 2"):
        await run(broken())


async def test_an_error_inside_the_block_comes_out_as_it_is():
    with pytest.raises(ZeroDivisionError):
        async with run_many([1000], Work(), budget=Budget()):
            raise ZeroDivisionError
