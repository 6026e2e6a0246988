"""Clients on one PostgreSQL journal share pauses and the maximum rate."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import anyio
import pytest

from livepeer_async import RetryPolicy
from livepeer_async.journal.postgres import shared_limits
from livepeer_async.sandbox import Answer, Fault, On, Sandbox, Stall
from support.clock import until
from support.constants import VERY_LONG
from support.sandbox import client_for, make_bytes

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(1000)
PATIENT = RetryPolicy(attempts=1000, first_delay=0.05, max_delay=0.2)
# Seconds of a pause that no test waits for.
LONG_PAUSE = 300
RATE = 6_000_000.0
TICKETS = "request-upload"


@asynccontextmanager
async def clients_of(*journals, faults=(), **options):
    """Run a sandbox, and a client of it with each of the journals."""
    options = {"retry": PATIENT, **options}
    async with (
        Sandbox(faults=faults, waiting_seconds=0, processing_seconds=0) as sandbox,
        AsyncExitStack() as stack,
    ):
        clients = [
            await stack.enter_async_context(client_for(sandbox, journal, **options))
            for journal in journals
        ]
        yield sandbox, clients


def statuses(sandbox):
    """List the responses to requests for uploads; None while there is none."""
    return [request.status for request in sandbox.requests if TICKETS in request.path]


def refusal(status=429, retry_after=None, **on):
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Fault(On(path=TICKETS, **on), Answer(status, headers=headers))


async def all_paused(*clients, is_paused=True):
    await until(lambda: all(client.throttle.is_paused is is_paused for client in clients))


@pytest.mark.parametrize("status", [429, 503])
async def test_pause_of_one_client_holds_for_all(postgres, status):
    fault = refusal(status, LONG_PAUSE)
    retry = RetryPolicy()
    journals = [postgres.url] * 3
    async with clients_of(*journals, faults=[fault], retry=retry) as (sandbox, clients):
        first, second, web_app = clients
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.upload, VIDEO)
            await all_paused(*clients)
            await until(lambda: all(request.is_over for request in sandbox.requests))
            before = len(sandbox.requests)
            tasks.start_soon(second.upload, VIDEO)
            tasks.start_soon(web_app.assets.get, "any")
            await asyncio.sleep(0.5)
            assert len(sandbox.requests) == before
            assert statuses(sandbox) == [status]
            tasks.cancel_scope.cancel()


async def test_one_client_probes_for_all(postgres):
    fault = refusal()
    async with clients_of(*[postgres.url] * 3, faults=[fault]) as (sandbox, clients):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clients[0].upload, VIDEO)
            await all_paused(*clients)
            for client in clients * 2:
                tasks.start_soon(client.upload, VIDEO)
            await until(lambda: len(statuses(sandbox)) >= 6)
            sandbox.faults.remove(fault)
        # Each refused request is the probe of one pause.
        found = statuses(sandbox)
        refused = found.index(200)
        assert found[:refused] == [429] * refused
        assert found[refused:] == [200] * 7
        await all_paused(*clients, is_paused=False)
        assert postgres.execute("SELECT * FROM livepeer_async.pauses") == []


async def test_clients_without_the_journal_are_not_paused(postgres, tmp_path):
    faults = [refusal(429, LONG_PAUSE, times=1)]
    journals = [postgres.url, postgres.url, tmp_path / "journal", None]
    async with clients_of(*journals, faults=faults) as (_, clients):
        first, second, *others = clients
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.upload, VIDEO)
            await all_paused(first, second)
            for other in others:
                await other.upload(VIDEO)
            tasks.cancel_scope.cancel()


async def test_other_accounts_are_not_paused(postgres):
    async with (
        clients_of(postgres.url, faults=[refusal(429, LONG_PAUSE, times=1)]) as (sandbox, [first]),
        Sandbox(waiting_seconds=0, processing_seconds=0) as second_sandbox,
        client_for(second_sandbox, postgres.url) as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(first.upload, VIDEO)
        await until(lambda: postgres.execute("SELECT * FROM livepeer_async.pauses"))
        await other.upload(VIDEO)
        assert first.throttle.is_paused
        assert statuses(sandbox) == [429]
        tasks.cancel_scope.cancel()


async def test_probe_of_an_ended_session_is_replaced(postgres, monkeypatch):
    monkeypatch.setattr(shared_limits, "PROBE_TIMEOUT", VERY_LONG)
    faults = [refusal(times=1), Fault(On(path=TICKETS, times=1), Stall(VERY_LONG))]
    async with clients_of(*[postgres.url] * 2, faults=faults) as (sandbox, clients):
        first, second = clients
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.upload, VIDEO)
            await until(lambda: len(statuses(sandbox)) == 2)
            tasks.start_soon(second.upload, VIDEO)
            await asyncio.sleep(1)
            assert len(statuses(sandbox)) == 2
            [(prober,)] = postgres.execute("SELECT prober FROM livepeer_async.pauses")
            pids = postgres.execute("SELECT pid FROM pg_locks WHERE objid::int8 = %s", prober)
            postgres.server.terminate(*pids[0])
            await until(lambda: len(statuses(sandbox)) >= 3)
            await all_paused(first, second, is_paused=False)
            tasks.cancel_scope.cancel()


async def test_probe_without_a_response_is_replaced_elsewhere(postgres):
    faults = [refusal(times=1), Fault(On(path=TICKETS, times=1), Stall(VERY_LONG))]
    async with clients_of(*[postgres.url] * 2, faults=faults, speed=20) as (sandbox, clients):
        first, second = clients
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.upload, VIDEO)
            await until(lambda: len(statuses(sandbox)) == 2)
            await second.upload(VIDEO)
            await all_paused(first, second, is_paused=False)
            tasks.cancel_scope.cancel()


@contextmanager
def stopped(server):
    """Stop PostgreSQL within the block."""
    server.stop()
    try:
        yield
    finally:
        server.start()


async def use(livepeer):
    """Send a request that needs no journal."""
    return [asset async for asset in livepeer.assets.list()]


async def test_clients_probe_alone_while_postgres_is_away(postgres):
    faults = [refusal(times=1)]
    async with clients_of(*[postgres.url] * 2, faults=faults) as (_, [first, second]):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.assets.request_upload, "a")
            await all_paused(first, second)
            with stopped(postgres.server):
                await use(second)
                assert not second.throttle.is_paused
                await all_paused(first, is_paused=False)
        # The row of the pause is left: one probe ends it.
        await all_paused(first, second)
        await use(second)
        await all_paused(first, second, is_paused=False)
        await until(lambda: postgres.execute("SELECT * FROM livepeer_async.pauses") == [])


async def test_pause_met_while_postgres_was_away_is_told(postgres):
    fault = refusal(429, LONG_PAUSE)
    async with (
        clients_of(*[postgres.url] * 2, faults=[fault]) as (_, [first, second]),
        anyio.create_task_group() as tasks,
    ):
        with stopped(postgres.server):
            tasks.start_soon(first.assets.request_upload, "a")
            await all_paused(first)
            await use(second)
        await all_paused(second)
        tasks.cancel_scope.cancel()


async def test_lack_of_rights_leaves_each_client_its_own_limits(postgres, caplog):
    async with clients_of(postgres.url) as (_, [livepeer]):
        await livepeer.upload(VIDEO)
    postgres.execute("REVOKE ALL ON livepeer_async.pauses FROM uploader")
    async with clients_of(postgres.url, faults=[refusal(times=2)]) as (sandbox, [livepeer]):
        await livepeer.upload(VIDEO, key="k")
        assert statuses(sandbox) == [429, 429, 200]
    assert "aren't shared with other clients: permission denied" in caplog.text


def shares(*clients):
    return [client.throttle.rate_share for client in clients]


async def test_clients_with_a_rate_divide_it(postgres):
    journals = [postgres.url] * 3
    async with clients_of(*journals) as (sandbox, [first, second, web_app]):
        first.throttle.max_rate = RATE
        await until(
            lambda: postgres.execute("SELECT owner FROM livepeer_async.owners WHERE max_rate > 0")
        )
        second.throttle.max_rate = RATE
        await until(lambda: shares(first, second) == [RATE / 2] * 2)
        assert first.throttle.max_rate == second.throttle.max_rate == RATE
        assert web_app.throttle.rate_share is None
        async with client_for(sandbox, postgres.url) as third:
            third.throttle.max_rate = RATE
            await until(lambda: shares(first, second, third) == [RATE / 3] * 3)
        await until(lambda: shares(first, second) == [RATE / 2] * 2)
        first.throttle.max_rate = 2 * RATE
        assert shares(first) == [RATE]
        second.throttle.max_rate = None
        await until(lambda: shares(first) == [2 * RATE])


async def test_rate_is_divided_again_after_a_restart_of_postgres(postgres):
    async with clients_of(*[postgres.url] * 2) as (_, clients):
        for client in clients:
            client.throttle.max_rate = RATE
        await until(lambda: shares(*clients) == [RATE / 2] * 2)
        with stopped(postgres.server):
            clients[0].throttle.max_rate = 2 * RATE
            # The last known number of clients counts.
            assert shares(*clients) == [RATE, RATE / 2]
            clients[1].throttle.max_rate = None
        await until(lambda: shares(*clients) == [2 * RATE, None])
