"""Task groups whose error comes out as it is.

anyio wraps whatever leaves a task group into an exception group. Where one thing can go wrong at a
time, the caller wants that one error, to catch it by its class.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf

import anyio
from anyio.abc import TaskGroup


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
