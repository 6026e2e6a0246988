"""A journal that somebody has locked: who waits for it is soon back, and no claim is left over."""

import asyncio
import os
import sqlite3
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import AsyncLivepeer, ConfigurationError, JournalError
from livepeer_async.journal import database
from livepeer_async.journal import journal as journal_module
from livepeer_async.journal.journal import Journal
from livepeer_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

# Of one who must not be waited for: a test that does runs into its own limit.
FOR_EVER = 1000.0
MANY = 8


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Let whoever may wait do so for ever, and who is to end soon end on a busy machine, too."""
    monkeypatch.setattr(database, "BUSY_SECONDS", FOR_EVER)


@pytest.fixture
def slow_end(monkeypatch):
    """Let a claim be dropped, or the file be closed, however long that takes a busy machine."""
    monkeypatch.setattr(journal_module, "RELEASE_TIMEOUT", 30.0)


@pytest.fixture
async def opened(journal):
    opened = Journal(journal, account="a")
    await opened.open()
    yield opened
    await opened.aclose()


@contextmanager
def locked(path):
    """Lock a journal as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@asynccontextmanager
async def begun(work):
    """Run something in a task that asyncio may cancel; it waits in the block."""
    task = asyncio.get_running_loop().create_task(work())
    await asyncio.sleep(0.3)
    yield task


@asynccontextmanager
async def holding(journal):
    """Hold a claim in a task that asyncio may cancel."""
    is_claimed = anyio.Event()

    async def hold():
        async with journal.acquire("talk"):
            is_claimed.set()
            await anyio.sleep_forever()

    task = asyncio.get_running_loop().create_task(hold())
    await is_claimed.wait()
    yield task


async def cancel(task):
    """Cancel a task, and wait until it has ended."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def take(path, key="talk"):
    """Claim a key as another process would."""
    other = Journal(path, account="a")
    try:
        async with other.acquire(key):
            pass
    finally:
        await other.aclose()


async def test_who_waits_for_a_claim_is_back_when_a_scope_is_cancelled(opened, journal):
    with locked(journal), anyio.move_on_after(0.3) as scope:
        async with opened.acquire("talk"):
            pytest.fail("it is locked")
    assert scope.cancelled_caught
    await take(journal)


async def test_who_waits_for_a_claim_is_back_when_its_task_is_cancelled(opened, journal):
    async def wait():
        async with opened.acquire("talk"):
            pytest.fail("it is locked")

    with locked(journal):
        async with begun(wait) as task:
            await cancel(task)
    await take(journal)


async def test_a_claim_ends_with_its_task(opened, journal, slow_end):
    async with holding(opened) as task:
        await cancel(task)
    await take(journal)


async def test_a_claim_that_could_not_be_dropped_goes_with_the_next_transaction(opened, journal):
    async with holding(opened) as task:
        with locked(journal):
            await cancel(task)
    assert await opened.records() == []
    await take(journal)


async def test_a_claim_that_could_not_be_dropped_can_be_made_again(opened, journal):
    with ExitStack() as meanwhile, anyio.CancelScope() as scope:
        async with opened.acquire("talk"):
            meanwhile.enter_context(locked(journal))
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    async with opened.acquire("talk"):
        assert await opened.records() == []
        with pytest.raises(JournalError, match=f"process {os.getpid()} carries it"):
            await take(journal)
    await take(journal)


async def test_many_that_wait_give_up_together(opened, journal, monkeypatch):
    errors = []

    async def wait(key):
        try:
            async with opened.acquire(key):
                pytest.fail("it is locked")
        except JournalError as error:
            errors.append(str(error))

    with locked(journal):
        async with anyio.create_task_group() as tasks:
            monkeypatch.setattr(database, "BUSY_SECONDS", 0.3)
            tasks.start_soon(wait, "first")
            await anyio.wait_all_tasks_blocked()
            monkeypatch.setattr(database, "BUSY_SECONDS", FOR_EVER)
            for number in range(MANY):
                tasks.start_soon(wait, str(number))
        await wait("afterwards")
    assert len(errors) == 1 + MANY + 1
    assert all("is locked by another program" in error for error in errors)


async def test_one_that_succeeds_gives_the_others_their_patience_back(opened, journal, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with locked(journal), pytest.raises(JournalError, match="is locked by another program"):
        await opened.records()
    await opened.records()
    monkeypatch.setattr(database, "BUSY_SECONDS", FOR_EVER)
    async with anyio.create_task_group() as tasks:
        with locked(journal):
            tasks.start_soon(opened.records)
            await anyio.sleep(3 * database.LOCKED_SECONDS)


async def test_a_locked_journal_can_be_closed_and_its_claims_are_void(opened, journal):
    async with opened.acquire("talk"):
        with locked(journal):
            await opened.aclose()
    await take(journal)
    assert os.listdir(journal.parent) == [journal.name]


async def test_a_task_that_is_cancelled_closes_the_journal_all_the_same(opened, journal, slow_end):
    async with opened.acquire("talk"):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await opened.aclose()
    assert os.listdir(journal.parent) == [journal.name]


async def test_who_waits_while_the_journal_is_closed_hears_of_it(opened, journal):
    with locked(journal):
        async with begun(opened.records) as task:
            await opened.aclose()
            with pytest.raises(ConfigurationError, match="is closed"):
                await task


async def test_an_upload_on_a_locked_journal_can_be_cancelled(journal, make_files):
    """The whole way: the claim is waited for, and its release."""
    (file,) = make_files(3000)
    async with Sandbox() as sandbox:
        account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
        async with AsyncLivepeer(journal=journal, **account) as livepeer:
            with locked(journal), anyio.move_on_after(0.3) as scope:
                await livepeer.upload(file)
            assert scope.cancelled_caught
            assert sandbox.assets == []
            await livepeer.upload(file)
