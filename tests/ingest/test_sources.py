"""Ingestions of URLs and of odd manifests, and shared journals."""

from contextlib import asynccontextmanager

import pytest

from ingest.running import events_of, run, write_rows
from livepeer_async import AssetFailed, JournalError, SourceNotReadable
from livepeer_async.ingest import BadRow, Checked, RowEnded, RowState, open_manifest
from livepeer_async.sandbox import CutConnection, Fault, On, Redirect
from support.constants import MIB
from support.sandbox import client_for, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(300_000)


@asynccontextmanager
async def origin(*faults):
    """Serve a video, as the asset of another sandbox."""
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        asset = await livepeer.upload(VIDEO, "origin.mp4")
        yield sandbox, (await livepeer.assets.get(asset.id)).download_url


async def run_one(livepeer, manifest, **options):
    """Run a manifest of one row and return its `RowEnded` event."""
    (ended,) = events_of(RowEnded, await run(livepeer, manifest, **options))
    return ended


def count_requests(sandbox, ending):
    return sum(r.path.endswith(ending) for r in sandbox.requests)


async def test_server_fetches_url_once(tmp_path):
    async with origin() as (_, url), sandbox_and_client() as (sandbox, _):
        manifest = write_rows(tmp_path, {"url": url, "name": "fetched.mp4"})
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            ended = await run_one(livepeer, manifest)
            asset = await livepeer.assets.get(ended.asset_id)
            requests = len(sandbox.requests)
            again = await run_one(livepeer, manifest)
        assert (ended.state, ended.error) == (RowState.READY, None)
        assert asset.name == "fetched.mp4"
        assert is_stored(sandbox, asset, VIDEO)
        assert (again.state, again.is_earlier) == (RowState.READY, True)
        assert again.asset_id == ended.asset_id
        assert len(sandbox.requests) == requests
        assert count_requests(sandbox, "/upload/url") == 1


async def test_relayed_url_is_uploaded_from_here(tmp_path):
    cut = Fault(On(path="download.mp4$", times=1), CutConnection())
    async with origin(cut) as (other, url), sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            ended = await run_one(livepeer, write_rows(tmp_path, {"url": url}), relay=True)
            asset = await livepeer.assets.get(ended.asset_id)
        assert (ended.state, ended.length, ended.verified) == (RowState.READY, len(VIDEO), "size")
        assert is_stored(sandbox, asset, VIDEO)
        assert asset.name == "download.mp4"
        assert count_requests(sandbox, "/upload/url") == 0
        assert count_requests(other, "download.mp4") == 2


async def test_relay_follows_redirects(tmp_path):
    async with origin() as (other, url):
        other.faults.append(Fault(On(path="download.mp4$", times=1), Redirect(url)))
        async with sandbox_and_client() as (sandbox, livepeer):
            ended = await run_one(livepeer, write_rows(tmp_path, {"url": url}), relay=True)
            assert is_stored(sandbox, await livepeer.assets.get(ended.asset_id), VIDEO)


async def test_redirect_without_relay_is_left_to_the_server(tmp_path):
    """The sandbox doesn't follow redirects, so the row fails."""
    async with origin() as (other, url):
        other.faults.append(Fault(On(path="download.mp4$"), Redirect(url)))
        async with sandbox_and_client() as (sandbox, livepeer):
            ended = await run_one(livepeer, write_rows(tmp_path, {"url": url}), reprocess=1)
            assert isinstance(ended.error, AssetFailed)
            assert count_requests(sandbox, "/retry") == 1


async def test_missing_url_does_not_affect_other_rows(tmp_path):
    async with origin() as (_, url), sandbox_and_client() as (_, livepeer):
        manifest = tmp_path / "two.csv"
        manifest.write_text(f"url,name\n{url}x,a\n{url},b\n")
        events = await run(livepeer, manifest, relay=True)
    ended = {it.row.new_asset.name: it for it in events_of(RowEnded, events)}
    assert isinstance(ended["a"].error, SourceNotReadable)
    assert ended["b"].state is RowState.READY


