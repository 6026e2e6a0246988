"""Uploads that replace a complete one: its record stays until the new asset is useful."""

import pytest
from msgspec.structs import replace

from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import Answer, Fault, On, Stall
from livepeer_async.sources.source import source_key
from livepeer_async.uploads.options import UploadJob, UploadOptions
from support.constants import VERY_LONG
from support.records import ON_BOTH
from support.sandbox import PART, SMALL_S3, cancel_when, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(make_bytes(3 * PART))
    return path


def open_both(journal, *faults):
    return sandbox_and_client(*faults, client={"journal": journal}, **SMALL_S3)


async def force(livepeer, path):
    return await livepeer.uploads.run(UploadJob(str(path)), UploadOptions(force=True))


async def read_one(livepeer):
    (record,) = await livepeer.journal.records()
    return record


async def test_forced_upload_replaces_the_record(path, journal):
    async with open_both(journal) as (sandbox, livepeer):
        await livepeer.upload(path)
        result = await force(livepeer, path)
        record = await read_one(livepeer)
        assert (record.asset_id, record.previous) == (result.unwrap().id, None)
        assert [it.is_deleted for it in sandbox.assets] == [False, False]
        assert not await livepeer.leftovers()


REFUSED = On(path="request-upload", nth=2)
CREATED = On(method="POST", path="/upload/tus", nth=2)
SENT = On(method="PATCH", asset="talk", nth=4)


@pytest.mark.parametrize("request_", [REFUSED, CREATED], ids=["before the asset", "after it"])
async def test_failed_forced_upload_keeps_the_record(path, journal, request_):
    refused = Fault(request_, Answer(status=422))
    async with open_both(journal, refused) as (sandbox, livepeer):
        earlier = await livepeer.upload(path)
        before = await read_one(livepeer)
        assert (await force(livepeer, path)).error is not None
        assert refused.fired
        if request_ is CREATED:
            assert len(sandbox.assets) == 2
        assert await read_one(livepeer) == before
        assert (await livepeer.upload(path)).id == earlier.id


async def test_cancelled_forced_request_keeps_the_record(path, journal):
    held = Fault(REFUSED, Stall(VERY_LONG))
    async with open_both(journal, held) as (_, livepeer):
        earlier = await livepeer.upload(path)
        before = await read_one(livepeer)
        await cancel_when(lambda: held.fired, force, livepeer, path)
        assert (await read_one(livepeer)).asset_id == earlier.id
        assert (await livepeer.upload(path)).id == earlier.id
        assert await read_one(livepeer) == before


async def test_killed_forced_request_is_unconfirmed(path, journal):
    async with open_both(journal) as (_, livepeer):
        earlier = await livepeer.upload(path)
        before = await read_one(livepeer)
        requested = Record(
            key=source_key(str(path)),
            state=RecordState.REQUESTED,
            name="talk.mp4",
            identity=before.identity,
            requested_at=before.requested_at,
            previous=before,
        )
        await livepeer.journal.write(requested)
        assert await read_one(livepeer) == before
        assert (await livepeer.upload(path)).id == earlier.id
        assert len(await livepeer.journal.unconfirmed_requests()) == 1


@ON_BOTH
async def test_interrupted_forced_upload_is_resumed(path, journal):
    held = Fault(SENT, Stall(VERY_LONG))
    async with open_both(journal, held) as (sandbox, livepeer):
        earlier = await livepeer.upload(path)
        await cancel_when(lambda: held.fired, force, livepeer, path)
        record = await read_one(livepeer)
        assert record.previous.asset_id == earlier.id
        assert (await livepeer.upload(path)).id == record.asset_id
        assert (await read_one(livepeer)).previous is None
        assert len(sandbox.assets) == 2


async def test_forgotten_forced_upload_leaves_no_record(path, journal):
    async with open_both(journal) as (_, livepeer):
        await livepeer.upload(path)
        before = await read_one(livepeer)
        created = replace(before, state=RecordState.UPLOAD_CREATED, asset_id="new", previous=before)
        await livepeer.journal.write(created)
        assert await livepeer.journal.forget(before.key)
        assert await livepeer.journal.records() == []
        (orphan,) = await livepeer.journal.orphans()
        assert orphan.asset_id == "new"
