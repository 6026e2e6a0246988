"""Several calls in one transaction: each ends once it is durable, and fails alone."""

import asyncio
import sqlite3
import threading

import anyio
import pytest

from livepeer_async.errors import JournalError
from livepeer_async.journal.busy_timeout import BusyTimeout, WaitCancelled
from livepeer_async.journal.group_commit import MIN_UPLOADS, GroupCommit

pytestmark = pytest.mark.anyio

UPLOADS = 2 * MIN_UPLOADS


class Database:
    """A database in memory that counts transactions, and can hold them up before they begin."""

    def __init__(self):
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.connection.execute("CREATE TABLE written (value)")
        self.commits = 0
        self.is_reached, self.may_begin = threading.Event(), threading.Event()
        self.may_begin.set()
        self.error: Exception | None = None

    def transact(self, work, busy_timeout: BusyTimeout):
        self.is_reached.set()
        while not self.may_begin.wait(0.01):
            busy_timeout.check()
        if self.error is not None:
            raise self.error
        self.connection.execute("BEGIN")
        try:
            result = work(self.connection)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        self.commits += 1
        return result

    @property
    def values(self) -> list[int]:
        query = "SELECT value FROM written ORDER BY value"
        return [value for (value,) in self.connection.execute(query)]


def write(value: int):
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO written VALUES (?)", (value,))
        return value

    return work


@pytest.fixture
def database():
    database = Database()
    yield database
    database.may_begin.set()
    database.connection.close()


@pytest.fixture
def transactions(database):
    transactions = GroupCommit(database.transact, lambda: BusyTimeout(10), lambda: UPLOADS)
    yield transactions
    transactions.close()


async def run_all(transactions, works):
    """Run calls at once; return the result or the error of each."""
    outcomes = [None] * len(works)

    async def run(index, work):
        try:
            outcomes[index] = await transactions.run(work)
        except Exception as error:  # noqa: BLE001 - of any kind
            outcomes[index] = error

    async with anyio.create_task_group() as tasks:
        for index, work in enumerate(works):
            tasks.start_soon(run, index, work)
    return outcomes


async def reach(event: threading.Event):
    assert await anyio.to_thread.run_sync(event.wait, 10)


async def test_calls_at_once_share_a_transaction(database, transactions):
    assert await run_all(transactions, [write(n) for n in range(UPLOADS)]) == list(range(UPLOADS))
    assert database.values == list(range(UPLOADS))
    assert database.commits == 1


async def test_call_ends_after_its_commit(database, transactions):
    for number in range(3):
        await transactions.run(write(number))
        assert database.commits == number + 1


async def test_failed_call_fails_alone(database, transactions):
    def fail(connection):
        write(99)(connection)
        raise JournalError("this one", path="journal.db")

    outcomes = await run_all(transactions, [write(0), fail, write(2)])
    assert outcomes[::2] == [0, 2]
    assert str(outcomes[1]) == "this one"
    assert database.values == [0, 2]


async def test_each_call_gets_its_own_error_of_the_file(database, transactions):
    database.error = JournalError("locked", path="journal.db")
    outcomes = await run_all(transactions, [write(0), write(1)])
    assert [str(error) for error in outcomes] == ["locked", "locked"]
    assert [error.path for error in outcomes] == ["journal.db"] * 2
    assert outcomes[0] is not outcomes[1]
    database.error = None
    assert await transactions.run(write(2)) == 2


async def test_cancelled_call_is_withdrawn_from_its_group(database, transactions):
    database.may_begin.clear()
    async with anyio.create_task_group() as tasks:
        scopes = []

        async def cancellable():
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await transactions.run(write(1))

        tasks.start_soon(transactions.run, write(0))
        tasks.start_soon(cancellable)
        await reach(database.is_reached)
        scopes[0].cancel()
        # It doesn't wait for the lock.
        while not scopes[0].cancelled_caught:
            await anyio.lowlevel.checkpoint()
        database.may_begin.set()
    assert database.values == [0]


async def test_group_without_calls_ends_its_wait(database, transactions):
    database.may_begin.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transactions.run, write(0))
        await reach(database.is_reached)
        tasks.cancel_scope.cancel()
    # The thread gave up, so a later call has it.
    database.is_reached.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transactions.run, write(1))
        await reach(database.is_reached)
        database.may_begin.set()
    assert database.values == [1]


async def test_begun_call_ends_before_its_cancellation(database, transactions):
    has_begun, may_end = threading.Event(), threading.Event()

    def slow(connection):
        has_begun.set()
        may_end.wait(10)
        return write(0)(connection)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transactions.run, slow)
        await reach(has_begun)
        tasks.cancel_scope.cancel()
        may_end.set()
    assert database.values == [0]
    assert database.commits == 1


async def test_begun_call_outlasts_repeated_cancellations(database, transactions):
    has_begun, may_end, outcomes = threading.Event(), threading.Event(), []

    def slow(connection):
        has_begun.set()
        assert may_end.wait(10)
        return write(1)(connection)

    async def run():
        try:
            await transactions.run(slow)
        except asyncio.CancelledError:
            outcomes.append(database.values)
            raise

    task = asyncio.create_task(run())
    await reach(has_begun)
    for _ in range(3):
        task.cancel()
        await anyio.wait_all_tasks_blocked()
    may_end.set()
    await asyncio.wait([task])
    assert outcomes == [[1]]
    assert task.cancelled()


async def test_calls_fail_without_a_thread_and_stay_undone(database, transactions, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, anyio.fail_after(10):
        patch.setattr(threading.Thread, "start", start)
        outcomes = await run_all(transactions, [write(0), write(1)])
    assert [str(error) for error in outcomes] == ["can't start new thread"] * 2
    assert await transactions.run(write(2)) == 2
    assert database.values == [2]


async def test_cancel_ends_running_and_waiting_calls(database, transactions):
    database.may_begin.clear()
    async with anyio.create_task_group() as tasks:
        outcomes = []

        async def run(value):
            try:
                await transactions.run(write(value))
            except WaitCancelled as error:
                outcomes.append(error)

        tasks.start_soon(run, 0)
        await reach(database.is_reached)
        tasks.start_soon(run, 1)
        await anyio.lowlevel.checkpoint()
        transactions.cancel()
    assert len(outcomes) == 2
    assert not database.values


async def test_calls_after_close_start_another_thread(database, transactions):
    await transactions.run(write(0))
    transactions.close()
    await transactions.run(write(1))
    assert database.values == [0, 1]
