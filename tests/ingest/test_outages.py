"""Ingestions with wrong keys, outages and rows in use."""

from collections import Counter
from contextlib import AsyncExitStack

import anyio
import pytest

from ingest.running import events_of, run, states_of, write_videos
from livepeer_async import NotAuthenticated, RetryPolicy
from livepeer_async.errors import DecodeError, NotFound, UploadInUse
from livepeer_async.ingest import (
    Checked,
    Halted,
    Resumed,
    RowDeferred,
    RowEnded,
    RowStarted,
    RowState,
    circuit_breaker,
    decisions,
    deferred_rows,
    ingest,
)
from livepeer_async.sandbox import Answer, CutAnswer, CutConnection, Fault, On
from livepeer_async.scheduling.adaptive import MIN_SHARE
from support.constants import TIMEOUT
from support.sandbox import client_for, sandbox_and_client

pytestmark = pytest.mark.anyio


async def test_wrong_api_key_ends_the_run_with_one_request(folder):
    write_videos(folder, 3)
    async with sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, api_key="wrong") as livepeer:
            with pytest.raises(NotAuthenticated):
                await run(livepeer, folder)
        assert len(sandbox.requests) == 1


async def test_revoked_api_key_ends_the_run(folder):
    write_videos(folder, 150)
    revoked = Fault(On(path="request-upload"), Answer(401, b'{"errors": ["no token found"]}'))
    events = []
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(NotAuthenticated):
            async with ingest(livepeer, folder, concurrency=2) as running:
                async for event in running:
                    events.append(event)
                    if isinstance(event, RowStarted) and len(events_of(RowStarted, events)) == 10:
                        sandbox.faults.append(revoked)
        # Only those that were running; no row started in place of a refused one.
        assert 0 < revoked.fired <= 2 / MIN_SHARE
    # Each started row is reported, and none as failed.
    assert set(states_of(events).values()) <= {"ready", "unfinished"}
    assert len(states_of(events)) < 150


async def test_outage_at_the_start_is_waited_out(folder):
    write_videos(folder, 3)
    away = Fault(On(times=2), CutConnection())
    async with sandbox_and_client(away) as (_, livepeer):
        events = await run(livepeer, folder)
    assert [type(event) for event in events[:4]] == [Checked, Halted, Halted, Resumed]
    assert set(states_of(events).values()) == {"ready"}


@pytest.mark.parametrize("answer", [Answer(404), Answer(200, b"<html>")])
async def test_server_of_another_kind_ends_the_run(folder, answer):
    write_videos(folder, 3)
    async with sandbox_and_client(Fault(On(), answer)) as (sandbox, livepeer):
        with pytest.raises((NotFound, DecodeError)):
            await run(livepeer, folder)
        assert len(sandbox.requests) == 1


async def test_row_in_use_is_retried(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(deferred_rows, "RETRY_DELAY", 0.05)
    write_videos(folder, 3)
    key = str(folder / "v001.mp4")
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        other = client_for(sandbox, tmp_path / "journal")
        async with other, anyio.create_task_group() as tasks:
            held, deferred, released = anyio.Event(), anyio.Event(), anyio.Event()

            async def hold():
                async with other.journal.acquire(key):
                    held.set()
                    await deferred.wait()
                released.set()

            tasks.start_soon(hold)
            await held.wait()
            events = []
            async with ingest(livepeer, folder) as running:
                async for event in running:
                    events.append(event)
                    if isinstance(event, RowDeferred):
                        assert isinstance(event.error, UploadInUse)
                        deferred.set()
                        # The row is not retried before this event is handled.
                        await released.wait()
    assert len(events_of(RowDeferred, events)) == 1
    assert set(states_of(events).values()) == {"ready"}


async def test_row_of_another_machine_is_deferred_each_time(folder, postgres, monkeypatch):
    monkeypatch.setattr(deferred_rows, "RETRY_DELAY", 0.05)
    write_videos(folder, 1)
    async with sandbox_and_client() as (sandbox, _):
        machines = [client_for(sandbox, postgres.url) for _ in range(2)]
        async with machines[0] as livepeer, machines[1] as other, AsyncExitStack() as holding:
            await holding.enter_async_context(other.journal.acquire(str(folder / "v000.mp4")))
            events = []
            async with ingest(livepeer, folder) as running:
                async for event in running:
                    events.append(event)
                    if len(events_of(RowDeferred, events)) == 3:
                        await holding.aclose()
    turns = [type(it) for it in events if isinstance(it, RowStarted | RowDeferred)]
    # A display counts the row once.
    assert turns == [RowStarted, RowDeferred] * 3 + [RowStarted]
    assert set(states_of(events).values()) == {"ready"}


async def test_outage_starts_nothing_and_loses_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(deferred_rows, "RETRY_DELAY", 0.05)
    write_videos(folder, 40)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        outage = Fault(On(), CutConnection())
        events = []
        async with ingest(livepeer, folder, concurrency=4) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, RowStarted) and len(events_of(RowStarted, events)) == 10:
                    sandbox.faults.append(outage)
                if len(events_of(Halted, events)) == 2:
                    sandbox.faults.clear()
        assert outage.fired
        phases = Counter([asset.phase async for asset in livepeer.assets.list()])
        assert phases["ready"] == 40
        # An asset of a lost response has no bytes.
        assert phases.keys() <= {"ready", "uploading"}
    assert set(states_of(events).values()) == {"ready"}
    assert len(states_of(events)) == 40
    assert len(events_of(Resumed, events)) == 1
    # Only running rows met the outage.
    assert 0 < len(events_of(RowDeferred, events)) <= 16


