"""Group commit: the calls of several tasks in one transaction, in one trip to a worker thread.

With hundreds of small files a second, the trip and the commit cost more than the statements. A call
still ends only once its transaction is on the disk.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from math import inf
from typing import Any, Protocol, TypeVar, cast

import anyio

from livepeer_async.concurrency import run_shielded
from livepeer_async.journal.busy_timeout import BusyTimeout, WaitCancelled
from livepeer_async.journal.tables import Tables

T = TypeVar("T")
Work = Callable[[Tables], T]

# Seconds for which the first call of a group waits for others, while many uploads run. It costs
# each of them a few milliseconds, beside two round trips to the server.
GROUP_DELAY = 0.005
# Seconds after which a transaction is interrupted if its call was cancelled.
INTERRUPT_AFTER = 1.0
# Uploads from which on there are enough calls to wait for.
MIN_UPLOADS = 4


class Transact(Protocol):
    """Calls a function in a transaction, in a worker thread."""

    def __call__(self, work: Work[T], busy_timeout: BusyTimeout, /) -> T:
        """Call the function; see `Store.transact`."""
        ...


class _Call:
    """A call that waits for its transaction.

    Attributes:
        work: the function; may be called again after a rollback.
        ended: set once the transaction is over.
        group: the calls of its transaction.
        has_begun: whether a thread is calling the function, which must not be withdrawn any more.
        is_cancelled: whether its caller was cancelled.
    """

    __slots__ = ("_error", "_result", "ended", "group", "has_begun", "is_cancelled", "work")

    def __init__(self, work: Work[Any], group: _Group) -> None:
        self.work = work
        self.ended = anyio.Event()
        self.group = group
        self.has_begun = self.is_cancelled = False
        self._result: Any = None
        self._error: BaseException | None = None

    def succeed(self, result: Any) -> None:
        self._result, self._error = result, None

    def fail(self, error: BaseException) -> None:
        self._error = error

    @property
    def is_interrupted(self) -> bool:
        """Whether its transaction was interrupted, perhaps because of another call."""
        return isinstance(self._error, WaitCancelled)

    def unwrap(self) -> Any:
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            # Breaks the cycle between this frame and the error's traceback.
            del error


class _Group:
    """The calls of one transaction.

    Args:
        busy_timeout: the time that they may wait for locks.
        due: when the transaction starts, on the clock of the event loop.

    Attributes:
        is_closed: whether the calls must end, rather than be repeated after an interruption.
    """

    __slots__ = ("_lock", "busy_timeout", "calls", "due", "is_closed")

    def __init__(self, busy_timeout: BusyTimeout, due: float) -> None:
        self.calls: list[_Call] = []
        self.busy_timeout = busy_timeout
        self.due = due
        self.is_closed = False
        self._lock = threading.Lock()

    def withdraw(self, call: _Call) -> bool:
        """Withdraw a call, in the event loop; return false if a thread has begun it."""
        with self._lock:
            if call.has_begun or call not in self.calls:
                return False
            self.calls.remove(call)
        return True

    def transact(self, transact: Transact) -> None:
        """Call all functions in one transaction; if one fails, each in a transaction of its own."""
        calls: list[_Call] = []
        try:
            results = transact(lambda tables: self._call_all(calls, tables), self.busy_timeout)
        except BaseException as error:  # noqa: BLE001 - raised by the calls
            self._handle_error(error, calls, transact)
        else:
            for call, result in zip(calls, results, strict=True):
                call.succeed(result)

    def _call_all(self, calls: list[_Call], tables: Tables) -> list[Any]:
        if not calls:
            with self._lock:
                calls += self.calls
                for call in calls:
                    call.has_begun = True
        return [call.work(tables) for call in calls]

    def _handle_error(self, error: BaseException, begun: list[_Call], transact: Transact) -> None:
        if len(begun) > 1 and not isinstance(error, WaitCancelled):
            # The others must not fail with one, and it is unknown which one it is.
            for call in begun:
                _transact_alone(call, transact, self.busy_timeout)
            return
        self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Let all calls raise an error."""
        with self._lock:
            calls = list(self.calls)
        for call in calls:
            # A copy: each task that raises the error adds to its traceback.
            call.fail(error if len(calls) == 1 else copy(error))


