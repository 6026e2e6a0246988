import asyncio
import gc
from math import inf

import anyio
import pytest

from livepeer_async.concurrency import Channel, Notifier, run_shielded
from support.constants import TIMEOUT

pytestmark = pytest.mark.anyio


async def receive_all(channel):
    received = []
    while True:
        try:
            received.append(await channel.receive())
        except anyio.EndOfStream:
            return received


async def test_send_waits_until_its_value_is_received():
    channel, sent = Channel(), []

    async def send():
        for value in range(3):
            await channel.send(value)
            sent.append(value)
        channel.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        assert sent == []
        channel.send_nowait("unawaited")
        assert await channel.receive() == 0
        await anyio.wait_all_tasks_blocked()
        assert sent == [0]
        assert await receive_all(channel) == ["unawaited", 1, 2]
    with pytest.raises(anyio.EndOfStream):
        await channel.receive()


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_cancelled_receive_loses_no_value(count):
    channel = Channel()
    receiving = asyncio.create_task(channel.receive())
    await anyio.wait_all_tasks_blocked()
    for value in range(count):
        channel.send_nowait(value)
    # The receiver has been notified, but has not run yet.
    receiving.cancel()
    results = await asyncio.gather(receiving, return_exceptions=True)
    received = [result for result in results if result == 0]
    channel.close()
    with anyio.fail_after(TIMEOUT):
        assert received + await receive_all(channel) == list(range(count))


class Work:
    """Clean-up that ends when it is told to."""

    def __init__(self, error=None):
        self.has_begun, self.may_end = anyio.Event(), anyio.Event()
        self.is_done = False
        self.error = error

    async def __call__(self):
        self.has_begun.set()
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        self.is_done = True


async def test_shielded_work_ends_before_its_cancelled_scope():
    work = Work()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: run_shielded(work, grace=inf))
        await work.has_begun.wait()
        tasks.cancel_scope.cancel()
        asyncio.get_running_loop().call_soon(work.may_end.set)
    assert work.is_done


async def test_shielded_work_ends_before_its_cancelled_task():
    work = Work()
    task = asyncio.create_task(run_shielded(work, grace=inf))
    await work.has_begun.wait()
    for _ in range(3):
        task.cancel()
        await anyio.wait_all_tasks_blocked()
    assert not task.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.is_done


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_shielded_work_has_a_time_limit(is_cancelled):
    work = Work()
    limits = {"grace": 0.0} if is_cancelled else {"grace": inf, "timeout": 0.0}
    task = asyncio.create_task(run_shielded(work, **limits))
    if is_cancelled:
        await work.has_begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert await task is False
    assert not work.is_done


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_error_of_shielded_work_is_raised_itself(is_cancelled):
    work = Work(ValueError("no disk"))
    task = asyncio.create_task(run_shielded(work, grace=inf))
    await work.has_begun.wait()
    if is_cancelled:
        task.cancel()
    work.may_end.set()
    with pytest.raises(ValueError, match="no disk"):
        await task


async def test_error_of_shielded_work_leaves_no_cycle():
    work = Work(ValueError("no disk"))
    work.may_end.set()
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ValueError, match="no disk"):
            await run_shielded(work, grace=inf)
        work.error = None
        kept = [it for it in gc.get_objects() if isinstance(it, ValueError)]
        assert "no disk" not in map(str, kept)
    finally:
        gc.enable()


async def test_notification_wakes_only_those_that_wait():
    notifier, woken = Notifier(), []

    async def wait(name):
        await notifier.wait()
        woken.append(name)

    notifier.notify()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, "a")
        tasks.start_soon(wait, "b")
        await anyio.wait_all_tasks_blocked()
        assert woken == []
        notifier.notify()
        tasks.start_soon(wait, "c")
        await anyio.wait_all_tasks_blocked()
        assert woken == ["a", "b"]
        notifier.notify()
    assert woken == ["a", "b", "c"]
