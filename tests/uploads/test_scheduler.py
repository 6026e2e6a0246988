import anyio
import pytest

from livepeer_async import errors
from livepeer_async.uploads.scheduler import UploadJob, run_many
from livepeer_async.uploads.upload import UploadResult

pytestmark = pytest.mark.anyio


class Work:
    """Runs jobs that are numbers: each takes so many milliseconds."""

    def __init__(self):
        self.running = 0
        self.most = 0
        self.begun = 0

    async def __call__(self, job):
        self.running += 1
        self.begun += 1
        self.most = max(self.most, self.running)
        await anyio.sleep(job.source / 1000)
        self.running -= 1
        return UploadResult(source=job.source)


async def run(jobs, work=None, **options):
    async with run_many(jobs, work or Work(), **options) as results:
        return [result.source async for result in results]


async def test_results_come_in_the_order_in_which_the_uploads_end():
    assert await run([60, 5, UploadJob(30)], concurrency=3) == [5, 30, 60]


async def test_no_more_run_at_once_than_is_wanted():
    work = Work()
    assert len(await run([3] * 20, work, concurrency=4)) == 20
    assert work.most == 4


async def test_an_endless_async_iterable_is_taken_only_as_far_as_there_is_room():
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 1
            yield 1

    work = Work()
    async with run_many(endless(), work, concurrency=2) as results:
        for _ in range(5):
            await anext(results)
    assert taken <= 5 + 2 * 2
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
        async with run_many([1000], Work()):
            raise ZeroDivisionError
