"""Checks the running event loop, and runs clean-up in event loops from outside of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from livepeer_async.concurrency import running_loop
from livepeer_async.errors import ConfigurationError

# Time limit for a loop that runs in another thread, which may be blocked.
CLOSE_SECONDS = 30.0


def require_asyncio() -> None:
    """Check that an event loop of asyncio is running.

    Raises:
        ConfigurationError: there is none, as under trio.
    """
    if running_loop() is None:
        raise ConfigurationError(
            "no event loop of asyncio is running; wanted asyncio or uvloop",
            advice="use asyncio.run(); with anyio's pytest plugin, let anyio_backend be 'asyncio'",
        )


def close_in_loops(
    loops: Iterable[asyncio.AbstractEventLoop], aclose: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Close something in each of its event loops: those of other threads, and those at rest.

    Raises:
        ConfigurationError: an event loop is running in this thread.
        TimeoutError: a loop of another thread is blocked.
    """
    if running_loop() is not None:
        raise ConfigurationError(
            "close() was called in a running event loop", advice="await aclose() there"
        )
    for loop in loops:
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(aclose(), loop).result(CLOSE_SECONDS)
        elif not loop.is_closed():
            loop.run_until_complete(aclose())
