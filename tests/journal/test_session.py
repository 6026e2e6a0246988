"""Sessions with PostgreSQL that are lost: calls go on in the next one, and claims return."""

import asyncio
import os
import threading
import time
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from msgspec.structs import replace

from livepeer_async import UploadInUse
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.postgres import connecting, session, store
from livepeer_async.journal.records import RecordState
from support.clock import until
from support.constants import VERY_LONG
from support.records import RECORD, read_record

pytestmark = pytest.mark.anyio

REQUEST = replace(RECORD, state=RecordState.REQUESTED, asset_id=None, upload_url=None)

# Ends the session at the first change of a table: in the statement, or in the commit. A sequence
# counts, because a rollback doesn't undo it.
TERMINATE_ONCE = """
SET search_path TO livepeer_async;
CREATE SEQUENCE changes;
CREATE FUNCTION terminate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    IF nextval('livepeer_async.changes') = 1 THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(10);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER once AFTER INSERT OR DELETE ON {table}
    DEFERRABLE INITIALLY {moment} FOR EACH ROW EXECUTE FUNCTION terminate();
"""


@pytest.fixture
def location(postgres):
    return postgres.url


@pytest.fixture
async def others(postgres):
    """Another process, or another machine."""
    journal = Journal(postgres.url, account="a")
    yield journal
    await journal.aclose()


@pytest.fixture
async def through_proxy(postgres, postgres_proxy):
    """A journal whose connections go through `postgres_proxy`."""
    journal = Journal(postgres.url_of(port=postgres_proxy.port), account="a")
    yield journal
    await journal.aclose()


@pytest.fixture
def no_heartbeat(monkeypatch):
    """Notice the loss of a session only by what the server or the system says."""
    monkeypatch.setattr(session, "HEARTBEAT", VERY_LONG)
    monkeypatch.setattr(session, "STOP_AFTER", VERY_LONG)


@pytest.fixture
def no_grace(monkeypatch):
    """Take claims over as soon as their sessions have ended."""
    monkeypatch.setattr(store, "GRACE", 0.0)


def session_threads():
    return [thread for thread in threading.enumerate() if thread.name == "journal-session"]


@pytest.mark.parametrize(
    ("table", "moment", "is_keyless"),
    [
        ("claims", "IMMEDIATE", False),
        ("records", "DEFERRED", True),
        ("orphans", "IMMEDIATE", True),
        ("doubts", "DEFERRED", False),
    ],
)
async def test_call_has_one_effect_in_the_next_session(
    journal, postgres, moment, table, is_keyless
):
    await journal.open()
    postgres.execute(TERMINATE_ONCE.format(table=table, moment=moment))
    (before,) = postgres.lock_backends()
    async with journal.acquire_keyless() if is_keyless else journal.acquire("talk") as found:
        key = found or "talk"
        await journal.write(replace(REQUEST, key=key, is_keyless=is_keyless))
        await journal.abandon(replace(REQUEST, key=key), is_useless=True)
        await journal.write(replace(RECORD, key=key, is_keyless=is_keyless))
        await journal.abandon(replace(RECORD, key=key), is_useless=True)
    assert len(await journal.unconfirmed_requests()) == 1
    assert len(await journal.orphans()) == 1
    assert await journal.records() == await journal.keyless_records() == []
    assert postgres.lock_backends() != [before]


# Slows the first commit of a record down: the proxy is cut meanwhile.
WAIT_ONCE = """
SET search_path TO livepeer_async;
CREATE SEQUENCE changes;
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    IF nextval('livepeer_async.changes') = 1 THEN PERFORM pg_advisory_lock(1); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER once AFTER INSERT ON {table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
"""


@asynccontextmanager
async def losing_the_response(postgres, proxy, table):
    """Lose the response to the commit of the next row of a table, which the block writes."""
    postgres.execute(WAIT_ONCE.format(table=table))
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(postgres.url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(1)")

        async def lose():
            await until(lambda: postgres.execute(query) == [(1,)])
            proxy.cut("client", "reset")
            holder.execute("SELECT pg_advisory_unlock(1)")
            # The session commits, and ends once it finds no client.
            await until(lambda: postgres.execute(query) == [(0,)])
            proxy.heal()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lose)
            yield


