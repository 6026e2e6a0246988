"""Uploads with a journal: later runs resume, find and replace them."""

import hashlib
import os

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from livepeer_async import (
    AssetFailed,
    ConfigurationError,
    IntegrityError,
    JournalError,
    NewAsset,
    PlaybackPolicy,
    RetriesExhausted,
    SourceChanged,
    UploadInUse,
)
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import (
    Answer,
    CutConnection,
    FailProcessing,
    Fault,
    LoseAnswer,
    On,
    Stall,
    WrongSize,
)
from livepeer_async.sources.identity import SourceIdentity
from support.constants import VERY_LONG
from support.records import ON_BOTH
from support.sandbox import (
    PART,
    SMALL_S3,
    cancel_when,
    client_for,
    is_stored,
    make_bytes,
    sandbox_and_client,
    tus_requests,
)

pytestmark = pytest.mark.anyio

LENGTH = 5 * PART + 100
RECORD = Record(
    key="k",
    state=RecordState.UPLOADED,
    name="k.mp4",
    identity=SourceIdentity(length=9),
    requested_at=1.0,
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(make_bytes(LENGTH))
    return path


async def interrupt(sandbox, livepeer, path):
    """Upload until some parts are stored, then cancel the upload."""

    def has_parts():
        return len([r for r in sandbox.requests if r.method == "PATCH" and r.received]) > 1

    await cancel_when(has_parts, livepeer.upload, path)


@ON_BOTH
async def test_second_run_resumes_the_first(path, journal):
    stall = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG, after_bytes=2 * PART + 10))
    async with sandbox_and_client(stall, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        await interrupt(sandbox, livepeer, path)
        sandbox.clear_log()
        async with client_for(sandbox, journal) as again:
            asset = await again.upload(path)
        assert is_stored(sandbox, asset, path.read_bytes())
        assert len(sandbox.assets) == 1
        assert {method for method, _ in tus_requests(sandbox)} == {"HEAD", "PATCH"}
        sent = sum(request.received for request in sandbox.requests if request.method == "PATCH")
        assert sent <= LENGTH - PART
        assert sandbox.violations == []


@ON_BOTH
async def test_finished_upload_is_found_with_one_get(path, journal):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        first = await livepeer.upload(path)
        sandbox.clear_log()
        async with client_for(sandbox, journal) as again:
            second = await again.upload(path)
        assert (second.id, second.phase) == (first.id, "ready")
        assert [request.method for request in sandbox.requests] == ["GET"]


async def test_finished_upload_with_a_deleted_asset_restarts(path, journal):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        first = await livepeer.upload(path)
        await livepeer.assets.delete(first.id)
        second = await livepeer.upload(path)
        assert second.id != first.id
        assert is_stored(sandbox, second, path.read_bytes())


async def test_changed_file_of_a_finished_upload_is_refused(path, journal):
    async with sandbox_and_client(client={"journal": journal}) as (_, livepeer):
        asset = await livepeer.upload(path)
        path.write_bytes(make_bytes(LENGTH - 1))
        with pytest.raises(SourceChanged, match=f"as asset {asset.id} .*another key"):
            await livepeer.upload(path)
        other = await livepeer.upload(path, key="second version")
        assert other.id != asset.id


async def test_changed_file_of_an_unfinished_upload_restarts(path, journal):
    stall = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG, after_bytes=1))
    async with sandbox_and_client(stall, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        await interrupt(sandbox, livepeer, path)
        path.write_bytes(make_bytes(LENGTH, seed=9))
        asset = await livepeer.upload(path)
        assert is_stored(sandbox, asset, path.read_bytes())
        assert [it.phase for it in sandbox.assets if not it.is_deleted] == ["ready"]


@pytest.mark.parametrize("change", ["content", "time"])
async def test_uploaded_asset_of_a_changed_file_is_kept(path, journal, change):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        asset = await livepeer.upload(path, wait=False)
        if change == "content":
            path.write_bytes(make_bytes(LENGTH - 1))
        else:
            os.utime(path, (1, 1))
        with pytest.raises(SourceChanged):
            await livepeer.upload(path)
        assert [it.is_deleted for it in sandbox.assets] == [False]
        assert (await livepeer.assets.wait(asset.id)).phase == "ready"


async def test_changed_file_of_a_failed_asset_restarts(path, journal):
    fault = Fault(On(asset="talk", times=1), FailProcessing())
    async with sandbox_and_client(fault, client={"journal": journal}) as (sandbox, livepeer):
        with pytest.raises(AssetFailed):
            await livepeer.upload(path)
        with pytest.raises(AssetFailed):
            await livepeer.upload(path)
        path.write_bytes(make_bytes(LENGTH, seed=9))
        asset = await livepeer.upload(path)
        assert is_stored(sandbox, asset, path.read_bytes())
        assert [it.is_deleted for it in sandbox.assets] == [True, False]


async def test_forgotten_complete_upload_is_no_leftover(path, journal):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        await livepeer.upload(path, wait=False)
        (record,) = await livepeer.journal.records()
        await livepeer.journal.write(replace(record, state=RecordState.UPLOAD_CREATED))
        await livepeer.journal.forget(str(path))
        assert len(await livepeer.journal.orphans()) == 1
        assert await livepeer.leftovers() == []
        assert not sandbox.assets[0].is_deleted


async def test_different_playback_policy_is_refused(path, journal):
    private = NewAsset("talk.mp4", playback_policy=PlaybackPolicy(type="jwt"))
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        public = await livepeer.upload(path)
        with pytest.raises(ConfigurationError, match=f"asset {public.id}, which has another"):
            await livepeer.upload(path, private)
        assert [it.is_deleted for it in sandbox.assets] == [False]


async def test_asset_without_a_status_is_kept(path, journal):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        asset = await livepeer.upload(path)
        body = msgspec.json.encode({"id": asset.id, "playbackId": asset.playback_id})
        sandbox.add_fault(Fault(On(method="GET", path="/asset/", times=1), Answer(200, body)))
        assert (await livepeer.upload(path)).id == asset.id
        assert [it.is_deleted for it in sandbox.assets] == [False]


async def test_other_stream_under_the_same_key_is_detected_by_hash(journal):
    async def stream(seed):
        yield make_bytes(PART, seed=seed)

    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        await livepeer.upload(stream(1), key="k", verify="hash", on_mismatch="reupload")
        with pytest.raises(SourceChanged):
            await livepeer.upload(stream(2), key="k", verify="hash", on_mismatch="reupload")
        assert [it.is_deleted for it in sandbox.assets] == [False]


async def test_failed_asset_raises_without_waiting(path, journal):
    fault = Fault(On(asset="talk"), FailProcessing())
    async with sandbox_and_client(fault, client={"journal": journal}) as (_, livepeer):
        with pytest.raises(AssetFailed):
            await livepeer.upload(path)
        with pytest.raises(AssetFailed):
            await livepeer.upload(path, wait=False)


@pytest.mark.parametrize("key", ["", 5, b"k"])
async def test_invalid_key_is_refused(path, journal, key):
    async with sandbox_and_client(client={"journal": journal}) as (_, livepeer):
        with pytest.raises(ConfigurationError, match="wanted a non-empty str"):
            await livepeer.upload(path, key=key)


@ON_BOTH
async def test_file_with_an_undecodable_name_is_recorded(tmp_path, journal):
    path = tmp_path / os.fsdecode(b"a\xff.mp4")
    path.write_bytes(make_bytes(100))
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        first = await livepeer.upload(path)
        assert (await livepeer.upload(path)).id == first.id
        assert len(sandbox.assets) == 1


async def test_upload_lost_between_runs_restarts(path, journal):
    stall = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG, after_bytes=1))
    async with sandbox_and_client(stall, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        await interrupt(sandbox, livepeer, path)
        sandbox.add_fault(Fault(On(method="HEAD", nth=1), Answer(404)))
        asset = await livepeer.upload(path)
        assert is_stored(sandbox, asset, path.read_bytes())
        assert [it.phase for it in sandbox.assets if not it.is_deleted] == ["ready"]


async def test_uploaded_asset_is_only_polled(path, journal):
    async with sandbox_and_client(client={"journal": journal}, processing_seconds=0.3) as (
        sandbox,
        livepeer,
    ):
        early = await livepeer.upload(path, wait=False)
        sandbox.clear_log()
        async with client_for(sandbox, journal) as again:
            asset = await again.upload(path, verify="hash")
        assert (asset.id, asset.phase) == (early.id, "ready")
        assert {request.method for request in sandbox.requests} == {"GET"}


async def test_key_works_for_bytes_and_streams(journal):
    async def stream():
        yield make_bytes(PART)

    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        first = await livepeer.upload(make_bytes(100), key="bytes")
        assert (await livepeer.upload(make_bytes(100), key="bytes")).id == first.id
        with pytest.raises(SourceChanged):
            await livepeer.upload(make_bytes(100, seed=8), key="bytes")
        second = await livepeer.upload(stream(), key="stream")
        assert (await livepeer.upload(stream(), key="stream")).id == second.id
        assert len(sandbox.assets) == 2


async def test_bytes_without_a_key_are_uploaded_again(journal):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        await livepeer.upload(make_bytes(100))
        await livepeer.upload(make_bytes(100))
        assert len(sandbox.assets) == 2


@ON_BOTH
async def test_concurrent_upload_of_the_same_key_is_refused(path, journal):
    refused = anyio.Event()

    async def stream():
        yield make_bytes(PART)
        await refused.wait()

    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        async with livepeer.begin_upload(stream(), "talk.mp4", key=str(path), length=PART):
            with pytest.raises(UploadInUse):
                await livepeer.upload(path)
            async with client_for(sandbox, journal) as other:
                with pytest.raises(UploadInUse):
                    await other.upload(path)
            refused.set()
        assert len(sandbox.assets) == 1


async def test_next_run_deletes_an_asset_without_an_upload(path, journal):
    fault = Fault(On(method="POST", path="/upload/tus", nth=1), Stall(VERY_LONG))
    async with sandbox_and_client(fault, client={"journal": journal}) as (sandbox, livepeer):
        await cancel_when(lambda: fault.fired, livepeer.upload, path)
        asset = await livepeer.upload(path)
        assert [it.phase for it in sandbox.assets if not it.is_deleted] == ["ready"]
        assert is_stored(sandbox, asset, path.read_bytes())
        assert await livepeer.leftovers() == []


@ON_BOTH
async def test_failed_deletion_leaves_an_owned_leftover(path, journal):
    faults = [Fault(On(method="DELETE"), Answer(500)), Fault(On(method="HEAD"), Answer(404))]
    faults.append(Fault(On(method="PATCH", nth=1), CutConnection(10)))
    async with sandbox_and_client(*faults, client={"journal": journal}) as (sandbox, livepeer):
        asset = await livepeer.upload(path)
        sandbox.faults.clear()
        (left,) = await livepeer.leftovers()
        assert (left.is_ours, left.key) == (True, str(path))
        assert {left.asset.id, asset.id} == {it.id for it in sandbox.assets}
        await livepeer.assets.delete(left.asset.id)
        assert await livepeer.leftovers() == []


@ON_BOTH
async def test_lost_response_leaves_a_leftover_of_unknown_owner(path, journal):
    fault = Fault(On(path="request-upload", times=1), LoseAnswer())
    async with sandbox_and_client(fault, client={"journal": journal}) as (sandbox, livepeer):
        asset = await livepeer.upload(path)
        await livepeer.assets.request_upload("talk.mp4.bak")
        (left,) = await livepeer.leftovers()
        assert (left.asset.id, left.is_ours, left.key) == (sandbox.assets[0].id, False, str(path))
        assert left.asset.id != asset.id
        await livepeer.assets.delete(left.asset.id)
        assert await livepeer.leftovers() == []


async def test_reupload_replaces_a_wrong_asset(path, journal):
    wrong = Fault(On(asset="talk", times=1), WrongSize(-1))
    async with sandbox_and_client(wrong, client={"journal": journal}) as (sandbox, livepeer):
        upload = livepeer.begin_upload(path, on_mismatch="reupload")
        async with upload as upload:
            pass
        assert (upload.result.attempts, upload.result.verified) == (2, "size")
        assert is_stored(sandbox, upload.asset, path.read_bytes())
        assert [it.is_deleted for it in sandbox.assets] == [True, False]


async def test_reupload_happens_once(path, journal):
    async with sandbox_and_client(Fault(On(asset="talk"), WrongSize(-1))) as (sandbox, livepeer):
        with pytest.raises(IntegrityError):
            await livepeer.upload(path, on_mismatch="reupload")
        assert [it.is_deleted for it in sandbox.assets] == [True, False]


async def test_hash_of_a_resumed_upload_covers_the_whole_file(path, journal):
    stall = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG, after_bytes=2 * PART))
    async with sandbox_and_client(stall, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        await interrupt(sandbox, livepeer, path)
        async with livepeer.begin_upload(path, verify="hash") as upload:
            pass
        assert len(sandbox.assets) == 1
        assert upload.result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


async def test_failing_journal_deletes_the_asset(path, journal):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        connection = livepeer.journal._store._database._connection  # noqa: SLF001 - the limit is that of a connection
        connection.execute("PRAGMA max_page_count = 1")
        await fill(livepeer.journal)
        with pytest.raises(JournalError, match="disk is full"):
            await livepeer.upload(path, key="k" * 2000)
        assert [it for it in sandbox.assets if not it.is_deleted] == []


async def fill(journal):
    """Write records until the disk is full."""
    with pytest.raises(JournalError):
        for number in range(10_000):
            await journal.write(replace(RECORD, key=f"{number:04}"))


async def test_leftovers_need_a_journal():
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(ValueError, match="needs a journal"):
            await livepeer.leftovers()


async def test_next_run_resumes_after_exhausted_retries(path, journal):
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        sandbox.add_fault(Fault(On(method="PATCH", nth=2), CutConnection(PART + 1)))
        sandbox.add_fault(Fault(On(method="HEAD"), CutConnection(0)))
        with pytest.raises(RetriesExhausted):
            await livepeer.upload(path)
        sandbox.faults.clear()
        sandbox.clear_log()
        asset = await livepeer.upload(path)
        assert is_stored(sandbox, asset, path.read_bytes())
        assert "POST" not in {request.method for request in sandbox.requests}
