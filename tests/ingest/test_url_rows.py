"""URLs with lost responses, and repeated runs: each row gets one asset."""

from functools import partial

import anyio
import pytest

from ingest.running import RUN_SECONDS, run_rows, write_rows
from livepeer_async import ConfigurationError, IntegrityError, NewAsset
from livepeer_async.ingest import Halted, RowEnded, RowStarted, RowState, deferred_rows, ingest
from livepeer_async.sandbox import (
    CutAnswer,
    CutConnection,
    FailProcessing,
    Fault,
    LoseAnswer,
    On,
    WrongSize,
)
from livepeer_async.uploads.options import UploadOptions
from support.clock import until
from support.constants import VERY_LONG
from support.sandbox import cancel_when, client_for, make_bytes, sandbox_and_client
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(30_000)
FETCH = "/asset/upload/url$"
FINAL = FailProcessing("file format unsupported, must be a valid MP4")


@pytest.fixture(autouse=True)
def short_delay(monkeypatch):
    monkeypatch.setattr(deferred_rows, "RETRY_DELAY", 0.05)


@pytest.fixture
async def urls():
    """Serve two videos, as the assets of another sandbox."""
    async with sandbox_and_client() as (_, livepeer):
        assets = [await livepeer.upload(VIDEO, name) for name in ("a", "b")]
        yield [(await livepeer.assets.get(asset.id)).download_url for asset in assets]


async def assets_of(livepeer):
    return [asset.id async for asset in livepeer.assets.list()]


@pytest.mark.parametrize("has_journal", [True, False])
async def test_lost_response_and_outage_make_one_asset(urls, tmp_path, has_journal):
    lost = Fault(On(path=FETCH, times=1), LoseAnswer())
    journal = tmp_path / "journal" if has_journal else None
    manifest = write_rows(tmp_path, {"url": urls[0], "key": "k"})
    ended = []
    async with sandbox_and_client() as (sandbox, _), client_for(sandbox, journal) as livepeer:
        with anyio.fail_after(RUN_SECONDS):
            async with ingest(livepeer, manifest) as events:
                async for event in events:
                    if isinstance(event, RowStarted) and not lost.fired:
                        cut = Fault(On(method="GET", path="/asset"), CutConnection())
                        sandbox.faults.extend([lost, cut])
                    if isinstance(event, Halted):
                        sandbox.faults.clear()
                    if isinstance(event, RowEnded):
                        ended.append(event.state)
        assert lost.fired
        sandbox.faults.clear()
        assert len(await assets_of(livepeer)) == 1
    assert ended == [RowState.READY if has_journal else RowState.FAILED]


async def test_cancelled_import_is_found_by_the_next_run(urls, tmp_path):
    late = Fault(On(path=FETCH, times=1), CutAnswer(after_bytes=0, seconds=VERY_LONG))
    wanted = NewAsset("a.mp4")
    row = {"url": urls[0], "key": "k", "name": "a.mp4"}
    async with sandbox_and_client(late) as (sandbox, _):
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            import_url = partial(livepeer.uploads.import_url, key="k")
            await cancel_when(lambda: sandbox.assets, import_url, urls[0], wanted, UploadOptions())
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            (ended,) = await run_rows(livepeer, tmp_path, row)
            assert ended.state is RowState.READY
            assert await assets_of(livepeer) == [ended.asset_id]


