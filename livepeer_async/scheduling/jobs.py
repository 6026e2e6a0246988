"""Runs many jobs concurrently and returns results in completion order.

Jobs come from any iterable, endless and async ones included. A job holds its slot until its last
byte is acknowledged; processing on the server holds none.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
)
from contextlib import aclosing, asynccontextmanager, closing
from math import inf
from typing import Any, Generic, Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from livepeer_async.concurrency import Channel, plain_task_group
from livepeer_async.scheduling.adaptive import next_to_start
from livepeer_async.scheduling.slots import Participant, Slot, SlotQueue

Job = TypeVar("Job")
Result = TypeVar("Result")

# Jobs that are taken before there is room for them, to choose from.
MAX_PREFETCHED = 16
# Uploads whose bytes have arrived and whose results haven't been taken: each has a file open.
MAX_UNTAKEN = 256


@asynccontextmanager
async def run_jobs(
    jobs: AsyncGenerator[Job, None],
    run_one: Callable[[Job, Slot], Awaitable[Result]],
    *,
    length_of: Callable[[Job], Awaitable[int | None]],
    slot_queue: SlotQueue,
) -> AsyncGenerator[AsyncIterator[Result], None]:
    """Run jobs side by side; results come as they end, and wait until they are taken.

    An error of `jobs` comes out behind the last result: what was begun ends as ever.

    Args:
        jobs: a few are taken before there is room for them.
        run_one: runs a job, and leaves the slot that it is handed once no byte is left to send; it
            must not raise but for cancellation.
        length_of: gives the bytes of a job, where they are known.
        slot_queue: says when one may start.
    """
    async with aclosing(jobs):
        with slot_queue.register() as place:
            async with plain_task_group() as tasks:
                many = _JobRunner(run_one, slot_queue, place, tasks)
                tasks.start_soon(many.feed, jobs, length_of)
                tasks.start_soon(many.dispatch)
                with closing(_Results(many)) as results:
                    yield results
                tasks.cancel_scope.cancel()


class _JobRunner(Generic[Job, Result]):
    """The jobs of one call: those that wait, those that run, those that have arrived.

    Attributes:
        results: of those that have ended, until they are taken.
        failure: what ended the iterable of jobs before its end.
    """

    def __init__(
        self,
        run_one: Callable[[Job, Slot], Awaitable[Result]],
        slot_queue: SlotQueue,
        place: Participant,
        tasks: TaskGroup,
    ) -> None:
        self._run_one = run_one
        self._slot_queue = slot_queue
        self._place = place
        self._tasks = tasks
        self._waiting: list[tuple[Job, int | None]] = []
        self._untaken = 0
        self._is_fed = False
        self.results = Channel[Result]()
        self.failure: Exception | None = None

    async def feed(
        self, jobs: AsyncIterator[Job], length_of: Callable[[Job], Awaitable[int | None]]
    ) -> None:
        """Take jobs, a few more than there is room for."""
        throttle = self._slot_queue.throttle
        try:
            async for job in jobs:
                self._waiting.append((job, await length_of(job)))
                self._slot_queue.notify()
                while len(self._waiting) >= min(
                    MAX_PREFETCHED, throttle.concurrency or MAX_PREFETCHED
                ):
                    await self._slot_queue.wait_for_change()
        except Exception as error:  # noqa: BLE001 - the caller's own; it is raised behind the results
            self.failure = error
        except anyio.get_cancelled_exc_class() as error:
            if anyio.current_effective_deadline() == -inf:
                raise
            # By something that the iterable awaits, and not with the block.
            self.failure = RuntimeError("the iterable of sources was cancelled")
            self.failure.__cause__ = error
        self._is_fed = True
        self._slot_queue.notify()

    async def dispatch(self) -> None:
        """Start jobs as there is room, and end the results after the last."""
        while not self._is_fed or self._waiting or self._untaken:
            while self._may_start():
                self._start()
            self._slot_queue.sample()
            await self._slot_queue.wait_for_change()
        self.results.close()

    def _may_start(self) -> bool:
        if self._place.reacquiring:
            return False  # they have the next turns
        has_arrived = self._untaken - len(self._place.sending)
        if self._waiting and has_arrived < MAX_UNTAKEN:
            return self._place.may_start()
        self._place.leave_queue()
        return False

    def _start(self) -> None:
        lengths = [length for _, length in self._waiting]
        running, slots = self._slot_queue.lengths, self._slot_queue.throttle.slots
        job, length = self._waiting.pop(next_to_start(lengths, running, slots=slots))
        self._untaken += 1
        self._tasks.start_soon(self._run, job, self._place.start(length))

    async def _run(self, job: Job, slot: Slot) -> None:
        result = await self._run_one(job, slot)
        slot.release()
        await self.results.send(result)
        self._untaken -= 1
        self._slot_queue.notify()


class _Results(Generic[Result]):
    """The results as they are taken, and behind them the error that ended the jobs, if one did.

    No generator: a call that is cancelled would end it.
    """

    def __init__(self, many: _JobRunner[Any, Result]) -> None:
        self._many = many

    def close(self) -> None:
        """Give no more: the block is left."""
        self._many.results.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        try:
            return await self._many.results.receive()
        except anyio.EndOfStream:
            if self._many.failure is not None:
                raise self._many.failure from self._many.failure.__cause__
            raise StopAsyncIteration from None
