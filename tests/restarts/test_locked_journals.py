"""Journals locked by another program: waits can be cancelled, and no claim is left."""

import asyncio
import os
import sqlite3
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import AsyncLivepeer, ConfigurationError, JournalError
from livepeer_async.journal import opened as opened_module
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.sqlite import database
from livepeer_async.sandbox import Sandbox
from support.constants import VERY_LONG

pytestmark = pytest.mark.anyio

MANY = 8


@pytest.fixture(autouse=True)
def long_busy_timeout(monkeypatch):
    """Make a wait for the lock longer than the test."""
    monkeypatch.setattr(database, "BUSY_SECONDS", VERY_LONG)


@pytest.fixture
def slow_end(monkeypatch):
    """Allow a release or a close the time that a busy machine needs."""
    monkeypatch.setattr(opened_module, "RELEASE_TIMEOUT", 30.0)


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
async def waiting_task(function):
    """Run a coroutine function in an asyncio task; it waits for the lock in the block."""
    task = asyncio.get_running_loop().create_task(function())
    await asyncio.sleep(0.3)
    yield task


@asynccontextmanager
async def holding(journal):
    """Hold a claim in an asyncio task."""
    is_claimed = anyio.Event()

    async def hold():
        async with journal.acquire("talk"):
            is_claimed.set()
            await anyio.sleep_forever()

    task = asyncio.get_running_loop().create_task(hold())
    await is_claimed.wait()
    yield task


async def cancel(task):
    """Cancel a task, and wait for its end."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def acquire(path, key="talk"):
    """Acquire a key as another process would."""
    other = Journal(path, account="a")
    try:
        async with other.acquire(key):
            pass
    finally:
        await other.aclose()


async def test_cancelled_scope_ends_the_wait_for_a_claim(opened, journal):
    with locked(journal), anyio.move_on_after(0.3) as scope:
        async with opened.acquire("talk"):
            pytest.fail("it is locked")
    assert scope.cancelled_caught
    await acquire(journal)


async def test_cancelled_task_ends_the_wait_for_a_claim(opened, journal):
    async def wait():
        async with opened.acquire("talk"):
            pytest.fail("it is locked")

    with locked(journal):
        async with waiting_task(wait) as task:
            await cancel(task)
    await acquire(journal)


async def test_claim_ends_with_its_task(opened, journal, slow_end):
    async with holding(opened) as task:
        await cancel(task)
    await acquire(journal)


async def test_unreleased_claim_ends_with_the_next_transaction(opened, journal):
    async with holding(opened) as task:
        with locked(journal):
            await cancel(task)
    assert await opened.records() == []
    await acquire(journal)


async def test_unreleased_claim_can_be_acquired_again(opened, journal):
    with ExitStack() as meanwhile, anyio.CancelScope() as scope:
        async with opened.acquire("talk"):
            meanwhile.enter_context(locked(journal))
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    async with opened.acquire("talk"):
        assert await opened.records() == []
        with pytest.raises(JournalError, match=f"in use by process {os.getpid()}"):
            await acquire(journal)
    await acquire(journal)


async def test_concurrent_waits_time_out_together(opened, journal, monkeypatch):
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
            monkeypatch.setattr(database, "BUSY_SECONDS", VERY_LONG)
            for number in range(MANY):
                tasks.start_soon(wait, str(number))
        await wait("afterwards")
    assert len(errors) == 1 + MANY + 1
    assert all("is locked by another program" in error for error in errors)


async def test_success_restores_the_full_busy_timeout(opened, journal, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with locked(journal), pytest.raises(JournalError, match="is locked by another program"):
        await opened.records()
    await opened.records()
    monkeypatch.setattr(database, "BUSY_SECONDS", VERY_LONG)
    async with anyio.create_task_group() as tasks:
        with locked(journal):
            tasks.start_soon(opened.records)
            await anyio.sleep(3 * database.LOCKED_SECONDS)


async def test_locked_journal_can_be_closed_and_ends_its_claims(opened, journal):
    async with opened.acquire("talk"):
        with locked(journal):
            await opened.aclose()
    await acquire(journal)
    assert os.listdir(journal.parent) == [journal.name]


async def test_cancelled_task_closes_the_journal(opened, journal, slow_end):
    async with opened.acquire("talk"):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await opened.aclose()
    assert os.listdir(journal.parent) == [journal.name]


async def test_closing_the_journal_ends_waits_with_an_error(opened, journal):
    with locked(journal):
        async with waiting_task(opened.records) as task:
            await opened.aclose()
            with pytest.raises(ConfigurationError, match="is closed"):
                await task


async def test_upload_waiting_for_a_locked_journal_can_be_cancelled(journal, make_files):
    (file,) = make_files(3000)
    async with Sandbox() as sandbox:
        account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
        async with AsyncLivepeer(journal=journal, **account) as livepeer:
            with locked(journal), anyio.move_on_after(0.3) as scope:
                await livepeer.upload(file)
            assert scope.cancelled_caught
            assert sandbox.assets == []
            await livepeer.upload(file)