async def test_lost_import_never_gets_an_asset_of_another_policy(urls, tmp_path):
    """The request for the private asset is lost; the public one of that name must not be used."""
    lost = Fault(On(path=FETCH, nth=2), CutConnection())
    public = {"url": urls[0], "key": "public", "name": "n"}
    private = {"url": urls[0], "key": "private", "name": "n", "playbackPolicy": {"type": "jwt"}}
    async with (
        sandbox_and_client(lost) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        first, second = await run_rows(livepeer, tmp_path, public, private, concurrency=1)
        assert lost.fired
        assert first.asset_id != second.asset_id
        asset = await livepeer.assets.get(second.asset_id)
        assert (second.state, asset.playback_policy.type) == (RowState.READY, "jwt")


async def test_equal_urls_and_names_get_an_asset_each(urls, tmp_path):
    lost = Fault(On(path=FETCH, every=3), LoseAnswer())
    rows = [{"url": urls[0], "key": f"k{number}", "name": "n"} for number in range(10)]
    async with (
        sandbox_and_client(lost) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        ended = await run_rows(livepeer, tmp_path, *rows)
        assert {it.state for it in ended} == {RowState.READY}
        assert len({it.asset_id for it in ended}) == 10
        assert len(await assets_of(livepeer)) == 10


async def test_row_relayed_by_an_earlier_run_is_verified(urls, tmp_path):
    wrong = Fault(On(asset="n"), WrongSize(-7))
    row = {"url": urls[0], "key": "k", "name": "n"}
    async with (
        sandbox_and_client(wrong) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        (sent,) = await run_rows(livepeer, tmp_path, row, relay=True, wait=False)
        assert sent.error is None
        for relay in (True, False):
            (ended,) = await run_rows(livepeer, tmp_path, row, relay=relay)
            assert isinstance(ended.error, IntegrityError)


async def test_encrypted_relay_is_not_provable(urls, tmp_path):
    decrypted = Fault(On(asset="n"), WrongSize(-7))
    access = {"playbackPolicy": {"type": "jwt"}, "encryption": {"encryptedKey": "aGVsbG8="}}
    row = {"url": urls[0], "key": "k", "name": "n", **access}
    async with (
        sandbox_and_client(decrypted) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        await run_rows(livepeer, tmp_path, row, relay=True, wait=False)
        (ended,) = await run_rows(livepeer, tmp_path, row)
        assert (ended.error, ended.verified) == (None, "not provable")


async def test_uploaded_relay_is_verified_by_size(urls, tmp_path):
    row = {"url": urls[0], "key": "k", "name": "n"}
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        await run_rows(livepeer, tmp_path, row, relay=True, wait=False)
        # The origin may be gone by now.
        (ended,) = await run_rows(livepeer, tmp_path, row, relay=True)
        assert (ended.state, ended.verified) == (RowState.READY, "size")


@pytest.mark.parametrize("relay", [True, False])
async def test_key_with_another_url_is_an_error(urls, tmp_path, relay):
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        (first,) = await run_rows(livepeer, tmp_path, {"url": urls[0], "key": "k"}, relay=relay)
        signed = {"url": f"{urls[0]}?sig=2", "key": "k"}
        (again,) = await run_rows(livepeer, tmp_path, signed, relay=relay)
        assert (again.is_earlier, again.asset_id) == (True, first.asset_id)
        (other,) = await run_rows(livepeer, tmp_path, {"url": urls[1], "key": "k"}, relay=relay)
        assert isinstance(other.error, ConfigurationError)
        assert await assets_of(livepeer) == [first.asset_id]


async def test_next_run_uses_the_new_signature_of_a_url(tmp_path):
    def origin(request):
        is_good = request.target.endswith("?sig=new")
        return http_response(VIDEO) if is_good else http_response(status="403 Forbidden")

    async with (
        serve_http(origin) as server,
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        rows = [{"url": f"{server.origin}/a.mp4?sig={sig}", "key": "k"} for sig in ("old", "new")]
        (failed,) = await run_rows(livepeer, tmp_path, rows[0], reprocess=0)
        assert failed.error.is_retryable
        (ended,) = await run_rows(livepeer, tmp_path, rows[1])
        assert ended.state is RowState.READY
        assert await assets_of(livepeer) == [ended.asset_id]
    assert [request.target for request in server.requests] == ["/a.mp4?sig=old", "/a.mp4?sig=new"]


async def test_failed_import_can_be_relayed(urls, tmp_path):
    row = {"url": urls[0], "key": "k", "name": "n"}
    broken = Fault(On(asset="n", times=1), FINAL)
    async with (
        sandbox_and_client(broken) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        (failed,) = await run_rows(livepeer, tmp_path, row)
        (again,) = await run_rows(livepeer, tmp_path, row)
        assert failed.state is again.state is RowState.FAILED
        (relayed,) = await run_rows(livepeer, tmp_path, row, relay=True)
        assert relayed.state is RowState.READY
        assert await assets_of(livepeer) == [relayed.asset_id]


async def test_import_that_fails_after_upload_is_relayed(urls, tmp_path):
    """The earlier run didn't wait for the processing."""
    row = {"url": urls[0], "key": "k", "name": "n"}
    broken = Fault(On(asset="n", times=1), FINAL)
    async with (
        sandbox_and_client(broken) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        (uploaded,) = await run_rows(livepeer, tmp_path, row, wait=False)
        await until(lambda: sandbox.assets[0].phase == "failed")
        (relayed,) = await run_rows(livepeer, tmp_path, row, relay=True)
        assert (uploaded.state, relayed.state) == (RowState.UPLOADED, RowState.READY)
        assert await assets_of(livepeer) == [relayed.asset_id]


async def test_failed_row_is_not_finished_without_wait(urls, tmp_path):
    row = {"url": urls[0], "key": "k", "name": "n"}
    broken = Fault(On(asset="n"), FINAL)
    async with (
        sandbox_and_client(broken) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        await run_rows(livepeer, tmp_path, row)
        (ended,) = await run_rows(livepeer, tmp_path, row, wait=False)
        assert not ended.is_earlier
