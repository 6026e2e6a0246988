"""Leftovers of orphans in the journal."""

import pytest

from livepeer_async import RetriesExhausted, SourceEmpty, UploadInUse
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import Answer, ChangeBody, CutConnection, Fault, On, Stall
from livepeer_async.sources.identity import SourceIdentity
from support.constants import VERY_LONG
from support.records import ON_BOTH
from support.sandbox import PART, client_for, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def both(journal):
    async with sandbox_and_client(client={"journal": journal}) as both:
        yield both


@pytest.fixture
def sandbox(both):
    return both[0]


@pytest.fixture
def livepeer(both):
    return both[1]


async def abandon(livepeer, asset_id, *, is_useless, has_handle=True):
    """Record an asset as abandoned."""
    record = Record(
        key="k",
        state=RecordState.ASSET_CREATED,
        name="a.mp4",
        identity=SourceIdentity(length=9),
        requested_at=1.0,
        asset_id=asset_id,
        has_handle=has_handle,
    )
    await livepeer.journal.abandon(record, is_useless=is_useless)


@ON_BOTH
@pytest.mark.parametrize("is_useless", [True, False])
async def test_orphan_without_bytes_is_a_leftover(livepeer, is_useless):
    ticket = await livepeer.assets.request_upload("a.mp4")
    await abandon(livepeer, ticket.asset.id, is_useless=is_useless)
    (leftover,) = await livepeer.leftovers()
    assert (leftover.asset.id, leftover.is_ours, leftover.key) == (ticket.asset.id, True, "k")
    assert len(await livepeer.journal.orphans()) == 1


@pytest.mark.parametrize("is_useless", [True, False])
async def test_ready_orphan_is_a_leftover_only_if_useless(livepeer, is_useless):
    asset = await livepeer.upload(make_bytes(100), "a.mp4")
    await abandon(livepeer, asset.id, is_useless=is_useless)
    assert len(await livepeer.leftovers()) == is_useless
    assert len(await livepeer.journal.orphans()) == is_useless


@pytest.mark.parametrize("is_useless", [True, False])
async def test_record_of_a_deleted_orphan_is_dropped(livepeer, is_useless):
    ticket = await livepeer.assets.request_upload("a.mp4")
    await abandon(livepeer, ticket.asset.id, is_useless=is_useless)
    await livepeer.assets.delete(ticket.asset.id)
    assert await livepeer.leftovers() == []
    assert await livepeer.journal.orphans() == []


@pytest.mark.parametrize("phase", ["deleting", "deleted"])
async def test_asset_that_is_being_deleted_is_no_leftover(sandbox, livepeer, phase):
    ticket = await livepeer.assets.request_upload("a.mp4")
    await abandon(livepeer, ticket.asset.id, is_useless=True)
    body = f'{{"id": "{ticket.asset.id}", "status": {{"phase": "{phase}"}}}}'.encode()
    sandbox.add_fault(Fault(On(method="GET"), ChangeBody(body)))
    assert await livepeer.leftovers() == []


@ON_BOTH
@pytest.mark.parametrize("many", [False, True])
async def test_certain_leftover_is_deleted_after_an_upload(sandbox, livepeer, many):
    ticket = await livepeer.assets.request_upload("a.mp4")
    await abandon(livepeer, ticket.asset.id, is_useless=True)
    if many:
        async with livepeer.upload_many([make_bytes(100)]) as results:
            assert [result.error async for result in results] == [None]
    else:
        await livepeer.upload(make_bytes(100))
    assert [asset.is_deleted for asset in sandbox.assets] == [True, False]
    assert await livepeer.journal.orphans() == []


async def test_failed_upload_deletes_certain_leftovers_too(sandbox, livepeer):
    ticket = await livepeer.assets.request_upload("a.mp4")
    await abandon(livepeer, ticket.asset.id, is_useless=True)
    with pytest.raises(SourceEmpty):
        await livepeer.upload(b"")
    assert sandbox.assets[0].is_deleted


@pytest.mark.parametrize("has_handle", [False, True])
@pytest.mark.parametrize("is_complete", [False, True])
async def test_unfinished_orphan_is_deleted_if_nothing_can_resume_it(
    sandbox, livepeer, has_handle, is_complete
):
    if is_complete:
        asset = await livepeer.upload(make_bytes(100), "a.mp4")
    else:
        asset = (await livepeer.assets.request_upload("a.mp4")).asset
    await abandon(livepeer, asset.id, is_useless=False, has_handle=has_handle)
    report = await livepeer.clean_up()
    assert sandbox.assets[0].is_deleted is not (has_handle or is_complete)
    assert len(report.found) == (has_handle and not is_complete)
    # Each is reported once.
    assert (await livepeer.clean_up()).found == ()


@ON_BOTH
async def test_upload_whose_url_the_caller_has_is_kept(sandbox, livepeer):
    """The error's `upload_url` can be resumed from, also after another upload."""
    broken = sandbox.add_fault(Fault(On(method="PATCH"), CutConnection(10)))
    offset = sandbox.add_fault(Fault(On(method="HEAD"), Answer(503)))
    with pytest.raises(RetriesExhausted) as caught:
        await livepeer.upload(make_bytes(300_000))
    assert caught.value.upload_url
    sandbox.faults.remove(broken)
    sandbox.faults.remove(offset)
    await livepeer.upload(make_bytes(100))
    await livepeer.clean_up()
    assert not any(asset.is_deleted for asset in sandbox.assets)


@ON_BOTH
async def test_refused_deletion_keeps_and_reports_the_leftover(sandbox, livepeer):
    sandbox.add_fault(Fault(On(method="DELETE", times=2), Answer(404)))
    ticket = await livepeer.assets.request_upload("a.mp4")
    await abandon(livepeer, ticket.asset.id, is_useless=True)
    (leftover,) = (await livepeer.clean_up()).found
    assert leftover.is_ours
    assert (await livepeer.clean_up()).found == ()
    await livepeer.clean_up()
    assert sandbox.assets[0].is_deleted


@ON_BOTH
async def test_asset_of_a_running_upload_is_not_deleted(sandbox, livepeer, journal):
    sandbox.faults.append(Fault(On(method="PATCH"), Stall(VERY_LONG)))
    async with client_for(sandbox, journal) as other:
        upload = await livepeer.start_upload(make_bytes(3 * PART), "a.mp4", key="one")
        with pytest.raises(UploadInUse):
            await other.delete_leftover(upload.asset.id)
        assert not sandbox.assets[0].is_deleted
        upload.stop()
        await livepeer.aclose()
        await other.delete_leftover(upload.asset.id)
    assert sandbox.assets[0].is_deleted
