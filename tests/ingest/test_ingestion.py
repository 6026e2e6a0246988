"""Cleanup, edited manifests and stopped rows of an ingestion."""

import time
from contextlib import asynccontextmanager

import anyio
import pytest

from ingest.running import events_of, run, write_rows
from livepeer_async import NotAuthenticated, UploadInUse
from livepeer_async.ingest import (
    BadRow,
    Checked,
    RowDeferred,
    RowEnded,
    RowStarted,
    check,
    deferred_rows,
    ingest,
    ingestion,
)
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import Answer, CutConnection, Fault, On, Stall
from livepeer_async.sources.identity import SourceIdentity
from support.clock import until
from support.constants import FAST_RETRY, TIMEOUT, VERY_LONG
from support.sandbox import client_for, make_bytes, sandbox_and_client
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(2):
        (folder / f"v{number}.mp4").write_bytes(make_bytes(3000 + number, number))
    (folder / "another.mp4").write_bytes(make_bytes(99))
    return folder


@pytest.fixture
async def sandbox_and_journal(tmp_path):
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        yield sandbox, livepeer


def record_of(asset, **fields):
    """Create the record of an upload that was begun."""
    values = {
        "key": f"key of {asset.name}",
        "state": RecordState.ASSET_CREATED,
        "name": asset.name,
        "identity": SourceIdentity(length=9, modified_ns=1),
        "requested_at": time.time(),
        "asset_id": asset.id,
        **fields,
    }
    return Record(**values)


async def abandon(livepeer, asset, *, is_useless):
    await livepeer.journal.abandon(record_of(asset), is_useless=is_useless)


async def request_asset(livepeer, name):
    return (await livepeer.assets.request_upload(name)).asset


def deleted(sandbox):
    return {asset.name for asset in sandbox.assets if asset.is_deleted}


@asynccontextmanager
async def hold_lease(livepeer, record):
    """Hold the lease of an upload, as another process would."""
    async with livepeer.journal.acquire(record.key):
        await livepeer.journal.write(record)
        yield


async def test_only_useless_leftovers_are_deleted(sandbox_and_journal, folder, tmp_path):
    sandbox, livepeer = sandbox_and_journal
    await abandon(livepeer, await request_asset(livepeer, "useless"), is_useless=True)
    await abandon(livepeer, await livepeer.upload(b"x", "useless, ready"), is_useless=True)
    await abandon(livepeer, await request_asset(livepeer, "forgotten"), is_useless=False)
    await abandon(livepeer, await livepeer.upload(b"x", "forgotten, ready"), is_useless=False)
    lost = await request_asset(livepeer, "unconfirmed")
    await livepeer.journal.abandon(record_of(lost, asset_id=None), is_useless=True)
    await livepeer.journal.write(record_of(await request_asset(livepeer, "of another key")))
    await request_asset(livepeer, "not in the journal")
    in_use = record_of(await request_asset(livepeer, "in use"))
    async with (
        client_for(sandbox, tmp_path / "journal") as other,
        hold_lease(other, in_use),
    ):
        ended = events_of(RowEnded, await run(livepeer, folder / "v0*"))
    assert {str(it.state) for it in ended} == {"ready"}
    assert deleted(sandbox) == {"useless", "useless, ready"}
    assert {it.name for it in await livepeer.journal.orphans()} == {"forgotten"}
    assert {it.asset.name for it in await livepeer.leftovers()} == {"forgotten", "unconfirmed"}


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_undeletable_leftover_does_not_keep_others(sandbox_and_journal, folder, status):
    sandbox, livepeer = sandbox_and_journal
    assets = [await request_asset(livepeer, name) for name in ("a", "b", "c")]
    for asset in assets:
        await abandon(livepeer, asset, is_useless=True)
    first = min(assets, key=lambda it: it.id)
    refused = Answer(status, b'{"errors": ["no"]}')
    sandbox.add_fault(Fault(On(method="DELETE", path=f"/asset/{first.id}$"), refused))
    await run(livepeer, folder / "v0*")
    assert deleted(sandbox) == {"a", "b", "c"} - {first.name}
    assert [it.asset_id for it in await livepeer.journal.orphans()] == [first.id]


async def test_cleanup_has_a_time_limit(sandbox_and_journal, folder, monkeypatch):
    monkeypatch.setattr(ingestion, "CLEANUP_TIMEOUT", 0.1)
    sandbox, livepeer = sandbox_and_journal
    await abandon(livepeer, await request_asset(livepeer, "useless"), is_useless=True)
    silent = sandbox.add_fault(Fault(On(method="DELETE"), Stall(VERY_LONG)))
    (ended,) = events_of(RowEnded, await run(livepeer, folder / "v0*"))
    assert (silent.fired, ended.state) == (1, "ready")
    assert len(await livepeer.journal.orphans()) == 1


async def test_stopped_ingestion_deletes_no_leftovers(sandbox_and_journal, folder):
    sandbox, livepeer = sandbox_and_journal
    await abandon(livepeer, await request_asset(livepeer, "useless"), is_useless=True)
    with anyio.fail_after(TIMEOUT):
        async with ingest(livepeer, folder) as events:
            async for event in events:
                if isinstance(event, RowStarted):
                    events.stop()
    assert deleted(sandbox) == set()
    assert len(await livepeer.journal.orphans()) == 1


