"""Worker threads that are started outside the event loop.

Starting a thread waits until it runs. Beside threads that encrypt on all cores this takes 10 ms,
for which an event loop that starts one is late.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context

from livepeer_async.concurrency import LoopLocal

# More than the chunks in flight; a thread that waits for a hanging disk counts as well.
MAX_THREADS = 256

# Set once nothing waits for the work of the current thread.
ABANDONED: ContextVar[threading.Event | None] = ContextVar("ABANDONED", default=None)


class WorkerThreads:
    """The threads of one event loop."""

    def __init__(self) -> None:
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="livepeer-async-starter")
        self._workers = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="livepeer-async")
        # How many functions run, and the most that have run at once, each in a thread of its own.
        self._running = self._started = 0

    async def run(self, work: Callable[[], None]) -> None:
        """Call a function in a thread; a cancellation doesn't wait for it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        context, is_abandoned = copy_context(), threading.Event()
        context.run(ABANDONED.set, is_abandoned)

        def call() -> None:
            report(_call(lambda: context.run(work)))

        def report(error: BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._end, ended, error)

        def start() -> None:
            # It fails if the system allows no more threads.
            error = _call(lambda: self._workers.submit(call))
            if error is not None:
                report(error)

        try:
            if self._running < self._started:
                self._workers.submit(call)
            else:
                self._starter.submit(start)
            self._running += 1
            self._started = max(self._started, self._running)
            await ended
        finally:
            is_abandoned.set()

    def close(self) -> None:
        """End the threads after their work."""
        self._starter.shutdown(wait=False)
        self._workers.shutdown(wait=False)

    def _end(self, ended: asyncio.Future[None], error: BaseException | None) -> None:
        self._running -= 1
        if ended.done():
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    async def aclose(self) -> None:
        """End the threads after their work."""
        self.close()


def _call(work: Callable[[], object]) -> BaseException | None:
    """Return the error of a function."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - raised by `run`
        return error
    return None


_THREADS = LoopLocal(WorkerThreads, aclose=WorkerThreads.aclose, drop=WorkerThreads.close)


async def run_in_worker(work: Callable[[], None]) -> None:
    """Call a function in a worker thread; a cancellation doesn't wait for it."""
    await _THREADS.get().run(work)
