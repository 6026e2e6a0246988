"""Imports: the server fetches a URL."""

import pytest
from msgspec.structs import replace

from livepeer_async import (
    AmbiguousRequest,
    AssetFailed,
    ConfigurationError,
    NewAsset,
    PlaybackPolicy,
    RetriesExhausted,
)
from livepeer_async.journal.records import RecordState
from livepeer_async.sandbox import CutConnection, Fault, LoseAnswer, On
from livepeer_async.scheduling.slots import SlotQueue
from livepeer_async.uploads.options import UploadOptions
from support.constants import FAST_RETRY
from support.sandbox import PART, client_for, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(50_000)
FETCH = "/asset/upload/url$"


async def import_url(livepeer, url, new_asset="a.mp4", *, key="k", slot=None, **options):
    if isinstance(new_asset, str):
        new_asset = NewAsset(new_asset)
    return await livepeer.uploads.import_url(
        url, new_asset, UploadOptions(**options), key=key, slot=slot
    )


def count_requests(sandbox):
    return sum(r.path.endswith("/upload/url") for r in sandbox.requests)


async def test_server_fetches_the_url(url):
    seen = []
    async with sandbox_and_client() as (sandbox, livepeer):
        with SlotQueue(livepeer.throttle).register() as participant:
            slot = participant.start(None)
            result = await import_url(livepeer, url, on_progress=seen.append, slot=slot)
            assert slot not in participant.held
        assert result.error is None
        assert (result.asset.phase, result.attempts) == ("ready", 1)
        assert is_stored(sandbox, result.asset, VIDEO)
    assert seen[-1].stage == "ready"
    assert seen[-1].asset_id == result.asset.id


async def test_key_is_imported_once(url, tmp_path):
    async with sandbox_and_client() as (sandbox, _):
        results = []
        for wait in (False, True, True):
            async with client_for(sandbox, tmp_path / "journal") as livepeer:
                results.append(await import_url(livepeer, url, wait=wait))
                (record,) = await livepeer.journal.records()
        assert record.state == "ready"
        assert [result.attempts for result in results] == [1, 0, 0]
        assert len({result.asset.id for result in results}) == 1
        assert count_requests(sandbox) == 1


async def test_journal_is_only_read_after_a_lost_response(url, tmp_path, monkeypatch):
    lost = Fault(On(path=FETCH, nth=3), LoseAnswer())
    async with (
        sandbox_and_client(lost) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        read, readings = livepeer.journal.records, []

        async def records():
            readings.append(count_requests(sandbox))
            return await read()

        monkeypatch.setattr(livepeer.journal, "records", records)
        for key in ("a", "b", "c"):
            assert (await import_url(livepeer, url, key=key)).error is None
        assert readings == [3]


async def test_lost_response_makes_no_second_asset(url, tmp_path):
    lost = Fault(On(path=FETCH, times=1), LoseAnswer())
    async with (
        sandbox_and_client(lost) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        result = await import_url(livepeer, url)
        assert result.error is None
        assert count_requests(sandbox) == 1
        assert [asset.id async for asset in livepeer.assets.list()] == [result.asset.id]
        assert await livepeer.leftovers() == []


async def test_unconfirmed_import_is_found_by_the_next_run(url, tmp_path):
    lost = Fault(On(path=FETCH), LoseAnswer())
    hidden = Fault(On(path=r"/asset$", times=FAST_RETRY.attempts + 1), LoseAnswer())
    async with (
        sandbox_and_client(lost, hidden) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        result = await import_url(livepeer, url)
        assert isinstance(result.error, AmbiguousRequest)
        # The next run looks for the asset before it sends a request.
        before = count_requests(sandbox)
        again = await import_url(livepeer, url)
        assert again.error is None
        assert count_requests(sandbox) == before
        assert [asset.id async for asset in livepeer.assets.list()] == [again.asset.id]


async def test_failed_fetch_is_reprocessed(tmp_path):
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        result = await import_url(livepeer, "http://127.0.0.1:1/a.mp4", reprocess=1)
        assert isinstance(result.error, AssetFailed)
        assert result.asset.phase == "failed"
        assert sum(r.path.endswith("/retry") for r in sandbox.requests) == 1
        assert count_requests(sandbox) == 1


async def test_deleted_asset_is_imported_again(url, tmp_path):
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        first = await import_url(livepeer, url)
        await livepeer.assets.delete(first.asset.id)
        second = await import_url(livepeer, url)
        assert second.error is None
        assert second.asset.id != first.asset.id


async def test_different_playback_policy_is_refused(url, tmp_path):
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        await import_url(livepeer, url)
        private = NewAsset("a.mp4", playback_policy=PlaybackPolicy(type="jwt"))
        result = await import_url(livepeer, url, private)
        assert isinstance(result.error, ConfigurationError)


async def test_partial_upload_under_the_same_key_is_discarded(url, tmp_path):
    broken = Fault(On(method="PATCH"), CutConnection())
    async with (
        sandbox_and_client(broken) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        with pytest.raises(RetriesExhausted):
            await livepeer.upload(make_bytes(3 * PART), "big.mp4", key="k")
        (record,) = await livepeer.journal.records()
        result = await import_url(livepeer, url)
        assert result.error is None
        assert record.asset_id not in [asset.id async for asset in livepeer.assets.list()]


async def test_created_asset_is_resumed(url, tmp_path):
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        first = await import_url(livepeer, url)
        (record,) = await livepeer.journal.records()
        await livepeer.journal.write(replace(record, state=RecordState.ASSET_CREATED))
        again = await import_url(livepeer, url)
        assert (again.error, again.asset.id) == (None, first.asset.id)
        assert count_requests(sandbox) == 1