def write_table(folder, *rows):
    path = folder / "rows.csv"
    path.write_text("path\n" + "".join(f"{row['path']}\n" for row in rows))
    return path


ANOTHER = '{"path": "another.mp4"}\n'


def edit(path, change):
    """Edit a manifest in place, or replace it by another file."""
    if change == "appended":
        with path.open("a") as file:
            file.write(ANOTHER)
    elif change == "rewritten":
        path.write_text(ANOTHER)
    elif change == "replaced":
        (path.parent / "new").write_text(ANOTHER)
        (path.parent / "new").replace(path)
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "write"),
    [(Checked, write_rows), (RowStarted, write_table)],
    ids=["checked", "started"],
)
@pytest.mark.parametrize("change", ["appended", "rewritten", "replaced", "deleted"])
async def test_edits_of_the_manifest_are_ignored(folder, monkeypatch, change, kind, write):
    monkeypatch.setattr(check, "RUN_BATCH", 1)
    names = ["v0.mp4", "v1.mp4"]
    path = write(folder, *({"path": name} for name in names))
    events = []
    async with sandbox_and_client() as (sandbox, livepeer):
        with anyio.fail_after(TIMEOUT):
            async with ingest(livepeer, path) as running:
                async for event in running:
                    events.append(event)
                    if isinstance(event, kind) and len(events_of(kind, events)) == 1:
                        edit(path, change)
        assert sorted(asset.name for asset in sandbox.assets) == names
    assert {str(it.state) for it in events_of(RowEnded, events)} == {"ready"}
    assert not events_of(BadRow, events)


async def test_row_in_use_until_the_end_is_unfinished(
    sandbox_and_journal, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(deferred_rows, "RETRY_DELAY", 0.01)
    sandbox, livepeer = sandbox_and_journal
    path = write_rows(folder, {"path": "v0.mp4", "key": "k"})
    other = client_for(sandbox, tmp_path / "journal")
    async with other, other.journal.acquire("k"):
        (ended,) = events_of(RowEnded, await run(livepeer, path))
    assert ended.state == "unfinished"
    assert isinstance(ended.error, UploadInUse)
    assert sandbox.assets == []


async def test_transient_failure_before_stop_is_unfinished(folder):
    """The result waits because the event of the first row isn't received before the stop."""
    failing = Fault(On(path="request-upload"), Answer(500))
    async with sandbox_and_client(failing) as (_, livepeer):
        attempts = 2 * (1 + FAST_RETRY.restarts)
        ended = []
        async with ingest(livepeer, folder / "v*", concurrency=2) as events:
            async for event in events:
                ended += events_of(RowEnded, [event])
                if isinstance(event, RowStarted) and not events.is_stopped:
                    await until(lambda: failing.fired >= attempts)
                    await anyio.sleep(0.2)
                    events.stop()
    assert {str(it.state) for it in ended} == {"unfinished"}


async def test_revoked_key_starts_no_rows_while_events_wait(folder):
    """The first row fails by itself; no result is handled until its end is received."""
    names = ["v0.mp4", *(f"more{number}.mp4" for number in range(20))]
    for name in names[1:]:
        (folder / name).write_bytes(make_bytes(100))
    path = write_rows(folder, *({"path": name} for name in names))
    revoked = Fault(On(path="request-upload"), Answer(401, b'{"errors": ["no token found"]}'))
    async with sandbox_and_client(revoked) as (_, livepeer):
        with pytest.raises(NotAuthenticated):
            async with ingest(livepeer, path, concurrency=1) as events:
                async for event in events:
                    if isinstance(event, Checked):
                        (folder / "v0.mp4").unlink()
                    if isinstance(event, RowStarted):
                        await until(lambda: revoked.fired)
                        # Time for all others to meet the same error.
                        await anyio.sleep(0.5)
    # One more may have been prefetched.
    assert revoked.fired <= 2


async def test_retried_relay_is_not_downloaded_again(tmp_path, monkeypatch):
    """All bytes were uploaded; only the wait for the asset failed."""
    monkeypatch.setattr(deferred_rows, "RETRY_DELAY", 0.01)
    cut = Fault(On(method="GET", path="/asset/.", times=FAST_RETRY.attempts + 1), CutConnection())
    async with (
        serve_http(lambda _: http_response(make_bytes(3000))) as origin,
        sandbox_and_client(processing_seconds=0.2) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):

        def follow(_row, progress):
            if progress.stage == "processing" and not sandbox.faults:
                sandbox.add_fault(cut)

        rows = write_rows(tmp_path, {"url": f"{origin.origin}/a.mp4", "key": "k"})
        events = await run(livepeer, rows, relay=True, on_progress=follow)
        assert len(sandbox.assets) == 1
    assert len(events_of(RowDeferred, events)) == 1
    assert [str(it.state) for it in events_of(RowEnded, events)] == ["ready"]
    assert len(origin.requests) == 1
