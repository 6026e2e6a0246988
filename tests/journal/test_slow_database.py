"""Databases that respond slowly, and those whose administrator limits or changes sessions."""

import time

import anyio
import anyio.lowlevel
import psycopg
import pytest
from msgspec.structs import replace

from livepeer_async.journal.journal import Journal
from livepeer_async.journal.postgres import session
from livepeer_async.journal.postgres.administration import list_owners
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.postgres import USER
from support.records import RECORD

pytestmark = pytest.mark.anyio

# As a network with a long round trip.
SLOW = """
CREATE FUNCTION livepeer_async.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_sleep(0.3);
    RETURN NEW;
END $$;
CREATE TRIGGER slow BEFORE INSERT ON livepeer_async.records
    FOR EACH ROW EXECUTE FUNCTION livepeer_async.wait();
"""


@pytest.fixture
async def journal(postgres):
    journal = Journal(postgres.url, account="a")
    yield journal
    await journal.aclose()


async def cancel_once_waiting(scope, postgres):
    """Cancel a scope once a statement waits for a row."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    await until(lambda: postgres.execute(waiting) == [(1,)])
    scope.cancel()


async def test_cancelled_call_leaves_others_of_its_transaction_alone(journal, postgres):
    first, second = replace(RECORD, key="1"), replace(RECORD, key="2")
    await journal.write(first)
    with psycopg.connect(postgres.url) as other:
        other.execute("UPDATE livepeer_async.records SET state = state")
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                tasks.start_soon(cancel_once_waiting, scope, postgres)
                # In one transaction, because both calls are made before it starts.
                tasks.start_soon(journal.write, second)
                await journal.write(replace(first, name="new"))
            assert scope.cancelled_caught
            other.rollback()
    assert second in await journal.records()


async def test_each_response_is_a_sign_of_life(journal, postgres, monkeypatch):
    # Shorter than the transaction, which has a round trip for each of its statements.
    monkeypatch.setattr(session, "STOP_AFTER", 1.0)
    monkeypatch.setattr(session, "HEARTBEAT", VERY_LONG)
    await journal.open()
    sessions = postgres.lock_backends()
    postgres.execute(SLOW)
    async with anyio.create_task_group() as tasks:
        for key in "123456":
            tasks.start_soon(journal.write, replace(RECORD, key=key))
    assert len(await journal.records()) == 6
    assert postgres.lock_backends() == sessions


async def test_idle_sessions_are_kept(journal, postgres, postgres_server):
    postgres_server.execute(f"ALTER ROLE {USER} SET idle_session_timeout = '100ms'")
    try:
        await journal.open()
        sessions = postgres.lock_backends()
        with psycopg.connect(postgres.url) as idle:
            backend = idle.info.backend_pid
            await until(lambda: backend not in postgres.backends())
        assert postgres.lock_backends() == sessions
    finally:
        postgres_server.execute(f"ALTER ROLE {USER} RESET ALL")


async def test_times_are_read_in_any_style(journal, postgres, postgres_server):
    postgres_server.execute(f"ALTER ROLE {USER} SET datestyle = 'German'")
    try:
        await journal.open()
        (owner,) = list_owners(postgres.url)
        assert abs(owner.since.timestamp() - time.time()) < TIMEOUT
    finally:
        postgres_server.execute(f"ALTER ROLE {USER} RESET ALL")


async def test_claim_is_released_once_the_database_responds(journal, postgres):
    with psycopg.connect(postgres.url) as other:
        with anyio.CancelScope() as scope:
            async with journal.acquire("talk"):
                other.execute("UPDATE livepeer_async.claims SET owner = owner")
                # The release gets no time to wait for the other transaction.
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        other.rollback()
    # By the thread of the session: no call of the journal follows.
    count = "SELECT count(*) FROM livepeer_async.claims"
    await until(lambda: postgres.execute(count) == [(0,)])
