"""Concurrency on top of anyio: task groups, shielded clean-up and a channel.

anyio wraps what leaves a task group in an exception group. Where only one thing can fail at a time,
callers want that error itself, to catch it by its class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")


@asynccontextmanager
async def plain_task_group() -> AsyncGenerator[TaskGroup, None]:
    """Open a task group; where several errors leave it, the first one is raised.

    Only the group that is made here is opened: one that the caller raises stays whole.
    """
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error = group.exceptions[0]
        raise error from error.__cause__


async def finish(
    work: Callable[[], Awaitable[None]], *, within: float = inf, once_cancelled: float
) -> bool:
    """Run to its end what must not be left half done; say whether it came there in time.

    A task of its own does it: the shield of a scope holds off scopes, but not `Task.cancel`, which
    reaches only the task that waits here.

    Args:
        work: what to do.
        within: seconds that it may take.
        once_cancelled: seconds that it may still take when the caller is, or was, cancelled.
    """
    ended = anyio.Event()
    scope = anyio.CancelScope(shield=True, deadline=anyio.current_time() + within)

    async def run() -> None:
        with scope:
            await work()
        ended.set()

    async with plain_task_group() as tasks:
        tasks.start_soon(run)
        try:
            await ended.wait()
        except anyio.get_cancelled_exc_class():
            scope.deadline = min(scope.deadline, anyio.current_time() + once_cancelled)
            raise
    return not scope.cancelled_caught


class Handover(Generic[T]):
    """Values that wait to be taken."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[T, anyio.Event | None]] = deque()
        self._news = anyio.Event()
        self._is_over = False

    async def give(self, value: T) -> None:
        """Hand over a value, and wait until it is taken."""
        taken = anyio.Event()
        self._add(value, taken)
        await taken.wait()

    def put(self, value: T) -> None:
        """Hand over a value without waiting; something else must bound how many there are."""
        self._add(value, None)

    async def take(self) -> T:
        """Wait for the next value.

        Raises:
            anyio.EndOfStream: there is none, and none will come.
        """
        while not self._waiting:
            if self._is_over:
                raise anyio.EndOfStream
            await self._news.wait()
        value, taken = self._waiting.popleft()
        if taken is not None:
            taken.set()
        return value

    def end(self) -> None:
        """Say that no more will come."""
        self._is_over = True
        self._tell()

    def _add(self, value: T, taken: anyio.Event | None) -> None:
        self._waiting.append((value, taken))
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()
