"""Statements that the server cancels, on an administrator's order or after a timeout."""

from contextlib import contextmanager

import anyio
import psycopg
import pytest
from msgspec.structs import replace

from livepeer_async import RetryPolicy
from livepeer_async.journal.postgres import connecting, session, store
from livepeer_async.sandbox import Answer, Fault, On
from support.clock import until
from support.records import RECORD
from support.sandbox import client_for, sandbox_and_client

pytestmark = pytest.mark.anyio

LOCK = f"SELECT pg_advisory_xact_lock({connecting._CREATION_LOCK})"  # noqa: SLF001


@pytest.fixture
def location(postgres):
    return postgres.url


@contextmanager
def transaction(postgres, statement):
    """Hold what a statement locks, as a process does that is stopped within its transaction."""
    with psycopg.connect(postgres.url) as other:
        other.execute(statement)
        yield
        other.rollback()


async def cancel_waiting(postgres):
    """Cancel a statement that waits for a lock, and those that repeat it."""
    before = postgres.server.log().count("due to user request")

    async def is_cancelled():
        postgres.execute("SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted")
        return postgres.server.log().count("due to user request") > before + 2

    await until(is_cancelled)


async def time_out(postgres):
    """Wait until a statement that waits for a lock has timed out repeatedly."""
    before = postgres.server.log().count("due to lock timeout")
    await until(lambda: postgres.server.log().count("due to lock timeout") > before + 2)


async def test_cancelled_statement_is_repeated(journal, postgres):
    await journal.write(RECORD)
    sessions = postgres.lock_backends()
    async with anyio.create_task_group() as tasks:
        with transaction(postgres, "UPDATE livepeer_async.records SET state = state"):
            tasks.start_soon(journal.write, replace(RECORD, name="new"))
            await cancel_waiting(postgres)
    assert [record.name for record in await journal.records()] == ["new"]
    assert postgres.lock_backends() == sessions


async def test_cancelled_statement_of_the_thread_keeps_the_session(journal, postgres, monkeypatch):
    monkeypatch.setattr(store, "TIDY_PERIOD", 0.0)
    monkeypatch.setattr(session, "HEARTBEAT", 0.05)
    await journal.open()
    sessions = postgres.lock_backends()
    with transaction(postgres, "LOCK livepeer_async.owners IN SHARE MODE"):
        await cancel_waiting(postgres)
    await journal.open()
    assert postgres.lock_backends() == sessions


async def test_cancelled_exchange_of_limits_is_repeated(postgres, monkeypatch):
    monkeypatch.setattr(session, "HEARTBEAT", 0.05)
    refusal = Fault(On(path="request-upload"), Answer(429, headers={"Retry-After": "300"}))
    options = {"journal": postgres.url, "retry": RetryPolicy()}
    async with (
        sandbox_and_client(refusal, client=options) as (sandbox, first),
        client_for(sandbox, **options) as second,
        anyio.create_task_group() as tasks,
    ):
        await first.unfinished()
        await second.unfinished()
        with transaction(postgres, "LOCK livepeer_async.pauses"):
            tasks.start_soon(first.upload, bytes(1000))
            await cancel_waiting(postgres)
        await until(lambda: second.throttle.is_paused)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("end_statement", [cancel_waiting, time_out])
async def test_first_connection_is_tried_again(journal, postgres, monkeypatch, end_statement):
    timeout = "50" if end_statement is time_out else "60000"
    monkeypatch.setitem(connecting._SESSION_SETTINGS, "lock_timeout", timeout)  # noqa: SLF001
    async with anyio.create_task_group() as tasks:
        with transaction(postgres, LOCK):
            tasks.start_soon(journal.write, RECORD)
            await end_statement(postgres)
    assert await journal.records() == [RECORD]
