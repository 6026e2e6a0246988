"""Adoption: after a lost response, an import uses the asset that its request created."""

import json
import time
from email.utils import formatdate

import anyio
import pytest

from livepeer_async import AsyncLivepeer, NewAsset, PlaybackPolicy
from livepeer_async.journal.records import Record, RecordState, url_fingerprint
from livepeer_async.models import Encryption
from livepeer_async.sandbox import Answer, ChangeBody, CutConnection, Fault, On, Stall
from livepeer_async.sources.identity import SourceIdentity
from livepeer_async.uploads.options import UploadOptions
from support.clock import until
from support.constants import FAST_RETRY
from support.sandbox import client_for, sandbox_and_client
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio

FETCH = "/asset/upload/url$"
LIST = "/asset$"
PUBLIC = NewAsset("a.mp4")
PRIVATE = NewAsset("a.mp4", playback_policy=PlaybackPolicy(type="jwt"))
ENCRYPTED = NewAsset(
    "a.mp4",
    playback_policy=PlaybackPolicy(type="jwt"),
    encryption=Encryption(encrypted_key="aGVsbG8="),
)


@pytest.fixture
async def clients(tmp_path):
    """Run a sandbox, a client with a journal, and another client."""
    async with (
        sandbox_and_client() as (sandbox, other),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        yield sandbox, livepeer, other


async def import_url(livepeer, url, new_asset, key="k"):
    return await livepeer.uploads.import_url(url, new_asset, UploadOptions(), key=key)


def lose_next_request(sandbox):
    """Break the connection before the server reads the next request for an import."""
    return sandbox.add_fault(Fault(On(path=FETCH, times=1), CutConnection()))


def list_other_asset(sandbox, url, *, created_at, **fields):
    """Add an asset, which the sandbox can't create, to its next list."""
    other_asset = {
        "id": "other",
        "name": "a.mp4",
        "createdAt": int(created_at * 1000),
        "source": {"type": "url", "url": url},
        "status": {"phase": "waiting"},
        **fields,
    }
    body = json.dumps([other_asset]).encode()
    return sandbox.add_fault(Fault(On(method="GET", path=LIST, times=1), ChangeBody(body)))


@pytest.mark.parametrize(
    ("wanted", "existing"),
    [(PUBLIC, PRIVATE), (PRIVATE, PUBLIC), (PRIVATE, ENCRYPTED), (ENCRYPTED, PRIVATE)],
    ids=["private for public", "public for private", "encrypted for plain", "plain for encrypted"],
)
async def test_asset_with_other_access_is_not_adopted(clients, url, wanted, existing):
    sandbox, livepeer, other = clients
    other_asset = (await other.assets.upload_from_url(url, existing)).asset
    lost = lose_next_request(sandbox)
    result = await import_url(livepeer, url, wanted)
    assert lost.fired
    assert (result.error, len(sandbox.assets)) == (None, 2)
    assert result.asset.id != other_asset.id


async def test_asset_of_another_url_is_not_adopted(clients, url):
    sandbox, livepeer, other = clients
    other_asset = (await other.assets.upload_from_url(f"{url}?other", PUBLIC)).asset
    lost = lose_next_request(sandbox)
    result = await import_url(livepeer, url, PUBLIC)
    assert lost.fired
    assert (result.error, len(sandbox.assets)) == (None, 2)
    assert result.asset.id != other_asset.id


@pytest.mark.parametrize("seconds", [-10.0, 10.0], ids=["older", "younger"])
async def test_older_or_younger_asset_is_not_adopted(clients, url, seconds):
    sandbox, livepeer, _ = clients
    listed = list_other_asset(sandbox, url, created_at=time.time() + seconds)
    lost = lose_next_request(sandbox)
    result = await import_url(livepeer, url, PUBLIC)
    assert (lost.fired, listed.fired) == (1, 1)
    assert (result.error, result.asset.id) == (None, sandbox.assets[0].id)


async def test_asset_created_long_after_the_request_is_not_adopted(clients, url):
    sandbox, livepeer, other = clients
    record = Record(
        key="k",
        state=RecordState.REQUESTED,
        name="a.mp4",
        identity=SourceIdentity(length=0, url=url_fingerprint(url)),
        requested_at=time.time() - 3600,
    )
    await livepeer.journal.write(record)
    other_asset = (await other.assets.upload_from_url(url, PUBLIC)).asset
    result = await import_url(livepeer, url, PUBLIC)
    assert (result.error, len(sandbox.assets)) == (None, 2)
    assert result.asset.id != other_asset.id


async def test_asset_of_another_webhook_is_not_adopted(clients, url):
    sandbox, livepeer, _ = clients
    theirs = {"playbackPolicy": {"type": "webhook", "webhookId": "theirs"}}
    listed = list_other_asset(sandbox, url, created_at=time.time(), **theirs)
    lost = lose_next_request(sandbox)
    policy = PlaybackPolicy(type="webhook", webhook_id="ours")
    result = await import_url(livepeer, url, NewAsset("a.mp4", playback_policy=policy))
    assert (lost.fired, listed.fired) == (1, 1)
    # The error of a second request shows that nothing was adopted: the sandbox has no webhooks.
    assert "ours not found" in str(result.error)


async def test_discarded_asset_is_not_adopted(clients, url):
    """Its deletion failed, so the next clean-up would delete it under its new key."""
    sandbox, livepeer, _ = clients
    discarded = (await import_url(livepeer, url, PUBLIC, key="earlier")).asset
    async with client_for(sandbox, livepeer.journal.path) as another:
        kept = sandbox.add_fault(Fault(On(method="DELETE"), Answer(500)))
        await another.uploads.discard("earlier")
        sandbox.faults.remove(kept)
        assert [it.asset_id for it in await another.journal.orphans()] == [discarded.id]
        lost = lose_next_request(sandbox)
        result = await import_url(another, url, PUBLIC)
    assert lost.fired
    assert (result.error, len(sandbox.assets)) == (None, 2)
    assert result.asset.id != discarded.id


async def test_asset_of_an_import_without_a_journal_is_not_adopted(clients, url):
    sandbox, _, livepeer = clients
    first = await import_url(livepeer, url, PUBLIC, key=None)
    lost = lose_next_request(sandbox)
    second = await import_url(livepeer, url, PUBLIC, key=None)
    assert lost.fired
    assert (second.error, len(sandbox.assets)) == (None, 2)
    assert second.asset.id != first.asset.id


async def test_asset_whose_ticket_is_in_flight_is_not_adopted(clients, url):
    sandbox, _, livepeer = clients
    late = sandbox.add_fault(Fault(On(path=FETCH, nth=1), Stall(0.3, after_bytes=10**6)))
    lost = sandbox.add_fault(Fault(On(path=FETCH, nth=1), CutConnection()))
    results = []

    async def fetch_one():
        results.append(await import_url(livepeer, url, PUBLIC, key=None))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fetch_one)
        await until(lambda: sandbox.assets)
        tasks.start_soon(fetch_one)
    assert (late.fired, lost.fired) == (1, 1)
    assert [result.error for result in results] == [None, None]
    assert {result.asset.id for result in results} == {asset.id for asset in sandbox.assets}
    assert len(sandbox.assets) == 2


@pytest.mark.parametrize("ahead", [3600.0, -3600.0], ids=["ahead", "behind"])
async def test_different_server_clock_is_corrected(ahead):
    """The `Date` header shows the difference."""
    url, lost = "https://origin.example/a.mp4", []
    made = {"id": "ours", "name": "a.mp4", "source": {"type": "url", "url": url}}

    def serve(request):
        now = time.time() + ahead
        if request.method == "POST":
            lost.append(request)
            made["createdAt"] = int(now * 1000)
            return b""
        document = made | {"status": {"phase": "ready"}}
        body = json.dumps(document if request.target.endswith("/ours") else [document]).encode()
        return http_response(body, f"Date: {formatdate(now, usegmt=True)}")

    async def abort(writer):
        writer.transport.abort()

    async with (
        serve_http(lambda request: serve(request) or abort) as server,
        AsyncLivepeer("key", base_url=f"{server.origin}/api", retry=FAST_RETRY) as livepeer,
    ):
        result = await import_url(livepeer, url, PUBLIC, key=None)
    assert (result.error, result.asset.id, len(lost)) == (None, "ours", 1)