@pytest.mark.parametrize("table", ["claims", "doubts"])
async def test_commit_whose_response_is_lost_has_one_effect(
    through_proxy, postgres, postgres_proxy, table
):
    await through_proxy.open()
    (before,) = postgres.lock_backends()
    async with (
        losing_the_response(postgres, postgres_proxy, table),
        through_proxy.acquire("talk"),
    ):
        await through_proxy.write(REQUEST)
        await through_proxy.abandon(REQUEST, is_useless=True)
    assert before not in postgres.lock_backends()
    assert len(await through_proxy.unconfirmed_requests()) == 1
    assert await through_proxy.records() == []


async def test_claims_survive_a_next_session_that_is_lost_at_once(
    through_proxy, postgres, postgres_proxy
):
    async with through_proxy.acquire("talk"):
        (before,) = postgres.lock_backends()
        async with losing_the_response(postgres, postgres_proxy, "owners"):
            postgres.server.terminate(before)
        await through_proxy.wait_for_claim("talk")
        await through_proxy.write(RECORD)
        assert postgres.execute("SELECT count(*) FROM livepeer_async.owners") == [(1,)]
        assert postgres.execute("SELECT count(*) FROM livepeer_async.claims") == [(1,)]
    assert await through_proxy.records() == [RECORD]


async def test_end_of_an_idle_session_is_noticed_at_once(journal, postgres, no_heartbeat):
    lost = threading.Event()
    async with journal.acquire("talk"):
        (before,) = postgres.lock_backends()
        with journal.watch_claims(lost.set):
            postgres.server.terminate(before)
            await until(lost.is_set)
        await until(lambda: journal.holds_claims)
        (after,) = postgres.lock_backends()
        assert after != before


async def test_next_session_takes_its_own_claims_over(journal, others, postgres, no_grace):
    async with journal.acquire("talk"), journal.acquire_keyless() as keyless:
        await journal.write(replace(REQUEST, key=keyless, is_keyless=True))
        await journal.write(RECORD)
        postgres.server.terminate(*postgres.lock_backends())
        await until(lambda: not journal.holds_claims)
        await until(lambda: journal.holds_claims)
        for key in ("talk", keyless):
            with pytest.raises(UploadInUse, match=f"process {os.getpid()} on "):
                async with others.acquire(key):
                    pytest.fail("two writers")
        await journal.write(replace(RECORD, name="new"))
        await journal.drop_keyless(keyless)
    assert (await read_record(postgres.url)).name == "new"
    assert postgres.execute("SELECT count(*) FROM livepeer_async.claims") == [(0,)]


async def test_claim_that_another_has_taken_meanwhile_is_lost(
    through_proxy, others, postgres, postgres_proxy, no_grace
):
    lost = threading.Event()
    async with through_proxy.acquire("talk"), through_proxy.acquire("mine"):
        await through_proxy.write(RECORD)
        with through_proxy.watch_claims(lost.set):
            postgres_proxy.cut("both", "reset")
            await until(lost.is_set)
        await until(lambda: not postgres.lock_backends())
        async with others.acquire("talk") as record:
            assert record == RECORD
            postgres_proxy.heal()
            await through_proxy.wait_for_claim("mine")
            for call in (
                partial(through_proxy.wait_for_claim, "talk"),
                partial(through_proxy.write, replace(RECORD, name="new")),
                partial(through_proxy.drop, "talk"),
                partial(through_proxy.abandon, RECORD, is_useless=True),
            ):
                with pytest.raises(UploadInUse, match="'talk' was taken over by another process"):
                    await call()
            await through_proxy.write(replace(RECORD, key="mine"))
        async with others.acquire("talk") as record:
            assert record == RECORD
    async with through_proxy.acquire("talk"):
        await through_proxy.write(RECORD)
    assert postgres.execute("SELECT count(*) FROM livepeer_async.orphans") == [(0,)]


async def test_claims_are_uncertain_after_sleep(journal, monkeypatch):
    assert session.now() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=60)
    lost, now = threading.Event(), session.now
    async with journal.acquire("talk"):
        assert journal.holds_claims
        with journal.watch_claims(lost.set):
            monkeypatch.setattr(session, "now", lambda: now() + session.STOP_AFTER)
            assert not journal.holds_claims
            await until(lost.is_set)
        await journal.wait_for_claim("talk")
        assert journal.holds_claims


