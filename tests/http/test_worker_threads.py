"""Threads that are started outside the event loop."""

import asyncio
import threading

import anyio
import pytest

from livepeer_async.concurrency import plain_task_group
from livepeer_async.http.loops import await_in_loop
from livepeer_async.http.worker_threads import run_in_worker
from support.clock import until

pytestmark = pytest.mark.anyio


async def test_function_runs_in_another_thread():
    threads = []
    await run_in_worker(lambda: threads.append(threading.current_thread()))
    assert threads[0] is not threading.current_thread()
    assert not threads[0].daemon


async def test_error_of_the_function_is_raised():
    def fail():
        raise ValueError("no disk")

    with pytest.raises(ValueError, match="no disk"):
        await run_in_worker(fail)


async def test_functions_run_at_the_same_time():
    barrier = threading.Barrier(20, timeout=30)
    async with plain_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(run_in_worker, barrier.wait)


async def test_cancellation_does_not_wait_for_the_function():
    may_end, has_ended = threading.Event(), threading.Event()

    def work():
        may_end.wait(30)
        has_ended.set()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await run_in_worker(work)
    assert not has_ended.is_set()
    may_end.set()
    await until(has_ended.is_set)


async def test_cancellation_ends_what_the_function_awaits():
    loop, has_ended = asyncio.get_running_loop(), threading.Event()
    is_waiting = anyio.Event()

    async def wait():
        is_waiting.set()
        await anyio.sleep_forever()

    def work():
        try:
            await_in_loop(loop, wait)
        finally:
            has_ended.set()

    async with plain_task_group() as tasks:
        tasks.start_soon(run_in_worker, work)
        await is_waiting.wait()
        tasks.cancel_scope.cancel()
    await until(has_ended.is_set)
