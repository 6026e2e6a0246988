"""Unfinished uploads in the journal: listed, resumed and discarded."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import anyio
import pytest

from livepeer_async import Encryption, NewAsset, PlaybackPolicy, Stage, UploadStopped, errors
from livepeer_async.sandbox import Answer, Fault, On, Slow, Stall
from support.clock import until
from support.constants import VERY_LONG
from support.records import ON_BOTH
from support.sandbox import (
    PART,
    SMALL_S3,
    client_for,
    is_stored,
    make_bytes,
    sandbox_and_client,
    tus_requests,
)
from support.streams import split

pytestmark = pytest.mark.anyio

PROGRAM = Path(__file__).with_name("owner_program.py")
VIDEO = make_bytes(6 * PART + 100)
SECRET = "f00dcafe" * 8


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


@pytest.fixture
async def served(journal):
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as served:
        yield served


async def stop(livepeer, source, new_asset=None, **options):
    """Start an upload and stop it; return its key."""
    upload = await livepeer.start_upload(source, new_asset, **options)
    upload.stop()
    with pytest.raises(UploadStopped):
        await upload.wait()
    return upload


@ON_BOTH
async def test_stopped_upload_is_listed_without_its_url(served, path):
    _, livepeer = served
    began = time.time()
    upload = await stop(livepeer, path, "Talk")
    (found,) = await livepeer.unfinished()
    assert found.key == str(path)
    assert (found.name, found.asset_id) == ("Talk", upload.asset.id)
    assert found.state is Stage.UPLOADING
    assert began <= found.since <= time.time()
    assert found.host == socket.gethostname()
    assert not found.is_running
    assert upload.upload_url not in repr(found)
    assert not hasattr(found, "upload_url")


@ON_BOTH
async def test_running_and_finished_uploads(path, journal):
    held = Fault(On(method="PATCH", asset="running"), Stall(VERY_LONG))
    async with sandbox_and_client(held, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        await livepeer.upload(path)
        await livepeer.upload(VIDEO, key="bytes", wait=False)
        await livepeer.upload(split(VIDEO, 1000), length=len(VIDEO), key="stream")
        running = await livepeer.start_upload(VIDEO, "running", key="running")
        async with client_for(sandbox, journal) as other:
            for client in (livepeer, other):
                (found,) = await client.unfinished()
                assert (found.key, found.is_running) == ("running", True)
                with pytest.raises(errors.UploadInUse):
                    await client.discard("running")
                with pytest.raises(errors.UploadInUse):
                    await client.resume_upload("running", VIDEO)
        await running.abort()
        assert await livepeer.unfinished() == []


async def test_oldest_upload_is_listed_first(served):
    _, livepeer = served
    for key in ("b", "a", "c"):
        await stop(livepeer, VIDEO, key=key)
    assert [found.key for found in await livepeer.unfinished()] == ["b", "a", "c"]


@ON_BOTH
async def test_path_key_resumes_without_a_source(served, path):
    sandbox, livepeer = served
    await stop(livepeer, path, NewAsset("Talk", creator_id="c"))
    upload = await livepeer.resume_upload(str(path))
    asset = (await upload.wait()).asset
    assert is_stored(sandbox, asset, VIDEO)
    assert asset.name == "Talk"
    assert len(sandbox.assets) == 1
    assert await livepeer.unfinished() == []


async def test_other_key_needs_its_source(served):
    sandbox, livepeer = served
    await stop(livepeer, VIDEO, key="k")
    with pytest.raises(errors.ConfigurationError, match="'k' needs its source") as caught:
        await livepeer.resume_upload("k")
    assert caught.value.can_resume
    upload = await livepeer.resume_upload("k", VIDEO)
    assert is_stored(sandbox, (await upload.wait()).asset, VIDEO)
    with pytest.raises(errors.ConfigurationError, match="has no upload of 'unknown'"):
        await livepeer.resume_upload("unknown")


@pytest.mark.parametrize("kind", ["bytes", "stream", "deleted path"])
async def test_processing_upload_needs_no_source(path, journal, kind):
    source, options = {
        "bytes": (VIDEO, {"key": "k"}),
        "stream": (split(VIDEO, 1000), {"key": "k", "length": len(VIDEO)}),
        "deleted path": (path, {"key": str(path)}),
    }[kind]
    settings = SMALL_S3 | {"processing_seconds": 0.3}
    async with sandbox_and_client(client={"journal": journal}, **settings) as (sandbox, livepeer):
        upload = await livepeer.start_upload(source, **options)

        async def is_processing():
            return [it.state for it in await livepeer.unfinished()] == ["processing"]

        await until(is_processing)
        upload.stop()
        with pytest.raises(UploadStopped) as caught:
            await upload.wait()
        assert caught.value.can_resume
        path.unlink()
        (found,) = await livepeer.unfinished()
        assert found.state is Stage.PROCESSING
        sent = tus_requests(sandbox)
        result = await (await livepeer.resume_upload(found.key)).wait()
        assert result.asset.phase == "ready"
        assert result.verified == "size"
        assert tus_requests(sandbox) == sent
        # The same call again returns the finished asset.
        again = await livepeer.resume_upload(found.key)
        assert (await again.wait()).asset.id == result.asset.id


async def test_missing_file_can_be_resumed_later(served, path):
    sandbox, livepeer = served
    await stop(livepeer, path)
    away = path.rename(path.with_suffix(".away"))
    with pytest.raises(errors.SourceNotReadable) as caught:
        await livepeer.resume_upload(str(path))
    assert caught.value.can_resume
    away.rename(path)
    upload = await livepeer.resume_upload(str(path))
    assert is_stored(sandbox, (await upload.wait()).asset, VIDEO)
    assert len(sandbox.assets) == 1


async def test_lost_upload_begins_again_with_its_fields(path, journal):
    lost = Fault(On(method="HEAD", times=1), Answer(404))
    async with sandbox_and_client(lost, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        policy = PlaybackPolicy(type="jwt")
        await stop(livepeer, path, NewAsset("Talk", creator_id="c", playback_policy=policy))
        result = await (await livepeer.resume_upload(str(path))).wait()
        assert is_stored(sandbox, result.asset, VIDEO)
        asset = await livepeer.assets.get(result.asset.id)
        assert (asset.name, asset.creator_id.value) == ("Talk", "c")
        assert asset.playback_policy.type == "jwt"
        assert [it.is_deleted for it in sandbox.assets] == [True, False]


async def test_secret_fields_are_not_stored(path, journal):
    lost = Fault(On(method="HEAD", nth=2), Answer(404))
    async with sandbox_and_client(lost, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        encryption = Encryption(encrypted_key=SECRET)
        new_asset = NewAsset(
            "Talk", encryption=encryption, playback_policy=PlaybackPolicy(type="jwt")
        )
        await stop(livepeer, path, new_asset)
        files = [it.read_bytes() for it in journal.parent.glob("uploads.journal*")]
        assert not any(SECRET.encode() in content for content in files)
        # Resumed without them.
        upload = await livepeer.resume_upload(str(path))
        upload.stop()
        with pytest.raises(UploadStopped):
            await upload.wait()
        # But a new asset can't be requested.
        upload = await livepeer.resume_upload(str(path))
        with pytest.raises(errors.ConfigurationError, match="must begin again") as caught:
            await upload.wait()
        assert not caught.value.can_resume
        assert is_stored(sandbox, await livepeer.upload(path, new_asset), VIDEO)


@ON_BOTH
async def test_discarded_upload_is_terminated_and_deleted(served, path):
    sandbox, livepeer = served
    await stop(livepeer, path)
    assert await livepeer.discard(str(path))
    assert "DELETE" in {method for method, _ in tus_requests(sandbox)}
    assert sandbox.assets[0].is_deleted
    assert await livepeer.unfinished() == []
    assert await livepeer.leftovers() == []
    assert not await livepeer.discard(str(path))


async def test_discarding_keeps_a_ready_asset(served, path):
    sandbox, livepeer = served
    await livepeer.upload(path, key="a")
    await livepeer.upload(path, key="b", wait=False)
    await livepeer.assets.wait(sandbox.assets[1].id)
    for key in ("a", "b"):
        assert not await livepeer.discard(key)
    assert not any(asset.is_deleted for asset in sandbox.assets)
    assert await livepeer.journal.records() == []


@ON_BOTH
async def test_failed_deletion_is_raised_and_remembered(path, journal):
    refused = Fault(On(method="DELETE", path="/asset/[^u]", times=1), Answer(403))
    async with sandbox_and_client(refused, client={"journal": journal}, **SMALL_S3) as (
        _,
        livepeer,
    ):
        await stop(livepeer, path)
        with pytest.raises(errors.Forbidden):
            await livepeer.discard(str(path))
        assert [it.key for it in await livepeer.leftovers()] == [str(path)]


async def test_calls_need_a_journal():
    async with sandbox_and_client() as (_, livepeer):
        for call in (livepeer.unfinished(), livepeer.resume_upload("k"), livepeer.discard("k")):
            with pytest.raises(errors.ConfigurationError, match="needs a journal"):
                await call


async def test_killed_process_is_resumed_by_another(tmp_path, journal):
    slow = Fault(On(method="PATCH"), Slow(PART * 8))
    paths = [tmp_path / f"{number}.mp4" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(make_bytes(6 * PART + 100, seed=number))
    async with sandbox_and_client(slow, **SMALL_S3) as (sandbox, _):
        program = [sys.executable, PROGRAM, sandbox.api_key, sandbox.base_url, journal, *paths]
        env = os.environ | {"PYTHONPATH": str(PROGRAM.parents[1])}
        async with await anyio.open_process(program, env=env, stderr=None) as process:
            assert await process.stdout.receive() == b"started\n"
            await until(lambda: sum(status == 204 for _, status in tus_requests(sandbox)) >= 3)
            process.send_signal(signal.SIGKILL)
        async with client_for(sandbox, journal) as livepeer:
            await until(lambda: all(request.is_over for request in sandbox.requests))
            before = len(tus_requests(sandbox))
            found = await livepeer.unfinished()
            assert [it.key for it in found] == [str(path) for path in paths]
            assert not any(it.is_running for it in found)
            uploads = [await livepeer.resume_upload(it.key) for it in found]
            assert [it.asset.id for it in uploads] == [it.asset_id for it in found]
            for path, upload in zip(paths, uploads, strict=True):
                assert is_stored(sandbox, (await upload.wait()).asset, path.read_bytes())
        assert len(sandbox.assets) == 3
        sent = sum(r.received for r in sandbox.requests if r.method == "PATCH")
        # One chunk for each upload was in flight.
        assert sent <= sum(path.stat().st_size for path in paths) + 3 * 4 * PART
        assert {method for method, _ in tus_requests(sandbox)[before:]} == {"HEAD", "PATCH"}
