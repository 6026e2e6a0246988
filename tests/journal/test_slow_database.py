"""A database that responds slowly, or makes statements wait: calls still end as they should."""

import anyio
import psycopg
import pytest
from msgspec.structs import replace

from livepeer_async.journal.journal import Journal
from support.clock import until
from support.records import RECORD

pytestmark = pytest.mark.anyio


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
