import asyncio

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import errors
from livepeer_async.concurrency import Notifier
from livepeer_async.scheduling import jobs
from livepeer_async.scheduling.adaptive import LARGE_FILE
from livepeer_async.scheduling.slots import SlotQueue
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.uploads.many import UploadJob, run_uploads
from livepeer_async.uploads.options import UploadResult
from support.clock import until

pytestmark = pytest.mark.anyio


class Gate:
    """Lets jobs pass: all while it is open, else those that were allowed."""

    def __init__(self):
        self.is_open = True
        self._allowed = set()
        self._notifier = Notifier()

    def allow(self, job):
        self._allowed.add(job)
        self._notifier.notify()

    def open(self):
        self.is_open = True
        self._notifier.notify()

    async def passed(self, job):
        while not self.is_open and job not in self._allowed:
            await self._notifier.wait()
        await anyio.lowlevel.checkpoint()


class Work:
    """Runs jobs that are numbers: each is sent and then processed, as the gates allow."""

    def __init__(self):
        self.running = 0
        self.max_count = 0
        self.started = 0
        self.sending = Gate()
        self.processing = Gate()

    async def __call__(self, job, slot):
        self.running += 1
        self.started += 1
        self.max_count = max(self.max_count, self.running)
        await self.sending.passed(job.source)
        self.running -= 1
        slot.release()
        await self.processing.passed(job.source)
        return UploadResult(source=job.source)


async def run(jobs, work=None, **options):
    async with run_uploads(
        jobs, work or Work(), slot_queue=SlotQueue(Throttle(**options))
    ) as results:
        return [result.source async for result in results]


async def test_results_arrive_in_completion_order():
    work, ended = Work(), []
    work.sending.is_open = False
    async with run_uploads(
        [1, 2, UploadJob(3)], work, slot_queue=SlotQueue(Throttle(concurrency=3))
    ) as results:
        for source in (2, 3, 1):
            work.sending.allow(source)
            ended.append((await anext(results)).source)
    assert ended == [2, 3, 1]


async def test_concurrency_is_respected():
    work = Work()
    work.sending.is_open = False
    async with run_uploads(
        range(20), work, slot_queue=SlotQueue(Throttle(concurrency=4))
    ) as results:
        await until(lambda: work.running == 4)
        await anyio.wait_all_tasks_blocked()
        work.sending.open()
        assert len([result async for result in results]) == 20
    assert work.max_count == 4


async def test_processing_holds_no_slot():
    work = Work()
    work.processing.is_open = False
    async with run_uploads(
        range(40), work, slot_queue=SlotQueue(Throttle(concurrency=2))
    ) as results:
        await until(lambda: work.started == 40)
        work.processing.open()
        assert len([result async for result in results]) == 40
    assert work.max_count == 2


async def test_unconsumed_results_are_bounded(monkeypatch):
    monkeypatch.setattr(jobs, "MAX_UNCONSUMED", 5)
    work = Work()
    async with run_uploads(
        range(100), work, slot_queue=SlotQueue(Throttle(concurrency=2))
    ) as results:
        await until(lambda: work.started >= 5)
        await anyio.wait_all_tasks_blocked()
        assert 5 <= work.started <= 7
        assert len([result async for result in results]) == 100


async def test_concurrency_can_be_changed_while_jobs_run():
    work, throttle = Work(), Throttle(concurrency=1)
    work.sending.is_open = False
    work.sending.allow(0)
    async with run_uploads(range(30), work, slot_queue=SlotQueue(throttle)) as results:
        await anext(results)
        assert work.max_count == 1
        throttle.concurrency = 6
        await until(lambda: work.running == 6)
        work.sending.open()
        async for _ in results:
            pass
    assert work.max_count == 6


async def test_large_files_start_early_and_leave_room():
    started, ended = [], []
    short_ones_ended = anyio.Event()

    async def work(job, slot):
        started.append(job.source)
        if job.source.startswith("large"):
            await short_ones_ended.wait()
        slot.release()
        return UploadResult(source=job.source)

    names = ["small1", "small2", *(f"large{n}" for n in range(1, 5)), "small3", "small4", "small5"]
    lengths = [LARGE_FILE if name.startswith("large") else 1 for name in names]
    jobs = [UploadJob(name, length=length) for name, length in zip(names, lengths, strict=True)]
    async with run_uploads(jobs, work, slot_queue=SlotQueue(Throttle(concurrency=4))) as results:
        async for result in results:
            ended.append(result.source)
            if len(ended) == 5:
                short_ones_ended.set()
    assert started.index("large1") < 4
    assert sorted(ended) == sorted(names)


async def test_endless_iterable_is_read_as_slots_become_free():
    read = 0

    async def endless():
        nonlocal read
        while True:
            read += 1
            yield read

    work = Work()
    work.sending.is_open = False
    for job in range(1, 6):
        work.sending.allow(job)
    async with run_uploads(
        endless(), work, slot_queue=SlotQueue(Throttle(concurrency=2))
    ) as results:
        assert sorted([(await anext(results)).source for _ in range(5)]) == [1, 2, 3, 4, 5]
        await until(lambda: work.running == 2)
        await anyio.wait_all_tasks_blocked()
        # Two that run, and two that are prefetched.
        assert read == 5 + 2 + 2


async def test_empty_iterable_gives_no_results():
    assert await run([]) == []


@pytest.mark.parametrize("jobs", ["clip.mp4", b"bytes", 5])
async def test_single_source_is_rejected(jobs):
    with pytest.raises(errors.ConfigurationError, match="iterable"):
        await run(jobs)


@pytest.mark.parametrize("concurrency", [0, -1])
async def test_invalid_concurrency_is_rejected(concurrency):
    with pytest.raises(errors.ConfigurationError, match="at least 1"):
        await run([1], concurrency=concurrency)


async def test_error_of_the_iterable_is_raised_unchanged():
    def broken():
        yield 1
        raise KeyError("row 2")

    with pytest.raises(KeyError, match="row 2"):
        await run(broken())


async def test_error_of_the_iterable_loses_no_result():
    def broken():
        yield from range(6)
        raise OSError("the disk with the list is gone")

    work, ended = Work(), []
    work.sending.is_open = False
    async with run_uploads(
        broken(), work, slot_queue=SlotQueue(Throttle(concurrency=6))
    ) as results:
        await until(lambda: work.running == 6)
        await anyio.wait_all_tasks_blocked()
        work.sending.open()
        with pytest.raises(OSError, match="the disk"):
            while True:
                ended.append((await anext(results)).source)
    assert sorted(ended) == [0, 1, 2, 3, 4, 5]


async def test_iterable_that_cancels_itself_is_an_error():
    async def broken():
        yield 1
        other = asyncio.create_task(anyio.sleep_forever())
        other.cancel()
        await other

    ended = []
    with pytest.raises(RuntimeError, match="iterable of sources was cancelled"):
        async with run_uploads(broken(), Work(), slot_queue=SlotQueue(Throttle())) as results:
            while True:
                ended.append((await anext(results)).source)
    assert ended == [1]


async def test_error_in_the_block_is_raised_unchanged():
    work = Work()
    work.sending.is_open = False
    with pytest.raises(ZeroDivisionError):
        async with run_uploads([1], work, slot_queue=SlotQueue(Throttle())):
            raise ZeroDivisionError
