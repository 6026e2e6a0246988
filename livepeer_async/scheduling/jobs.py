"""Runs many jobs concurrently and returns results in completion order.

Jobs come from any iterable, including endless and async ones. A job holds its slot until its last
byte is acknowledged, not while the server processes it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from math import inf
from typing import Generic, Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from livepeer_async.concurrency import Channel, Notifier, plain_task_group
from livepeer_async.scheduling.adaptive import next_to_start
from livepeer_async.scheduling.slots import Participant, Slot, SlotQueue

Job = TypeVar("Job")
Result = TypeVar("Result")

# Jobs that are read before there is room for them, to choose the next one from.
MAX_PREFETCHED = 16
# Uploads that sent all bytes and whose results weren't consumed: each has an open file.
MAX_UNCONSUMED = 256


@asynccontextmanager
async def run_jobs(
    jobs: AsyncGenerator[Job, None],
    run_one: Callable[[Job, Slot], Awaitable[Result]],
    *,
    length_of: Callable[[Job], Awaitable[int | None]],
    slot_queue: SlotQueue,
) -> AsyncGenerator[AsyncIterator[Result], None]:
    """Run jobs concurrently; results come in completion order and wait until they are consumed.

    An error of `jobs` is raised after the last result, because jobs that were started still end.

    Args:
        jobs: a few are read before there is room for them.
        run_one: runs a job and releases its slot once all bytes are sent; must not raise.
        length_of: returns the bytes of a job, if they are known.
        slot_queue: determines when a job may start.
    """
    async with aclosing(jobs):
        with slot_queue.register() as participant:
            async with plain_task_group() as tasks:
                runner = _JobRunner(run_one, participant, tasks)
                tasks.start_soon(runner.read_jobs, jobs, length_of)
                tasks.start_soon(runner.start_jobs)
                with closing(runner):
                    yield runner
                tasks.cancel_scope.cancel()


class _JobRunner(Generic[Job, Result]):
    """The jobs of one call, and the iterator over their results.

    Not a generator, which a cancelled `anext` would end.
    """

    def __init__(
        self,
        run_one: Callable[[Job, Slot], Awaitable[Result]],
        participant: Participant,
        tasks: TaskGroup,
    ) -> None:
        self._run_one = run_one
        self._participant = participant
        self._slot_queue = participant.slot_queue
        self._tasks = tasks
        self._waiting: list[tuple[Job, int | None]] = []
        self._has_room = Notifier()
        # Jobs that were started and whose results weren't consumed.
        self._unconsumed = 0
        self._has_all = False
        self._results = Channel[Result]()
        self._error: Exception | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        with suppress(anyio.EndOfStream):
            return await self._results.receive()
        # Outside of a handler, which would replace the context of the caller's exception.
        raise self._error or StopAsyncIteration

    def close(self) -> None:
        """End the iterator."""
        self._results.close()

    async def read_jobs(
        self, jobs: AsyncIterator[Job], length_of: Callable[[Job], Awaitable[int | None]]
    ) -> None:
        """Read jobs, a few more than there is room for."""
        try:
            async for job in jobs:
                self._waiting.append((job, await length_of(job)))
                self._slot_queue.notify()
                while len(self._waiting) >= self._max_prefetched:
                    await self._has_room.wait()
        except Exception as error:  # noqa: BLE001 - the caller's; raised after the results
            self._error = error
        except anyio.get_cancelled_exc_class() as error:
            if anyio.current_effective_deadline() == -inf:
                raise
            # Something that the iterable awaits was cancelled, not the block.
            self._error = RuntimeError("the iterable of sources was cancelled")
            self._error.__cause__ = error
        self._has_all = True
        self._slot_queue.notify()

    async def start_jobs(self) -> None:
        """Start jobs as there is room, and end the results after the last."""
        while not self._has_all or self._waiting or self._unconsumed:
            while self._may_start():
                self._start_next()
            if len(self._waiting) < self._max_prefetched:
                self._has_room.notify()
            self._slot_queue.sample()
            await self._slot_queue.wait_for_change()
        self._results.close()

    @property
    def _max_prefetched(self) -> int:
        return min(MAX_PREFETCHED, self._slot_queue.throttle.concurrency or MAX_PREFETCHED)

    def _may_start(self) -> bool:
        if self._participant.reacquiring:
            return False  # uploads that continue go first
        without_slot = self._unconsumed - len(self._participant.held)
        if self._waiting and without_slot < MAX_UNCONSUMED:
            return self._slot_queue.may_start(self._participant)
        self._slot_queue.leave_queue(self._participant)
        return False

    def _start_next(self) -> None:
        lengths = [length for _, length in self._waiting]
        running, slots = self._slot_queue.lengths, self._slot_queue.throttle.slots
        job, length = self._waiting.pop(next_to_start(lengths, running, slots=slots))
        self._unconsumed += 1
        self._tasks.start_soon(self._run, job, self._participant.start(length))

    async def _run(self, job: Job, slot: Slot) -> None:
        result = await self._run_one(job, slot)
        slot.release()
        await self._results.send(result)
        self._unconsumed -= 1
        self._slot_queue.notify()