class GroupCommit:
    """Runs the calls of one event loop in transactions.

    Args:
        transact: runs a transaction.
        make_busy_timeout: returns the busy timeout of a call that starts now.
        count_uploads: returns how many uploads may call.
    """

    def __init__(
        self,
        transact: Transact,
        make_busy_timeout: Callable[[], BusyTimeout],
        count_uploads: Callable[[], int],
    ) -> None:
        self._transact = transact
        self._make_busy_timeout = make_busy_timeout
        self._count_uploads = count_uploads
        self._executor: ThreadPoolExecutor | None = None
        self._waiting: _Group | None = None
        self._running: _Group | None = None

    async def run(self, work: Work[T]) -> T:
        """Call a function in a transaction.

        A cancelled call whose function wasn't called yet is withdrawn; any other one first waits
        for the end of its transaction.

        Raises:
            WaitCancelled: `cancel` was called; the file is unchanged.
            Exception: what the function or its transaction raised; the file is unchanged.
        """
        call = _Call(work, self._waiting or self._add_group())
        call.group.calls.append(call)
        try:
            await call.ended.wait()
        except asyncio.CancelledError:
            call.is_cancelled, group = True, call.group
            if not group.withdraw(call):
                # Shielded: afterwards, the caller may delete what the call has written. A database
                # that doesn't respond isn't waited for.
                loop = asyncio.get_running_loop()
                timer = loop.call_later(INTERRUPT_AFTER, group.busy_timeout.cancel)
                await run_shielded(call.ended.wait, grace=inf)
                timer.cancel()
            elif group is self._running and not group.calls:
                group.busy_timeout.cancel()
            raise
        return cast("T", call.unwrap())

    def cancel(self) -> None:
        """End all waits for locks with `WaitCancelled`; a call that was begun still ends."""
        for group in (self._running, self._waiting):
            if group is not None:
                group.is_closed = True
                group.busy_timeout.cancel()

    def close(self) -> None:
        """End the thread after its current transaction; the next call starts another one."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def _add_group(self) -> _Group:
        delay = 0.0 if self._count_uploads() < MIN_UPLOADS else GROUP_DELAY
        due = asyncio.get_running_loop().time() + delay
        self._waiting = group = _Group(self._make_busy_timeout(), due)
        if self._running is None:
            self._schedule(group)
        return group

    def _schedule(self, group: _Group) -> None:
        loop = asyncio.get_running_loop()
        if group.due <= loop.time():
            loop.call_soon(self._start)
        else:
            loop.call_at(group.due, self._start)

    def _start(self) -> None:
        group, self._waiting = self._waiting, None
        if group is None or not group.calls:
            return
        self._running = group
        # One thread, because SQLite has one writer at a time.
        self._executor = self._executor or ThreadPoolExecutor(1, thread_name_prefix="journal")
        loop = asyncio.get_running_loop()
        try:
            future = loop.run_in_executor(self._executor, group.transact, self._transact)
        except RuntimeError as error:
            # The system has no thread left. The executor would still run the group with the next.
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
            group.fail(error)
            self._finish()
        else:
            future.add_done_callback(self._finish)

    def _finish(self, future: asyncio.Future[None] | None = None) -> None:
        error = None if future is None else future.exception()
        if self._running is not None:
            if error is not None:
                self._running.fail(error)
            self._end(self._running)
        self._running = None
        if self._waiting is not None:
            self._schedule(self._waiting)

    def _end(self, group: _Group) -> None:
        """End the calls of a group; those interrupted because of another one are repeated."""
        for call in group.calls:
            if not call.is_interrupted or call.is_cancelled or group.is_closed:
                call.ended.set()
                continue
            call.group, call.has_begun = self._waiting or self._add_group(), False
            call.group.calls.append(call)


def _transact_alone(call: _Call, transact: Transact, busy_timeout: BusyTimeout) -> None:
    try:
        call.succeed(transact(call.work, busy_timeout))
    except BaseException as error:  # noqa: BLE001 - raised by the call
        call.fail(error)