async def test_row_with_an_asset_is_not_retried_without_journal(folder, monkeypatch):
    """Without a journal, a retry would create a second asset."""
    monkeypatch.setattr(deferred_rows, "RETRY_DELAY", 0.05)
    write_videos(folder, 1)
    # Not the checks of the server, which look at an asset that doesn't exist.
    cut = Fault(On(method="GET", path="/asset/(?!0{8})", times=30), CutConnection())
    async with sandbox_and_client(cut) as (sandbox, livepeer):
        events = await run(livepeer, folder)
        (ended,) = events_of(RowEnded, events)
        assert ended.state is RowState.FAILED
        assert ended.asset_id is not None
        assert sum(r.path.endswith("/request-upload") for r in sandbox.requests) == 1


async def test_outages_do_not_count_as_attempts(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(deferred_rows, "RETRY_DELAY", 0.01)
    write_videos(folder, 1)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        events = []
        async with ingest(livepeer, folder) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, RowStarted) and len(events_of(RowStarted, events)) <= 5:
                    sandbox.faults.append(Fault(On(), CutConnection()))
                if isinstance(event, Halted):
                    sandbox.faults.clear()
    assert len(events_of(RowStarted, events)) > decisions.MAX_ATTEMPTS
    assert states_of(events) == {"v000.mp4": "ready"}


async def test_outage_timeout_ends_the_run(folder):
    write_videos(folder, 5)
    async with sandbox_and_client(Fault(On(), Answer(500))) as (_, livepeer):
        with pytest.raises(Exception, match="500"):
            await run(livepeer, folder, outage_timeout=0.5)


@pytest.mark.parametrize(
    "outage", [CutConnection(), Answer(502), Answer(503), CutAnswer(after_bytes=0, seconds=2)]
)
async def test_outage_halts_while_uploads_still_retry(folder, tmp_path, monkeypatch, outage):
    for name in ("FIRST_PATIENCE", "FIRST_PING_TIMEOUT", "WATCH_INTERVAL"):
        monkeypatch.setattr(circuit_breaker, name, 0.3)
    write_videos(folder, 3)
    patient = RetryPolicy(attempts=1000, first_delay=0.01, max_delay=0.1)
    events = []
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal", retry=patient) as livepeer,
    ):
        with anyio.fail_after(TIMEOUT):
            async with ingest(livepeer, folder) as running:
                async for event in running:
                    events.append(event)
                    if isinstance(event, RowStarted) and not sandbox.faults:
                        sandbox.add_fault(Fault(On(method="GET"), outage))
                    if isinstance(event, Halted):
                        sandbox.faults[:] = [Fault(On(times=0), outage)]
    assert events_of(Halted, events)
    assert not events_of(RowDeferred, events)
    assert set(states_of(events).values()) == {"ready"}
