"""Leftovers of orphans in the journal."""

import pytest

from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import ChangeBody, Fault, On
from livepeer_async.sources.identity import SourceIdentity
from support.sandbox import make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def both(tmp_path):
    async with sandbox_and_client(client={"journal": tmp_path / "journal"}) as both:
        yield both


@pytest.fixture
def sandbox(both):
    return both[0]


@pytest.fixture
def livepeer(both):
    return both[1]


async def abandon(livepeer, asset_id, *, is_useless):
    """Record an asset as abandoned."""
    record = Record(
        key="k",
        state=RecordState.ASSET_CREATED,
        name="a.mp4",
        identity=SourceIdentity(length=9),
        requested_at=1.0,
        asset_id=asset_id,
    )
    await livepeer.journal.abandon(record, is_useless=is_useless)


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
