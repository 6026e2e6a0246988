import anyio
import anyio.lowlevel
import pytest

from livepeer_async import UploadJob
from livepeer_async.sandbox import Fault, On, Slow, Stall, WrongSize
from livepeer_async.scheduling.slots import SlotQueue
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.uploads.many import run_many
from livepeer_async.uploads.options import UploadResult
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


@pytest.fixture
def slot_queue():
    return SlotQueue(Throttle(concurrency=2))


class Work:
    """Runs jobs, each until it is let go; knows how many run at the same time."""

    def __init__(self):
        self.max_count = 0
        self.begun = []
        self._going = {}

    async def __call__(self, job, slot):
        self.begun.append(job.source)
        self._going[job.source] = anyio.Event()
        self.max_count = max(self.max_count, len(self._going))
        try:
            await self._going[job.source].wait()
        finally:
            del self._going[job.source]
        slot.release()
        return UploadResult(source=job.source)

    def let_one_go(self):
        next(going for going in self._going.values() if not going.is_set()).set()


async def take(results, ended):
    async for result in results:
        ended.append(result.source)


async def test_two_calls_share_the_slots_and_take_turns(slot_queue):
    work, ended = Work(), []
    first, second = [[UploadJob(f"{call}{n}", length=1) for n in range(6)] for call in "ab"]
    async with (
        run_many(first, work, slot_queue=slot_queue) as one,
        run_many(second, work, slot_queue=slot_queue) as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(take, one, ended)
        tasks.start_soon(take, other, ended)
        for wanted in [*range(2, 13), 12]:
            await until(lambda wanted=wanted: len(work.begun) == wanted)
            await anyio.wait_all_tasks_blocked()
            work.let_one_go()
    assert sorted(ended) == sorted(job.source for job in first + second)
    assert work.max_count == 2
    # One may have had both slots before the other had anything to start.
    calls = [name[0] for name in work.begun]
    assert all(abs(calls[:n].count("a") - calls[:n].count("b")) <= 2 for n in range(12))


async def test_a_call_that_is_left_gives_its_slots_and_its_turn_to_the_others(slot_queue):
    work, ended, both_run = Work(), [], anyio.Event()

    async def others():
        await both_run.wait()
        yield "other1"
        yield "other2"

    async with run_many(others(), work, slot_queue=slot_queue) as results:
        async with run_many(["left1", "left2", "left3"], work, slot_queue=slot_queue):
            await until(lambda: work.begun == ["left1", "left2"])
            both_run.set()
            await anyio.wait_all_tasks_blocked()
        await until(lambda: work.begun[2:] == ["other1", "other2"])
        work.let_one_go()
        work.let_one_go()
        await take(results, ended)
    assert sorted(ended) == ["other1", "other2"]
    assert slot_queue.lengths == ()


def test_who_has_nothing_to_start_holds_nobody_up(slot_queue):
    with slot_queue.register() as one, slot_queue.register() as other:
        assert one.may_start()
        assert not other.may_start()
        one.leave_queue()
        assert other.may_start()


def test_who_has_started_one_stands_behind_the_others(slot_queue):
    with slot_queue.register() as one, slot_queue.register() as other:
        assert one.may_start()
        assert not other.may_start()
        one.start(None)
        assert not one.may_start()
        assert other.may_start()


def test_an_upload_that_nobody_can_delay_takes_its_slot_from_the_others(slot_queue):
    with slot_queue.register() as call, slot_queue.register(waits_for_slot=False) as single:
        slots = [single.start(None), single.start(5)]
        assert slot_queue.lengths == (None, 5)
        assert not call.may_start()
        slots[0].release()
        slots[0].release()
        assert slot_queue.lengths == (5,)
        assert call.may_start()


def test_where_slots_adapt_single_uploads_leave_one_to_the_others():
    slot_queue = SlotQueue(Throttle())
    with slot_queue.register() as call, slot_queue.register(waits_for_slot=False) as single:
        for _ in range(40):
            single.start(None)
        assert call.may_start()
        call.start(None)
        assert not call.may_start()


async def test_an_upload_by_itself_begins_at_once_and_others_wait_for_its_bytes():
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


async def test_who_sends_again_waits_for_a_slot(slot_queue):
    with slot_queue.register() as one, slot_queue.register() as other:
        again, held = one.start(1), other.start(2)
        again.release()
        other.start(3)
        taken = anyio.Event()

        async def take_again():
            await again.acquire()
            taken.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_again)
            await anyio.wait_all_tasks_blocked()
            assert not taken.is_set()
            held.release()
            with anyio.fail_after(TIMEOUT):
                await taken.wait()
        assert sorted(slot_queue.lengths) == [1, 3]
        await again.acquire()
        assert sorted(slot_queue.lengths) == [1, 3]