async def test_cancelled_call_does_not_wait_for_a_silent_database(through_proxy, postgres_proxy):
    async with through_proxy.acquire("talk"):
        postgres_proxy.cut("both", "silent")
        with anyio.move_on_after(0.05) as scope:
            await through_proxy.write(RECORD)
        # Long before the heartbeat notices.
        assert scope.cancelled_caught
        postgres_proxy.heal()
        await through_proxy.write(RECORD)
        assert await through_proxy.records() == [RECORD]


@pytest.mark.parametrize("how", ["silent", "reset"])
async def test_close_does_not_wait_for_the_database(through_proxy, postgres_proxy, postgres, how):
    await through_proxy.open()
    postgres_proxy.cut("both", how)
    await through_proxy.aclose()
    await until(lambda: not session_threads())
    postgres_proxy.heal()
    await until(lambda: not postgres.lock_backends())
    await through_proxy.open()
    async with through_proxy.acquire("talk"):
        await through_proxy.write(RECORD)


async def test_open_and_close_leave_nothing(journal, postgres):
    for _ in range(5):
        await journal.open()
        async with journal.acquire("talk"):
            pass
        await journal.aclose()
    await until(lambda: not (session_threads() or postgres.backends()))
    assert postgres.execute("SELECT count(*) FROM livepeer_async.owners") == [(0,)]


async def test_lost_sessions_leave_nothing(journal, postgres):
    await journal.open()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        postgres.server.terminate(*postgres.lock_backends())
        await until(lambda: not journal.holds_claims)
        await until(lambda: journal.holds_claims)
    assert len(session_threads()) == 1
    # The thread opens some of its own in the background.
    assert len(os.listdir("/proc/self/fd")) < descriptors + 10
    assert postgres.execute("SELECT count(*) FROM livepeer_async.owners") == [(1,)]


async def test_row_that_another_process_holds_is_waited_for(journal, postgres, monkeypatch):
    monkeypatch.setitem(connecting._SESSION_SETTINGS, "lock_timeout", "50")  # noqa: SLF001
    async with journal.acquire("talk"):
        await journal.write(RECORD)
        owner = psycopg.connect(postgres.url)
        with owner:
            # As a process does that is stopped within its transaction.
            owner.execute("UPDATE livepeer_async.records SET state = state")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.write, replace(RECORD, name="new"))
                count = postgres.server.log().count("due to lock timeout")
                await until(lambda: postgres.server.log().count("due to lock timeout") > count + 2)
                assert journal.holds_claims
                owner.rollback()
        assert [record.name for record in await journal.records()] == ["new"]


async def test_deadlock_is_repeated(journal, postgres):
    first, second = replace(RECORD, key="1"), replace(RECORD, key="2")
    await journal.write(first)
    await journal.write(second)
    with psycopg.connect(postgres.url) as other:
        update = "UPDATE livepeer_async.records SET state = state WHERE key = %s"
        other.execute(update, ["2"])
        async with anyio.create_task_group() as tasks:
            # In one transaction, because both calls are made before it starts.
            for record in (first, second):
                tasks.start_soon(journal.write, replace(record, name="new"))
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            await until(lambda: postgres.execute(waiting) == [(1,)])
            with suppress(psycopg.errors.DeadlockDetected):
                await anyio.to_thread.run_sync(other.execute, update, ["1"])
            other.rollback()
    assert "deadlock detected" in postgres.server.log()
    assert [record.name for record in await journal.records()] == ["new", "new"]


async def test_event_loops_share_one_session(journal, postgres):
    async def hold(key, is_held, ends):
        async with journal.acquire(key):
            is_held.set()
            await anyio.to_thread.run_sync(ends.wait)

    is_held, ends = threading.Event(), threading.Event()
    async with journal.acquire("talk"):
        with start_blocking_portal() as portal:
            with pytest.raises(UploadInUse, match="in use by this process"):
                portal.call(hold, "talk", is_held, ends)
            other = portal.start_task_soon(hold, "speech", is_held, ends)
            await until(is_held.is_set)
            with pytest.raises(UploadInUse, match="in use by this process"):
                await hold("speech", is_held, ends)
            assert len(postgres.lock_backends()) == 1
            ends.set()
            await asyncio.wrap_future(other)
    assert postgres.execute("SELECT count(*) FROM livepeer_async.claims") == [(0,)]
