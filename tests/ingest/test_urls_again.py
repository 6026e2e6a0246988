"""URLs whose requests or answers were lost, and runs that go on after others: one asset each."""

import anyio
import pytest

from ingest.running import RUN_SECONDS, run_rows, write_rows
from livepeer_async import ConfigurationError, IntegrityError, NewAsset
from livepeer_async.ingest import Halted, RowEnded, RowStarted, RowState, ingest, ingestion
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
def short_pause(monkeypatch):
    monkeypatch.setattr(ingestion, "PAUSE", 0.05)


@pytest.fixture
async def urls():
    """Serve two videos: those of another sandbox's assets."""
    async with sandbox_and_client() as (_, livepeer):
        made = [await livepeer.upload(VIDEO, name) for name in ("a", "b")]
        yield [(await livepeer.assets.get(asset.id)).download_url for asset in made]


async def assets_of(livepeer):
    return [asset.id async for asset in livepeer.assets.list()]


@pytest.mark.parametrize("has_journal", [True, False])
async def test_a_lost_answer_and_an_outage_make_no_second_asset(urls, tmp_path, has_journal):
    lost = Fault(On(path=FETCH, times=1), LoseAnswer())
    journal = tmp_path / "journal" if has_journal else None
    manifest = write_rows(tmp_path, {"url": urls[0], "key": "k"})
    ended = []
    async with sandbox_and_client() as (sandbox, _), client_for(sandbox, journal) as livepeer:
        with anyio.fail_after(RUN_SECONDS):
            async with ingest(livepeer, manifest) as events:
                async for event in events:
                    if isinstance(event, RowStarted) and not lost.fired:
                        cut = Fault(On(method="GET", path="/asset$"), CutConnection())
                        sandbox.faults.extend([lost, cut])
                    if isinstance(event, Halted):
                        sandbox.faults.clear()
                    if isinstance(event, RowEnded):
                        ended.append(event.state)
        assert lost.fired
        sandbox.faults.clear()
        assert len(await assets_of(livepeer)) == 1
    assert ended == [RowState.READY if has_journal else RowState.FAILED]


async def test_an_import_that_is_cancelled_on_its_way_is_found_by_the_next_run(urls, tmp_path):
    late = Fault(On(path=FETCH, times=1), CutAnswer(after_bytes=0, seconds=VERY_LONG))
    wanted, options = NewAsset("a.mp4"), UploadOptions(key="k")
    row = {"url": urls[0], "key": "k", "name": "a.mp4"}
    async with sandbox_and_client(late) as (sandbox, _):
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            await cancel_when(
                lambda: sandbox.assets, livepeer.url_importer.import_url, urls[0], wanted, options
            )
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            (ended,) = await run_rows(livepeer, tmp_path, row)
            assert ended.state is RowState.READY
            assert await assets_of(livepeer) == [ended.asset_id]


async def test_nobody_gets_an_asset_that_others_may_play(urls, tmp_path):
    """The request for the private one is lost; the public one of the same name is no answer."""
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


async def test_rows_of_one_url_and_name_get_an_asset_each(urls, tmp_path):
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


async def test_a_relayed_row_is_compared_also_where_an_earlier_run_has_sent_it(urls, tmp_path):
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


async def test_an_encrypted_row_that_was_relayed_cant_be_compared(urls, tmp_path):
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


async def test_a_relayed_row_that_arrived_is_proved_by_its_size(urls, tmp_path):
    row = {"url": urls[0], "key": "k", "name": "n"}
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        await run_rows(livepeer, tmp_path, row, relay=True, wait=False)
        # Its origin may be gone by now.
        (ended,) = await run_rows(livepeer, tmp_path, row, relay=True)
        assert (ended.state, ended.verified) == (RowState.READY, "size")


@pytest.mark.parametrize("relay", [True, False])
async def test_another_url_under_a_key_isnt_taken_for_done(urls, tmp_path, relay):
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


async def test_a_signature_that_had_run_out_is_replaced_by_the_next_runs(tmp_path):
    def origin(asked):
        is_good = asked.target.endswith("?sig=new")
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
    assert [asked.target for asked in server.requests] == ["/a.mp4?sig=old", "/a.mp4?sig=new"]


async def test_what_the_server_made_nothing_of_may_be_relayed(urls, tmp_path):
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


async def test_what_arrived_and_failed_later_is_relayed(urls, tmp_path):
    """The earlier run didn't wait for the end of the processing."""
    row = {"url": urls[0], "key": "k", "name": "n"}
    broken = Fault(On(asset="n", times=1), FINAL)
    async with (
        sandbox_and_client(broken) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        (arrived,) = await run_rows(livepeer, tmp_path, row, wait=False)
        await until(lambda: sandbox.assets[0].phase == "failed")
        (relayed,) = await run_rows(livepeer, tmp_path, row, relay=True)
        assert (arrived.state, relayed.state) == (RowState.ARRIVED, RowState.READY)
        assert await assets_of(livepeer) == [relayed.asset_id]


async def test_what_has_failed_hasnt_arrived(urls, tmp_path):
    row = {"url": urls[0], "key": "k", "name": "n"}
    broken = Fault(On(asset="n"), FINAL)
    async with (
        sandbox_and_client(broken) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        await run_rows(livepeer, tmp_path, row)
        (ended,) = await run_rows(livepeer, tmp_path, row, wait=False)
        assert not ended.is_earlier