@pytest.mark.parametrize("others_are", ["of the same call", "of another call"])
async def test_who_sends_again_is_not_passed_over_for_ever(slot_queue, others_are):
    """Each job ends at once, so that somebody else always wants the slot."""
    taken = anyio.Event()
    slot_queue.throttle.concurrency = 1

    async def endless():
        while True:
            yield UploadJob(b"x", length=1)

    async def work(job, slot):
        if not taken.is_set() and not again:
            again.append(slot)
            slot.release()
            await anyio.sleep(0.001)
            await slot.acquire()
            taken.set()
        await anyio.sleep(0.001)
        slot.release()
        return UploadResult(source=job.source)

    async def idle(job, slot):
        await anyio.sleep(0.001)
        slot.release()
        return UploadResult(source=job.source)

    again, passed, is_one = [], 0, others_are == "of the same call"
    mine, theirs = (endless(), []) if is_one else ([UploadJob(b"one", length=1)], endless())
    async with (
        run_many(mine, work, slot_queue=slot_queue) as results,
        run_many(theirs, idle, slot_queue=slot_queue) as others,
    ):
        with anyio.fail_after(TIMEOUT):
            while not taken.is_set():
                await anext(results if is_one else others)
                passed += 1
    assert passed < 20


async def test_nothing_spins_where_all_wait_for_a_slot_again(slot_queue):
    left, is_full, taken = 0, anyio.Event(), []

    async def work(job, slot):
        nonlocal left
        slot.release()
        left += 1
        await is_full.wait()
        await slot.acquire()
        taken.append(job.source)
        slot.release()
        return UploadResult(source=job.source)

    jobs = [[UploadJob(name, length=1)] for name in ("a", "b")]
    ended = []
    async with (
        run_many(jobs[0], work, slot_queue=slot_queue) as one,
        run_many(jobs[1], work, slot_queue=slot_queue) as other,
    ):
        await until(lambda: left == 2)
        with slot_queue.register(waits_for_slot=False) as full:
            for _ in range(2):
                full.start(1)
            is_full.set()
            with anyio.fail_after(TIMEOUT):
                await anyio.wait_all_tasks_blocked()
            assert taken == []
        await take(one, ended)
        await take(other, ended)
    assert sorted(taken) == sorted(ended) == ["a", "b"]


async def test_wrong_assets_are_replaced_within_the_slots():
    names = ["one", "two", "three", "four"]
    wrong = [Fault(On(asset=name, times=1), WrongSize(-7)) for name in names]
    slow = Fault(On(method="POST", path="/upload/tus"), Slow(PART))
    most = 0
    async with sandbox_and_client(*wrong, slow) as (sandbox, livepeer):
        jobs = [UploadJob(make_bytes(PART // 2, len(name)), name) for name in names]
        many = livepeer.upload_many(jobs, concurrency=1, on_mismatch="reupload")
        async with many as results, anyio.create_task_group() as tasks:

            async def watch():
                nonlocal most
                while True:
                    running = [
                        it for it in sandbox.requests if "/tus" in it.path and not it.is_over
                    ]
                    most = max(most, len(running))
                    await anyio.sleep(0.01)

            tasks.start_soon(watch)
            assert [result.error async for result in results] == [None] * 4
            tasks.cancel_scope.cancel()
        assert len([it for it in sandbox.requests if "/tus" in it.path]) == 8
    assert most == 1
