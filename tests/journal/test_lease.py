"""The record of an upload at each step: enough for the next run, and no more."""

import sqlite3
from contextlib import ExitStack, closing

import anyio
import pytest

from livepeer_async import ApiError, AssetFailed, DecodeError, JournalError
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import RecordState
from livepeer_async.journal.sqlite import database
from livepeer_async.sandbox import Answer, ChangeBody, FailProcessing, Fault, On, Stall
from support.clock import until
from support.constants import VERY_LONG
from support.sandbox import PART, SMALL_S3, make_bytes, sandbox_and_client, tus_requests

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(make_bytes(3 * PART))
    return path


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "uploads.journal"


async def read(livepeer):
    """Read the one record as another process would."""
    other = Journal(livepeer.journal.path, account=livepeer.account_fingerprint)
    try:
        (record,) = await other.records()
        return record
    finally:
        await other.aclose()


async def read_while(request, path, journal):
    """Read the record and the asset's ID while the server delays the response to a request."""
    held = Fault(request, Stall(VERY_LONG))
    async with sandbox_and_client(held, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(livepeer.upload, path)
            await until(lambda: held.fired)
            record = await read(livepeer)
            tasks.cancel_scope.cancel()
        return record, sandbox.assets[0].id if sandbox.assets else None


async def test_request_is_recorded_before_it_is_sent(path, journal):
    record, _ = await read_while(On(path="request-upload"), path, journal)
    assert (record.state, record.asset_id) == (RecordState.REQUESTED, None)


async def test_asset_is_recorded_before_the_upload_is_created(path, journal):
    request = On(method="POST", path="/upload/tus")
    record, asset_id = await read_while(request, path, journal)
    assert (record.state, record.asset_id) == (RecordState.ASSET_CREATED, asset_id)


async def test_upload_url_is_recorded_before_a_chunk_is_sent(path, journal):
    record, asset_id = await read_while(On(method="PATCH"), path, journal)
    assert (record.state, record.asset_id) == (RecordState.UPLOAD_CREATED, asset_id)
    assert record.upload_url


@pytest.mark.parametrize("wait", [True, False])
async def test_upload_url_is_deleted_with_the_last_byte(path, journal, wait):
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (_, livepeer):
        await livepeer.upload(path, wait=wait)
        record = await read(livepeer)
    assert record.state is (RecordState.READY if wait else RecordState.UPLOADED)
    assert record.upload_url is None


@pytest.fixture
def lock(journal, monkeypatch):
    """Lock the journal against writes."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with ExitStack() as stack:

        def lock():
            other = stack.enter_context(closing(sqlite3.connect(journal, isolation_level=None)))
            other.execute("BEGIN IMMEDIATE")

        yield lock


async def test_asset_of_an_unusable_response_may_be_a_leftover(path, journal):
    unusable = Fault(On(path="request-upload"), ChangeBody(b"{}"))
    async with sandbox_and_client(unusable, client={"journal": journal}) as (sandbox, livepeer):
        with pytest.raises(DecodeError):
            await livepeer.upload(path)
        (left,) = await livepeer.leftovers()
        assert (left.asset.id, left.is_ours) == (sandbox.assets[0].id, False)


@pytest.mark.parametrize("status", [408, 500, 502, 504])
async def test_asset_behind_an_error_may_be_a_leftover(path, journal, status):
    lost = Fault(On(path="request-upload", times=1), Answer(status, when="after"))
    async with sandbox_and_client(lost, client={"journal": journal}) as (sandbox, livepeer):
        asset = await livepeer.upload(path)
        (left,) = await livepeer.leftovers()
        assert (left.asset.id, left.is_ours) == (sandbox.assets[0].id, False)
        assert asset.id == sandbox.assets[1].id


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_rejected_request_leaves_no_record(path, journal, status):
    refused = Fault(On(path="request-upload"), Answer(status, b'{"errors": ["no"]}'))
    async with sandbox_and_client(refused, client={"journal": journal}) as (_, livepeer):
        with pytest.raises(ApiError) as caught:
            await livepeer.upload(path)
        assert caught.value.status == status
        assert await livepeer.journal.records() == []
        assert await livepeer.journal.unconfirmed_requests() == []


async def test_no_chunk_is_sent_if_its_url_is_not_recorded(path, journal, lock):
    has_locked = False

    def follow(_progress):
        nonlocal has_locked
        if not has_locked:
            has_locked = True
            lock()

    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        with pytest.raises(JournalError):
            await livepeer.upload(path, on_progress=follow)
        assert "PATCH" not in [method for method, _ in tus_requests(sandbox)]


async def lock_at(phase, lock, livepeer, path):
    """Upload, and lock the journal once the asset is in a phase."""
    uploads = []

    def follow(_progress):
        if uploads and uploads[0].asset.phase == phase:
            uploads.clear()
            lock()

    async with livepeer.begin_upload(path, on_progress=follow) as upload:
        uploads.append(upload)
    return upload


async def test_asset_is_ready_despite_a_failed_write(path, journal, lock, caplog):
    options = {"processing_seconds": 0.2, "client": {"journal": journal}}
    async with sandbox_and_client(**options) as (_, livepeer):
        upload = await lock_at("ready", lock, livepeer, path)
        assert upload.result.asset.phase == "ready"
    assert f"asset {upload.asset.id} is ready, but the journal" in caplog.text


async def test_failed_asset_is_the_error_despite_a_failed_write(path, journal, lock, caplog):
    failing = Fault(On(asset="talk"), FailProcessing())
    options = {"processing_seconds": 0.2, "client": {"journal": journal}}
    async with sandbox_and_client(failing, **options) as (sandbox, livepeer):
        with pytest.raises(AssetFailed):
            await lock_at("failed", lock, livepeer, path)
        assert f"asset {sandbox.assets[0].id} has failed, but the journal" in caplog.text
