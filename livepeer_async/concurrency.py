"""Concurrency on top of anyio: task groups, shielded clean-up, a channel and a clock.

`BackgroundTasks` are the tasks that no task group can own, because they outlive their callers.

`LoopLocal` and `Reservations` are for objects that serve several event loops.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Hashable
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)

# Seconds that closing may take once its caller is cancelled. Cancelled uploads end within 2 s.
CLOSE_GRACE = 5.0


@asynccontextmanager
async def plain_task_group() -> AsyncGenerator[TaskGroup, None]:
    """Open a task group that raises its first error itself instead of an exception group.

    Callers want to catch an error by its class. An exception group raised by the caller's own code
    is left as it is.
    """
    error: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error = group.exceptions[0]
    if error is not None:
        try:
            # Outside of the handler, which would replace the error's context by the group.
            raise error
        finally:
            # Breaks the cycle between this frame and the error's traceback.
            del error


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
    scope = anyio.CancelScope(deadline=anyio.current_time() + timeout)

    async def run() -> None:
        with scope:
            await work()

    # Not in a task group, which costs more than most of the work; it always ends here.
    task = asyncio.get_running_loop().create_task(run())
    try:
        await asyncio.wait([task])
        task.result()
    except asyncio.CancelledError:
        scope.deadline = min(scope.deadline, anyio.current_time() + grace)
        await _wait_in_any_case(task)
        # An error of the work comes first.
        task.result()
        raise
    finally:
        # Breaks the cycle between this frame and the traceback of an error.
        del task
    return not scope.cancelled_caught


async def _wait_in_any_case(task: asyncio.Task[None]) -> None:
    """Wait until a task has ended, also if this one is cancelled again and again."""
    while not task.done():
        with suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
            await asyncio.wait([task])


class BackgroundTasks:
    """The tasks of one event loop that outlive their callers; each must handle its own errors."""

    def __init__(self) -> None:
        # The event loop itself keeps only weak references.
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task with a copy of the caller's context variables."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Cancel all tasks and wait for their clean-up."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await run_shielded(partial(_wait_for_end, tasks), grace=CLOSE_GRACE)


async def join(task: asyncio.Task[None]) -> None:
    """Wait until a task has ended; a cancellation cancels the task and waits for its clean-up."""
    wait = partial(_wait_for_end, [task])
    try:
        await wait()
    except asyncio.CancelledError:
        task.cancel()
        # Shielded: the clean-up limits its own time, and must end before its caller does.
        await run_shielded(wait, grace=inf)
        raise


async def _wait_for_end(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


class Clock(NamedTuple):
    """Time and randomness as one value, which tests replace.

    Attributes:
        now: returns seconds on a monotonic clock.
        sleep: waits a number of seconds.
        random: returns a random number in 0..1; used for jitter.
        speed: how many seconds of `now` and `sleep` pass in a real second.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random
    speed: float = 1.0


def make_clock(speed: float) -> Clock:
    """Return a clock on which time passes `speed` times faster than in reality."""
    if speed == 1:
        return Clock()

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds / speed)

    return Clock(now=lambda: time.monotonic() * speed, sleep=sleep, speed=speed)


class Notifier:
    """A condition that several tasks can wait for; `notify` wakes all of them."""

    def __init__(self) -> None:
        # None while no task waits, as for most notifications.
        self._changed: anyio.Event | None = None

    def notify(self) -> None:
        """Wake all tasks that are waiting now."""
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()

    async def wait(self) -> None:
        """Wait until the next call of `notify`."""
        if self._changed is None:
            self._changed = anyio.Event()
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


class LoopLocal(Generic[T]):
    """A value for each event loop, created when the loop first needs it.

    One client may be used in several event loops: one after the other, as in tasks that each call
    `asyncio.run`, or at once in several threads. Code outside event loops has a value of its own.

    Args:
        create: creates a value, in its loop.
        aclose: closes the value of a loop that shuts down its async generators, as `asyncio.run`
            does.
        drop: closes the value of a loop that was closed without that; must not await. It is called
            by the next loop that needs a value, perhaps in another thread.
    """

    def __init__(
        self,
        create: Callable[[], T],
        *,
        aclose: Callable[[T], Awaitable[None]] | None = None,
        drop: Callable[[T], None] | None = None,
    ) -> None:
        self._create = create
        self._aclose = aclose
        self._drop = drop
        self._values: dict[asyncio.AbstractEventLoop | None, T] = {}
        # Suspended until their loops end.
        self._watchers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
        self._lock = threading.Lock()

    def get(self) -> T:
        """Return the value of the running loop."""
        try:
            return self._values[running_loop()]
        except KeyError:
            self.drop_closed()
            return self._add(running_loop())

    def find(self) -> T | None:
        """Return the value of the running loop; `None` if it has none yet."""
        return self._values.get(running_loop())

    def items(self) -> list[tuple[asyncio.AbstractEventLoop, T]]:
        """List the loops that have a value, and their values; may be called in any thread."""
        with self._lock:
            return [(loop, value) for loop, value in self._values.items() if loop is not None]

    def forget(self) -> None:
        """Forget the value of the running loop, without closing it."""
        self._values.pop(running_loop(), None)

    def drop_closed(self) -> None:
        """Drop the values of closed loops."""
        with self._lock:
            for watched in [loop for loop in self._watchers if loop.is_closed()]:
                del self._watchers[watched]
            closed = [loop for loop in self._values if loop is not None and loop.is_closed()]
            dropped = [self._values.pop(loop) for loop in closed]
        if self._drop is not None:
            for value in dropped:
                self._drop(value)

    def _add(self, loop: asyncio.AbstractEventLoop | None) -> T:
        value = self._create()
        with self._lock:
            self._values[loop] = value
        if self._aclose is not None and loop is not None and loop not in self._watchers:
            watcher = self._watch(loop)
            with self._lock:
                self._watchers[loop] = watcher
            # Runs to the `yield`, which registers the generator with the loop (PEP 525).
            with suppress(StopIteration):
                watcher.__anext__().send(None)
        return value

    async def _watch(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        """Close the value of a loop once the loop shuts down its async generators."""
        try:
            yield
        finally:
            with self._lock:
                self._watchers.pop(loop, None)
                value = self._values.pop(loop, None)
            if value is not None and self._aclose is not None:
                await self._aclose(value)


class _Reservation(NamedTuple):
    """A key in use; `identity` tells two reservations of one loop apart."""

    loop: asyncio.AbstractEventLoop | None
    identity: object

    @property
    def is_valid(self) -> bool:
        return self.loop is None or not self.loop.is_closed()


class Reservations(Generic[Key]):
    """The keys that are in use, in any event loop and thread.

    A reservation ends with its block, or with its event loop: the tasks of a closed one can't run.
    """

    def __init__(self) -> None:
        self._reservations: dict[Key, _Reservation] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._reservations)

    def __contains__(self, key: Key) -> bool:
        found = self._reservations.get(key)
        return found is not None and found.is_valid

    @contextmanager
    def reserve(self, key: Key) -> Generator[bool, None, None]:
        """Reserve a key until the block ends; yield False if it is in use already."""
        reservation = _Reservation(running_loop(), object())
        with self._lock:
            is_free = key not in self
            if is_free:
                self._reservations[key] = reservation
        try:
            yield is_free
        finally:
            with self._lock:
                if self._reservations.get(key) is reservation:
                    del self._reservations[key]

    def has_other_loops(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Whether another loop than this one has a reservation."""
        with self._lock:
            found = list(self._reservations.values())
        return any(it.is_valid and it.loop is not loop for it in found)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running event loop; `None` outside."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
