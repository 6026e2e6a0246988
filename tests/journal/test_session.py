"""Sessions with PostgreSQL that are lost: calls go on in the next one, and claims return."""

import pytest
from msgspec.structs import replace

from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import RecordState
from support.records import RECORD

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
async def journal(postgres):
    journal = Journal(postgres.url, account="a")
    yield journal
    await journal.aclose()


@pytest.fixture
async def others(postgres):
    """Another process, or another machine."""
    journal = Journal(postgres.url, account="a")
    yield journal
    await journal.aclose()


@pytest.mark.parametrize("moment", ["IMMEDIATE", "DEFERRED"])
@pytest.mark.parametrize("table", ["claims", "records", "orphans", "doubts"])
@pytest.mark.parametrize("is_keyless", [False, True])
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
