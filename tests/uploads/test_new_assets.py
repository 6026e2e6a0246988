"""What `new_asset` may be, for each call that takes it, and what the journal makes of it."""

import hashlib
import json

import pytest
from msgspec.structs import replace

from livepeer_async import (
    AssetPatch,
    ConfigurationError,
    KeyTaken,
    NewAsset,
    PlaybackPolicy,
    UploadJob,
)
from livepeer_async.ingest import ingest
from support.sandbox import client_for, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(5000)
ORIGINS = ["https://a.example"]
POLICY = PlaybackPolicy(type="jwt", allowed_origins=tuple(ORIGINS))
FIELDS = {"name": "a", "playback_policy": {"type": "jwt", "allowed_origins": ORIGINS}}
MISSPELLED = {"name": "a", "playback_policy": {"type": "jwt", "webhookID": "w1"}}


async def use_upload(livepeer, new_asset):
    return await livepeer.upload(VIDEO, new_asset)


async def use_begin_upload(livepeer, new_asset):
    async with livepeer.begin_upload(VIDEO, new_asset) as upload:
        pass
    return upload.result.asset


async def use_upload_many(livepeer, new_asset):
    async with livepeer.upload_many([UploadJob(VIDEO, new_asset)]) as results:
        (result,) = [result async for result in results]
    return result.unwrap()


async def use_request_upload(livepeer, new_asset):
    return (await livepeer.assets.request_upload(new_asset)).asset


async def use_upload_from_url(livepeer, new_asset):
    return (await livepeer.assets.upload_from_url("https://h.example/a.mp4", new_asset)).asset


CALLS = [use_upload, use_begin_upload, use_upload_many, use_request_upload, use_upload_from_url]


@pytest.mark.parametrize("call", CALLS)
async def test_mapping_and_struct_make_the_same_asset(call):
    nested = NewAsset("a", playback_policy=FIELDS["playback_policy"])
    async with sandbox_and_client() as (_, livepeer):
        for new_asset in (FIELDS, nested, NewAsset("a", playback_policy=POLICY)):
            asset = await call(livepeer, new_asset)
            assert asset.name == "a"
            assert asset.playback_policy == POLICY


@pytest.mark.parametrize("call", CALLS)
async def test_misspelled_field_ends_the_call_before_any_request(call):
    async with sandbox_and_client() as (sandbox, livepeer):
        for new_asset in (MISSPELLED, NewAsset(**MISSPELLED)):
            with pytest.raises(ConfigurationError, match="did you mean webhookId"):
                await call(livepeer, new_asset)
        assert not sandbox.requests


async def test_update_takes_a_mapping():
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "a")
        for patch in ({"name": "b"}, AssetPatch(name="b")):
            assert (await livepeer.assets.update(asset.id, patch)).name == "b"
        with pytest.raises(ConfigurationError, match="patch: unknown field 'nam'"):
            await livepeer.assets.update(asset.id, {"nam": "b"})


async def test_row_takes_both_names_at_every_depth(tmp_path):
    (tmp_path / "a.mp4").write_bytes(VIDEO)
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text(json.dumps({"path": "a.mp4", **FIELDS}))
    async with sandbox_and_client() as (sandbox, livepeer):
        async with ingest(livepeer, manifest) as events:
            async for _ in events:
                pass
        (asset,) = sandbox.assets
        found = await livepeer.assets.get(asset.id)
        assert found.playback_policy == POLICY


async def test_import_is_named_after_the_url():
    async with sandbox_and_client() as (_, livepeer):
        url = "https://h.example/2024/A%20talk.mp4?signature=s3cret"
        ticket = await livepeer.assets.upload_from_url(url)
        assert ticket.asset.name == "A talk.mp4"
        ticket = await livepeer.assets.upload_from_url(url, {"creator_id": "u"})
        assert ticket.asset.name == "A talk.mp4"


@pytest.mark.parametrize("first", [0, 1, 2, 3])
async def test_journal_treats_all_public_policies_alike(tmp_path, first):
    public = PlaybackPolicy(type="public")
    same = [
        NewAsset("a"),
        NewAsset("a", playback_policy=None),
        NewAsset("a", playback_policy=public),
        {"name": "a", "playbackPolicy": {"type": "public", "allowedOrigins": []}},
    ]
    async with sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            asset = await livepeer.upload(VIDEO, same[first], key="k")
            for new_asset in same:
                assert (await livepeer.upload(VIDEO, new_asset, key="k")).id == asset.id
            with pytest.raises(KeyTaken):
                await livepeer.upload(VIDEO, {"playback_policy": {"type": "jwt"}}, key="k")
        assert len(sandbox.assets) == 1


@pytest.mark.parametrize("policy", [b"null", b'{"type":"public"}'])
async def test_records_of_older_versions_have_the_same_access(tmp_path, policy):
    access = hashlib.sha256(b'{"playback_policy":%b}' % policy).hexdigest()[:16]
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        asset = await livepeer.upload(VIDEO, "a", key="k")
        (record,) = await livepeer.journal.records()
        await livepeer.journal.write(replace(record, access=access))
        assert (await livepeer.upload(VIDEO, "a", key="k")).id == asset.id
