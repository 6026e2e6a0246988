"""Concurrency on top of anyio: task groups, shielded clean-up, a channel and a clock."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Generic, NamedTuple, TypeVar

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")


@asynccontextmanager
async def plain_task_group() -> AsyncGenerator[TaskGroup, None]:
    """Open a task group that raises its first error itself instead of an exception group.

    Callers want to catch an error by its class. An exception group raised by the caller's own code
    is left as it is.
    """
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error = group.exceptions[0]
        raise error from error.__cause__


async def run_shielded(
    work: Callable[[], Awaitable[None]], *, timeout: float = inf, grace: float
) -> bool:
    """Run clean-up that a cancellation must not interrupt, with a time limit.

    The work runs in its own task: a shielded scope protects against cancelled scopes, but not
    against asyncio's `Task.cancel`, which only reaches the task that awaits this function.

    Args:
        work: the clean-up.
        timeout: time limit in seconds.
        grace: time limit in seconds, from the moment when the caller is cancelled.

    Returns:
        Whether the work finished in time.
    """
    ended = anyio.Event()
    scope = anyio.CancelScope(shield=True, deadline=anyio.current_time() + timeout)

    async def run() -> None:
        with scope:
            await work()
        ended.set()

    async with plain_task_group() as tasks:
        tasks.start_soon(run)
        try:
            await ended.wait()
        except anyio.get_cancelled_exc_class():
            scope.deadline = min(scope.deadline, anyio.current_time() + grace)
            raise
    return not scope.cancelled_caught


class Clock(NamedTuple):
    """Time and randomness as one value, which tests replace.

    Attributes:
        now: returns seconds on a monotonic clock.
        sleep: waits a number of seconds.
        random: returns a random number in 0..1; used for jitter.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random


class Notifier:
    """A condition that several tasks can wait for; `notify` wakes all of them."""

    def __init__(self) -> None:
        self._changed = anyio.Event()

    def notify(self) -> None:
        """Wake all tasks that are waiting now."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def wait(self) -> None:
        """Wait until the next call of `notify`."""
        await self._changed.wait()


class Channel(Generic[T]):
    """An unbounded queue of values; a sender may wait until its value is received.

    Unlike anyio's memory streams, it loses no value when a receiver is cancelled.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[T, anyio.Event | None]] = deque()
        self._notifier = Notifier()
        self._is_closed = False

    async def send(self, value: T) -> None:
        """Send a value and wait until it is received."""
        received = anyio.Event()
        self._add(value, received)
        await received.wait()

    def send_nowait(self, value: T) -> None:
        """Send a value without waiting; the caller must limit how many are queued."""
        self._add(value, None)

    async def receive(self) -> T:
        """Wait for the next value.

        Raises:
            anyio.EndOfStream: the channel is closed and empty.
        """
        while not self._waiting:
            if self._is_closed:
                raise anyio.EndOfStream
            await self._notifier.wait()
        value, received = self._waiting.popleft()
        if received is not None:
            received.set()
        return value

    def close(self) -> None:
        """Close the sending side; values already sent can still be received."""
        self._is_closed = True
        self._notifier.notify()

    def _add(self, value: T, received: anyio.Event | None) -> None:
        self._waiting.append((value, received))
        self._notifier.notify()
