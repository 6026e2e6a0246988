"""Task groups whose error comes out as it is.

anyio wraps whatever leaves a task group into an exception group. Where one thing can go wrong at a
time, the caller wants that one error, to catch it by its class.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

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
