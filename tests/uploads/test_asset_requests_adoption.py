"""Which asset an import adopts after the answer to its request was lost."""

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
from support.sandbox import client_for, make_bytes, sandbox_and_client
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(30_000)
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
async def url():
    """Serve a video: that of another sandbox's asset."""
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "origin.mp4")
        yield (await livepeer.assets.get(asset.id)).download_url


@pytest.fixture
async def studios(tmp_path):
    """Serve a Studio, with a client that has a journal and one of somebody else."""
    async with (
        sandbox_and_client() as (sandbox, stranger),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        yield sandbox, livepeer, stranger


async def fetch(livepeer, url, wanted, key="k"):
    return await livepeer.uploads.import_url(url, wanted, UploadOptions(), key=key)


def lose_next_request(sandbox):
    """Break the connection under the next request for an import before the server reads it."""
    return sandbox.add_fault(Fault(On(path=FETCH, times=1), CutConnection()))


def show_rival(sandbox, url, *, created_at, **fields):
    """Show an asset that the sandbox can't make in its next list."""
    rival = {
        "id": "rival",
        "name": "a.mp4",
        "createdAt": int(created_at * 1000),
        "source": {"type": "url", "url": url},
        "status": {"phase": "waiting"},
        **fields,
    }
    body = json.dumps([rival]).encode()
    return sandbox.add_fault(Fault(On(method="GET", path=LIST, times=1), ChangeBody(body)))


@pytest.mark.parametrize(
    ("wanted", "of_rival"),
    [(PUBLIC, PRIVATE), (PRIVATE, PUBLIC), (PRIVATE, ENCRYPTED), (ENCRYPTED, PRIVATE)],
    ids=["private for public", "public for private", "encrypted for plain", "plain for encrypted"],
)
async def test_an_asset_with_other_access_is_not_adopted(studios, url, wanted, of_rival):
    sandbox, livepeer, stranger = studios
    rival = (await stranger.assets.upload_from_url(url, of_rival)).asset
    lost = lose_next_request(sandbox)
    result = await fetch(livepeer, url, wanted)
    assert lost.fired
    assert (result.error, len(sandbox.assets)) == (None, 2)
    assert result.asset.id != rival.id


async def test_an_asset_of_another_url_is_not_adopted(studios, url):
    sandbox, livepeer, stranger = studios
    rival = (await stranger.assets.upload_from_url(f"{url}?other", PUBLIC)).asset
    lost = lose_next_request(sandbox)
    result = await fetch(livepeer, url, PUBLIC)
    assert lost.fired
    assert (result.error, len(sandbox.assets)) == (None, 2)
    assert result.asset.id != rival.id


@pytest.mark.parametrize("seconds", [-10.0, 10.0], ids=["older", "younger"])
async def test_an_asset_of_another_time_is_not_adopted(studios, url, seconds):
    sandbox, livepeer, _ = studios
    listed = show_rival(sandbox, url, created_at=time.time() + seconds)
    lost = lose_next_request(sandbox)
    result = await fetch(livepeer, url, PUBLIC)
    assert (lost.fired, listed.fired) == (1, 1)
    assert (result.error, result.asset.id) == (None, sandbox.assets[0].id)


async def test_an_asset_made_long_after_a_request_is_not_adopted(studios, url):
    sandbox, livepeer, stranger = studios
    record = Record(
        key="k",
        state=RecordState.REQUESTED,
        name="a.mp4",
        identity=SourceIdentity(length=0, url=url_fingerprint(url)),
        requested_at=time.time() - 3600,
    )
    await livepeer.journal.write(record)
    rival = (await stranger.assets.upload_from_url(url, PUBLIC)).asset
    result = await fetch(livepeer, url, PUBLIC)
    assert (result.error, len(sandbox.assets)) == (None, 2)
    assert result.asset.id != rival.id


async def test_an_asset_behind_another_webhook_is_not_adopted(studios, url):
    sandbox, livepeer, _ = studios
    theirs = {"playbackPolicy": {"type": "webhook", "webhookId": "theirs"}}
    listed = show_rival(sandbox, url, created_at=time.time(), **theirs)
    lost = lose_next_request(sandbox)
    policy = PlaybackPolicy(type="webhook", webhook_id="ours")
    result = await fetch(livepeer, url, NewAsset("a.mp4", playback_policy=policy))
    assert (lost.fired, listed.fired) == (1, 1)
    # The second request shows that nothing was adopted; the sandbox knows no webhook.
    assert "ours not found" in str(result.error)


async def test_an_asset_that_was_given_up_is_not_adopted(studios, url):
    """Its deletion failed, and the next tidying would delete it under its new key."""
    sandbox, livepeer, _ = studios
    given_up = (await fetch(livepeer, url, PUBLIC, key="earlier")).asset
    async with client_for(sandbox, livepeer.journal.path) as another:
        kept = sandbox.add_fault(Fault(On(method="DELETE"), Answer(500)))
        await another.uploads.discard("earlier")
        sandbox.faults.remove(kept)
        assert [it.asset_id for it in await another.journal.orphans()] == [given_up.id]
        lost = lose_next_request(sandbox)
        result = await fetch(another, url, PUBLIC)
    assert lost.fired
    assert (result.error, len(sandbox.assets)) == (None, 2)
    assert result.asset.id != given_up.id


async def test_an_asset_of_an_upload_without_a_journal_is_not_adopted(studios, url):
    sandbox, _, livepeer = studios
    first = await fetch(livepeer, url, PUBLIC, key=None)
    lost = lose_next_request(sandbox)
    second = await fetch(livepeer, url, PUBLIC, key=None)
    assert lost.fired
    assert (second.error, len(sandbox.assets)) == (None, 2)
    assert second.asset.id != first.asset.id


async def test_an_asset_whose_ticket_is_on_its_way_is_not_adopted(studios, url):
    sandbox, _, livepeer = studios
    late = sandbox.add_fault(Fault(On(path=FETCH, nth=1), Stall(0.3, after_bytes=10**6)))
    lost = sandbox.add_fault(Fault(On(path=FETCH, nth=1), CutConnection()))
    results = []

    async def fetch_one():
        results.append(await fetch(livepeer, url, PUBLIC, key=None))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fetch_one)
        await until(lambda: sandbox.assets)
        tasks.start_soon(fetch_one)
    assert (late.fired, lost.fired) == (1, 1)
    assert [result.error for result in results] == [None, None]
    assert {result.asset.id for result in results} == {asset.id for asset in sandbox.assets}
    assert len(sandbox.assets) == 2


@pytest.mark.parametrize("ahead", [3600.0, -3600.0], ids=["ahead", "behind"])
async def test_a_server_with_another_clock_is_understood(ahead):
    """Its `Date` tells how its times are to be read."""
    url, lost = "https://origin.example/a.mp4", []
    made = {"id": "ours", "name": "a.mp4", "source": {"type": "url", "url": url}}

    def serve(asked):
        now = time.time() + ahead
        if asked.method == "POST":
            lost.append(asked)
            made["createdAt"] = int(now * 1000)
            return b""
        document = made | {"status": {"phase": "ready"}}
        body = json.dumps(document if asked.target.endswith("/ours") else [document]).encode()
        return http_response(body, f"Date: {formatdate(now, usegmt=True)}")

    async def break_off(writer):
        writer.transport.abort()

    async with (
        serve_http(lambda asked: serve(asked) or break_off) as server,
        AsyncLivepeer("key", base_url=f"{server.origin}/api", retry=FAST_RETRY) as livepeer,
    ):
        result = await fetch(livepeer, url, PUBLIC, key=None)
    assert (result.error, result.asset.id, len(lost)) == (None, "ours", 1)
