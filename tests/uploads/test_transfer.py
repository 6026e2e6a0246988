"""Uploads of earlier runs, which may be corrupt, uploaded or finished."""

import time

import httpx
import pytest
from msgspec.structs import replace

from livepeer_async import IntegrityError, SourceChanged, SourceError
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import Answer, CutConnection, Fault, On, WrongSize
from livepeer_async.sources.identity import SourceIdentity
from livepeer_async.uploads import completion
from support.constants import KIB
from support.sandbox import PART, SMALL_S3, is_stored, make_bytes, sandbox_and_client, tus_requests

pytestmark = pytest.mark.anyio

LENGTH = 2 * PART
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(make_bytes(LENGTH))
    return path


async def create_doubled_part(ticket, data):
    """Create an upload whose offset is the length, but which has the first part twice.

    Bytes beyond the length keep the storage from completing it (SERVER.md, 8).
    """
    async with httpx.AsyncClient() as http:
        length = {"Upload-Length": str(LENGTH)}
        created = await http.post(ticket.tus_endpoint, headers={**TUS, **length})
        url = created.headers["Location"]
        kind = {**TUS, "Content-Type": "application/offset+octet-stream"}
        for offset, body in (0, data[:PART]), (PART, data[:PART] + bytes(KIB)):
            headers = {**kind, "Upload-Offset": str(offset)}
            response = await http.patch(url, content=body, headers=headers)
            assert response.status_code == 204
        assert (await http.head(url, headers=TUS)).headers["Upload-Offset"] == str(LENGTH)
    return url


async def test_corrupt_upload_of_an_earlier_run_is_not_finalized(path, journal, monkeypatch):
    monkeypatch.setattr(completion, "FINALIZE_AFTER", 0.2)
    monkeypatch.setattr(completion, "LEAVE_TIMEOUT", 0.4)
    data = path.read_bytes()
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        ticket = await livepeer.assets.request_upload("talk.mp4")
        stat = path.stat()
        record = Record(
            key="k",
            state=RecordState.UPLOAD_CREATED,
            name="talk.mp4",
            identity=SourceIdentity(length=LENGTH, modified_ns=stat.st_mtime_ns, inode=stat.st_ino),
            requested_at=time.time(),
            asset_id=ticket.asset.id,
            playback_id=ticket.asset.playback_id,
            upload_url=await create_doubled_part(ticket, data),
        )
        await livepeer.journal.write(record)
        sandbox.clear_log()
        asset = await livepeer.upload(path, key="k")
        assert ("HEAD", 200) in tus_requests(sandbox)
        assert is_stored(sandbox, asset, data)
        assert [it.is_deleted for it in sandbox.assets] == [True, False]


async def test_stuck_upload_is_finalized_by_an_empty_chunk(path, monkeypatch):
    """The storage has all bytes, but lost the end of the last request."""
    monkeypatch.setattr(completion, "FINALIZE_AFTER", 0.2)
    cut = Fault(On(method="PATCH", nth=2), CutConnection(after_bytes=PART))
    async with sandbox_and_client(cut) as (sandbox, livepeer):
        async with livepeer.begin_upload(path) as upload:
            pass
        assert is_stored(sandbox, upload.asset, path.read_bytes())
        assert upload.result.attempts == 1
        assert [r.received for r in sandbox.requests if r.method == "PATCH"] == [PART, PART, 0]


async def test_asset_that_has_left_uploading_is_not_sent_again(path, journal):
    """The earlier run was killed before it recorded that all bytes were sent."""
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        async with livepeer.begin_upload(path) as upload:
            pass
        (record,) = await livepeer.journal.records()
        state, url = RecordState.UPLOAD_CREATED, upload.upload_url
        await livepeer.journal.write(replace(record, state=state, upload_url=url))
        sandbox.clear_log()
        sandbox.add_fault(Fault(On(method="HEAD"), Answer(404)))
        asset = await livepeer.upload(path)
        assert asset.id == upload.asset.id
        assert tus_requests(sandbox) == []


async def test_asset_of_a_finished_run_is_not_replaced(path, journal):
    wrong = Fault(On(asset="talk"), WrongSize(-1))
    async with sandbox_and_client(wrong, client={"journal": journal}) as (sandbox, livepeer):
        asset = await livepeer.upload(path, verify=None)
        with pytest.raises(IntegrityError):
            await livepeer.upload(path, on_mismatch="reupload")
        assert [(it.id, it.is_deleted) for it in sandbox.assets] == [(asset.id, False)]


async def test_failing_stream_leaves_no_asset(journal):
    """A later run could not resume it, although the upload URL is known."""

    async def pieces():
        yield make_bytes(2 * PART)
        raise OSError("the camera is gone")

    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        with pytest.raises(SourceError):
            await livepeer.upload(pieces(), "live", length=5 * PART, key="live")
        assert ("PATCH", 204) in tus_requests(sandbox)
        assert [it.is_deleted for it in sandbox.assets] == [True]
        assert await livepeer.leftovers() == []


async def test_changed_file_leaves_no_asset(path, journal):
    """A later run would have other bytes than the server."""
    path.write_bytes(make_bytes(6 * PART))

    def change(progress):
        if progress.sent > PART:
            path.write_bytes(make_bytes(6 * PART, seed=9))

    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        with pytest.raises(SourceChanged):
            await livepeer.upload(path, on_progress=change)
        assert [it.is_deleted for it in sandbox.assets] == [True]
        assert await livepeer.journal.records() == []
        assert await livepeer.journal.orphans() == []
