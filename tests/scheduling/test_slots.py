import anyio
import anyio.lowlevel
import pytest

from livepeer_async import UploadJob
from livepeer_async.sandbox import Fault, On, Slow, Stall, WrongSize
from livepeer_async.scheduling.slots import SlotQueue
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.uploads.many import run_uploads
from livepeer_async.uploads.options import UploadResult
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


@pytest.fixture
def slot_queue():
    return SlotQueue(Throttle(concurrency=2))


class Work:
    """Runs each job until `finish_one`, and counts concurrent jobs."""

    def __init__(self):
        self.max_count = 0
        self.started = []
        self._running = {}

    async def __call__(self, job, slot):
        self.started.append(job.source)
        self._running[job.source] = anyio.Event()
        self.max_count = max(self.max_count, len(self._running))
        try:
            await self._running[job.source].wait()
        finally:
            del self._running[job.source]
        slot.release()
        return UploadResult(source=job.source)

    def finish_one(self):
        next(job for job in self._running.values() if not job.is_set()).set()


async def collect(results, ended):
    async for result in results:
        ended.append(result.source)


async def test_two_calls_share_the_slots_evenly(slot_queue):
    work, ended = Work(), []
    first, second = [[UploadJob(f"{call}{n}", length=1) for n in range(6)] for call in "ab"]
    async with (
        run_uploads(first, work, slot_queue=slot_queue) as one,
        run_uploads(second, work, slot_queue=slot_queue) as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(collect, one, ended)
        tasks.start_soon(collect, other, ended)
        for expected in [*range(2, 13), 12]:
            await until(lambda expected=expected: len(work.started) == expected)
            await anyio.wait_all_tasks_blocked()
            work.finish_one()
    assert sorted(ended) == sorted(job.source for job in first + second)
    assert work.max_count == 2
    # The first call may get both slots before the second one has a job.
    calls = [name[0] for name in work.started]
    assert all(abs(calls[:n].count("a") - calls[:n].count("b")) <= 2 for n in range(12))


async def test_ended_call_releases_its_slots_and_leaves_the_queue(slot_queue):
    work, ended, both_run = Work(), [], anyio.Event()

    async def others():
        await both_run.wait()
        yield "other1"
        yield "other2"

    async with run_uploads(others(), work, slot_queue=slot_queue) as results:
        async with run_uploads(["left1", "left2", "left3"], work, slot_queue=slot_queue):
            await until(lambda: work.started == ["left1", "left2"])
            both_run.set()
            await anyio.wait_all_tasks_blocked()
        await until(lambda: work.started[2:] == ["other1", "other2"])
        work.finish_one()
        work.finish_one()
        await collect(results, ended)
    assert sorted(ended) == ["other1", "other2"]
    assert slot_queue.lengths == ()


def test_idle_call_does_not_block_others(slot_queue):
    with slot_queue.register() as one, slot_queue.register() as other:
        assert slot_queue.may_start(one)
        assert not slot_queue.may_start(other)
        slot_queue.leave_queue(one)
        assert slot_queue.may_start(other)


def test_call_moves_to_the_queue_end_after_a_start(slot_queue):
    with slot_queue.register() as one, slot_queue.register() as other:
        assert slot_queue.may_start(one)
        assert not slot_queue.may_start(other)
        one.start(None)
        assert not slot_queue.may_start(one)
        assert slot_queue.may_start(other)


def test_single_uploads_reduce_the_slots_of_others(slot_queue):
    with slot_queue.register() as call, slot_queue.register(waits_for_slot=False) as single:
        slots = [single.start(None), single.start(5)]
        assert slot_queue.lengths == (None, 5)
        assert not slot_queue.may_start(call)
        slots[0].release()
        slots[0].release()
        assert slot_queue.lengths == (5,)
        assert slot_queue.may_start(call)


def test_single_uploads_leave_one_adaptive_slot():
    slot_queue = SlotQueue(Throttle())
    with slot_queue.register() as call, slot_queue.register(waits_for_slot=False) as single:
        for _ in range(40):
            single.start(None)
        assert slot_queue.may_start(call)
        call.start(None)
        assert not slot_queue.may_start(call)


async def test_single_upload_starts_at_once_and_others_wait():
    stalled = Fault(On(method="PATCH", nth=1), Stall(VERY_LONG))
    async with sandbox_and_client(stalled) as (sandbox, livepeer):
        livepeer.throttle.concurrency = 1
        jobs = [UploadJob(make_bytes(PART, seed=1), "one of many")]
        single = livepeer.begin_upload(make_bytes(3 * PART), "single")
        async with anyio.create_task_group() as tasks:
            ended = anyio.Event()

            async def upload(*, task_status):
                async with single as upload:
                    task_status.started()
                    await ended.wait()
                    await upload.abort()

            await tasks.start(upload)
            async with livepeer.upload_many(jobs) as results:
                with anyio.move_on_after(1) as waiting:
                    await anext(results)
                assert waiting.cancelled_caught
                assert [asset.name for asset in sandbox.assets] == ["single"]
                ended.set()
                assert (await anext(results)).error is None
    assert stalled.fired


async def test_reacquiring_waits_for_a_slot(slot_queue):
    with slot_queue.register() as one, slot_queue.register() as other:
        released, held = one.start(1), other.start(2)
        released.release()
        other.start(3)
        acquired = anyio.Event()

        async def acquire():
            await released.acquire()
            acquired.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(acquire)
            await anyio.wait_all_tasks_blocked()
            assert not acquired.is_set()
            held.release()
            with anyio.fail_after(TIMEOUT):
                await acquired.wait()
        assert sorted(slot_queue.lengths) == [1, 3]
        await released.acquire()
        assert sorted(slot_queue.lengths) == [1, 3]


@pytest.mark.parametrize("is_same_call", [True, False])
async def test_reacquiring_upload_is_not_starved_by_new_jobs(slot_queue, is_same_call):
    acquired = anyio.Event()
    slot_queue.throttle.concurrency = 1

    async def endless():
        while True:
            yield UploadJob(b"x", length=1)

    async def work(job, slot):
        if not acquired.is_set() and not reacquiring:
            reacquiring.append(slot)
            slot.release()
            await anyio.sleep(0.001)
            await slot.acquire()
            acquired.set()
        await anyio.sleep(0.001)
        slot.release()
        return UploadResult(source=job.source)

    async def short_work(job, slot):
        await anyio.sleep(0.001)
        slot.release()
        return UploadResult(source=job.source)

    reacquiring, ended = [], 0
    jobs, others = (endless(), []) if is_same_call else ([UploadJob(b"one", length=1)], endless())
    async with (
        run_uploads(jobs, work, slot_queue=slot_queue) as results,
        run_uploads(others, short_work, slot_queue=slot_queue) as other_results,
    ):
        with anyio.fail_after(TIMEOUT):
            while not acquired.is_set():
                await anext(results if is_same_call else other_results)
                ended += 1
    assert ended < 20


async def test_reacquiring_calls_do_not_spin(slot_queue):
    released, is_full, acquired = 0, anyio.Event(), []

    async def work(job, slot):
        nonlocal released
        slot.release()
        released += 1
        await is_full.wait()
        await slot.acquire()
        acquired.append(job.source)
        slot.release()
        return UploadResult(source=job.source)

    jobs = [[UploadJob(name, length=1)] for name in ("a", "b")]
    ended = []
    async with (
        run_uploads(jobs[0], work, slot_queue=slot_queue) as one,
        run_uploads(jobs[1], work, slot_queue=slot_queue) as other,
    ):
        await until(lambda: released == 2)
        with slot_queue.register(waits_for_slot=False) as full:
            for _ in range(2):
                full.start(1)
            is_full.set()
            with anyio.fail_after(TIMEOUT):
                await anyio.wait_all_tasks_blocked()
            assert acquired == []
        await collect(one, ended)
        await collect(other, ended)
    assert sorted(acquired) == sorted(ended) == ["a", "b"]


async def test_wrong_assets_are_replaced_within_the_slots():
    names = ["one", "two", "three", "four"]
    wrong = [Fault(On(asset=name, times=1), WrongSize(-7)) for name in names]
    slow = Fault(On(method="POST", path="/upload/tus"), Slow(PART))
    max_running = 0
    async with sandbox_and_client(*wrong, slow) as (sandbox, livepeer):
        jobs = [UploadJob(make_bytes(PART // 2, len(name)), name) for name in names]
        uploads = livepeer.upload_many(jobs, concurrency=1, on_mismatch="reupload")
        async with uploads as results, anyio.create_task_group() as tasks:

            async def count_running():
                nonlocal max_running
                while True:
                    running = [
                        it for it in sandbox.requests if "/tus" in it.path and not it.is_over
                    ]
                    max_running = max(max_running, len(running))
                    await anyio.sleep(0.01)

            tasks.start_soon(count_running)
            assert [result.error async for result in results] == [None] * 4
            tasks.cancel_scope.cancel()
        assert len([it for it in sandbox.requests if "/tus" in it.path]) == 8
    assert max_running == 1
