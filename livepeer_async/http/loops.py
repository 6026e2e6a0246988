"""Checks the running event loop, and awaits in event loops from outside of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import wait
from typing import Any, TypeVar

from livepeer_async.concurrency import running_loop
from livepeer_async.errors import ConfigurationError
from livepeer_async.http.worker_threads import ABANDONED

# Time limit for a loop that runs in another thread, which may be blocked.
CLOSE_SECONDS = 30.0
# How often a worker thread that waits looks whether its event loop is closed.
CHECK_SECONDS = 0.1

T = TypeVar("T")


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


def await_in_loop(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await a coroutine function in an event loop, in a thread of `run_in_worker`.

    Raises:
        concurrent.futures.CancelledError: nothing waits for the thread any more.
        RuntimeError: the loop is closed, for which the interpreter's exit must not wait.
    """
    coroutine = work()
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise
    while not wait([future], CHECK_SECONDS).done:
        if loop.is_closed():
            raise RuntimeError("the event loop was closed")
        abandoned = ABANDONED.get()
        if abandoned is not None and abandoned.is_set():
            future.cancel()
    return future.result()