async def test_fields_of_a_row_reach_the_asset(tmp_path):
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    fields = {"path": "a.mp4", "name": "A", "creatorId": "me", "playbackPolicy": {"type": "jwt"}}
    async with sandbox_and_client() as (_, livepeer):
        ended = await run_one(livepeer, write_rows(tmp_path, fields))
        asset = await livepeer.assets.get(ended.asset_id)
    assert (asset.name, asset.playback_policy.type, asset.creator_id.value) == ("A", "jwt", "me")


async def test_journal_can_serve_many_manifests(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.mp4").write_bytes(VIDEO)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        first = await run_one(livepeer, tmp_path / "a")
        second = await run_one(livepeer, tmp_path / "b")
        again = await run_one(livepeer, tmp_path / "a")
    assert not first.is_earlier
    assert not second.is_earlier
    assert again.is_earlier
    assert again.asset_id == first.asset_id


async def test_journal_of_another_account_is_rejected(tmp_path):
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    async with sandbox_and_client() as (sandbox, _), client_for(sandbox, tmp_path / "journal"):
        pass
    async with sandbox_and_client() as (sandbox, _):
        with pytest.raises(JournalError, match="another API key"):
            async with client_for(sandbox, tmp_path / "journal") as livepeer:
                await run(livepeer, tmp_path)
        assert not sandbox.requests


ODD = {
    "byte order mark and CRLF": "path,name\r\na.mp4,Ä\r\n".encode("utf-8-sig"),
    "UTF-16": "path,name\na.mp4,Ä\n".encode("utf-16"),
    "semicolons": "path;name\na.mp4;Ä\n".encode(),
}


@pytest.mark.parametrize("kind", ODD)
async def test_tables_of_spreadsheets_are_read(tmp_path, kind):
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    manifest = tmp_path / "rows.csv"
    manifest.write_bytes(ODD[kind])
    async with sandbox_and_client() as (_, livepeer):
        ended = await run_one(livepeer, manifest)
        assert (await livepeer.assets.get(ended.asset_id)).name == "Ä"


async def test_every_bad_row_is_reported_and_good_ones_run(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(VIDEO)
    (tmp_path / "outside.mp4").write_bytes(VIDEO)
    (folder / "loop.mp4").symlink_to("loop.mp4")
    lines = [
        b'{"path": "a.mp4", "key": "k"}',
        b'{"path": "a.mp4", "key": "k", "name": "other"}',
        b'{"path": "../outside.mp4"}',
        b'{"path": "loop.mp4"}',
        b'{"paht": "a.mp4"}',
        b'{"path": "a.mp4", "name": "\xff"}',
        b'{"path": "a.mp4", "name": "' + b"x" * MIB + b'"}',
        b'{"path": "a.mp4", "key": "l"}',
    ]
    manifest = folder / "rows.jsonl"
    manifest.write_bytes(b"\r\n".join(lines))
    async with sandbox_and_client() as (_, livepeer):
        events = await run(livepeer, manifest)
        outside = await run(livepeer, open_manifest(manifest, allow_outside=True))
    bad = {it.location.rpartition(":")[2]: it.message for it in events_of(BadRow, events)}
    assert list(bad) == ["2", "3", "4", "5", "6", "7"]
    expected = [
        "already used in line 1",
        "outside of",
        "Too many levels",
        "mean path",
        "UTF-8",
        "1 MiB",
    ]
    for message, part in zip(bad.values(), expected, strict=True):
        assert part in message
    assert [it.state for it in events_of(RowEnded, events)] == [RowState.READY] * 2
    (checked,) = events_of(Checked, outside)
    assert (checked.rows, checked.bad) == (3, 5)


async def test_useless_asset_is_deleted_at_the_end(tmp_path):
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        useless = (await livepeer.upload(VIDEO, "b.mp4", key="b")).id
        (record,) = await livepeer.journal.records()
        await livepeer.journal.abandon(record, is_useless=True)
        ended = await run_one(livepeer, tmp_path)
        assert [asset.id async for asset in livepeer.assets.list()] == [ended.asset_id]
        assert useless != ended.asset_id
        assert await livepeer.journal.orphans() == []


async def test_journal_error_during_cleanup_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):

        async def orphans():
            raise JournalError("the disk is full", path="journal")

        monkeypatch.setattr(livepeer.journal, "orphans", orphans)
        assert (await run_one(livepeer, tmp_path)).state == RowState.READY
