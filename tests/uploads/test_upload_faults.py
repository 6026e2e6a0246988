"""Uploads through faults: they resume, restart, or name what can be resumed."""

import anyio
import pytest

from livepeer_async import errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox import Answer, ChangeHeaders, CutConnection, Fault, LoseAnswer, On
from livepeer_async.tus import TusClient
from livepeer_async.uploads import completion
from support.sandbox import (
    PART,
    SMALL_LIMITS,
    SMALL_S3,
    STORAGES,
    is_stored,
    make_bytes,
    sandbox_and_client,
    tus_requests,
)
from support.streams import split

pytestmark = pytest.mark.anyio

PATCH = On(method="PATCH", nth=2)
FAULTS = {
    "closed by FIN": CutConnection(after_bytes=1000, how="fin"),
    "closed by RST": CutConnection(after_bytes=PART, how="rst"),
    "response lost": LoseAnswer(),
    "409": Answer(409, b"Upload-Offset conflict\n"),
    "423": Answer(423),
    "429": Answer(429),
    "500 after": Answer(500, when="after"),
    "503": Answer(503, headers={"Retry-After": "0"}),
    "resumable 400": Answer(400, b"ERR_UPLOAD_INTERRUPTED: upload has been interrupted\n"),
    "no offset": ChangeHeaders(remove=("upload-offset",)),
    "invalid offset": ChangeHeaders(put={"upload-offset": "12x"}),
    "offset too large": ChangeHeaders(put={"upload-offset": "999999999"}),
}


@pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
@pytest.mark.parametrize("name", FAULTS)
async def test_upload_recovers_from_a_fault(storage, name):
    data = make_bytes(6 * PART + 99)
    async with sandbox_and_client(Fault(PATCH, FAULTS[name]), **storage) as (sandbox, livepeer):
        async with livepeer.begin_upload(data, "clip.mp4") as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.attempts == 1
        assert ("HEAD", 200) in tus_requests(sandbox)
        assert sandbox.violations == []


@pytest.mark.parametrize("status", [404, 410])
async def test_lost_upload_restarts(status):
    data = make_bytes(5 * PART)
    async with sandbox_and_client(Fault(PATCH, Answer(status))) as (sandbox, livepeer):
        async with livepeer.begin_upload(data, "clip.mp4") as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.attempts == 2
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]


async def test_upload_that_is_always_lost_ends_and_leaves_no_asset():
    async with sandbox_and_client(Fault(On(method="PATCH"), Answer(404))) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone) as caught:
            await livepeer.upload(make_bytes(5 * PART))
        assert len(sandbox.assets) == 1 + RetryPolicy().restarts
        assert all(asset.is_deleted for asset in sandbox.assets)
        assert caught.value.asset_id == sandbox.assets[-1].id


async def test_lost_upload_of_a_stream_raises_upload_gone():
    async with sandbox_and_client(Fault(PATCH, Answer(404))) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone):
            await livepeer.upload(split(make_bytes(5 * PART), PART), "stream", length=5 * PART)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


@pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
@pytest.mark.parametrize("known", [True, False])
async def test_stream_is_replayed_from_its_buffer(storage, known):
    data = make_bytes(6 * PART + 99)

    async with sandbox_and_client(Fault(PATCH, CutConnection(1000)), **storage) as (
        sandbox,
        livepeer,
    ):
        stream, length = split(data, 10_000), len(data) if known else None
        asset = await livepeer.upload(stream, "stream", length=length)
        assert is_stored(sandbox, asset, data)


async def test_exhausted_retries_name_the_resumable_upload():
    async with sandbox_and_client(Fault(On(method="PATCH"), Answer(500))) as (sandbox, livepeer):
        with pytest.raises(errors.RetriesExhausted) as caught:
            await livepeer.upload(make_bytes(5 * PART))
        assert caught.value.attempts == 6
        assert caught.value.upload_url.startswith(sandbox.base_url)
        assert caught.value.asset_id == sandbox.assets[0].id
        assert not sandbox.assets[0].is_deleted


async def test_refused_creation_leaves_no_asset():
    fault = Fault(On(method="POST", path="/upload/tus"), Answer(403, b"no\n"))
    async with sandbox_and_client(fault) as (sandbox, livepeer):
        with pytest.raises(errors.UploadRefused, match="403") as caught:
            await livepeer.upload(make_bytes(5 * PART))
        assert caught.value.status == 403
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


async def test_file_changed_during_the_upload_is_not_completed(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(make_bytes(6 * PART))

    def change(progress):
        if progress.sent > PART:
            path.write_bytes(make_bytes(6 * PART, seed=9))

    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(errors.SourceChanged):
            await livepeer.upload(path, on_progress=change)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


async def test_upload_waits_for_the_asset_to_leave_uploading(monkeypatch):
    monkeypatch.setattr(completion, "FINALIZE_AFTER", 1.0)
    monkeypatch.setattr(completion, "LEAVE_TIMEOUT", 2.0)
    data = make_bytes(5 * PART)
    lie = Answer(204, headers={"Tus-Resumable": "1.0.0", "Upload-Offset": str(len(data))})
    last = Fault(On(method="PATCH", nth=2), lie)
    async with sandbox_and_client(last) as (sandbox, livepeer):
        async with livepeer.begin_upload(data) as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.attempts == 2
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]


async def test_upload_url_of_an_error_can_be_resumed_by_tus_client():
    data = make_bytes(6 * PART)
    async with sandbox_and_client(Fault(On(method="PATCH"), Answer(500)), **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        with pytest.raises(errors.RetriesExhausted) as caught:
            await livepeer.upload(data, "x")
        sandbox.faults.clear()
        async with TusClient(limits=SMALL_LIMITS) as tus:
            await tus.upload(data, upload_url=caught.value.upload_url)
        asset = await livepeer.assets.wait(caught.value.asset_id, timeout=10)
        assert is_stored(sandbox, asset, data)
        assert len(sandbox.assets) == 1


async def test_slow_stream_survives_a_broken_connection():
    data = make_bytes(6 * PART)

    async def slow():
        for start in range(0, len(data), PART // 2):
            await anyio.sleep(0.03)
            yield data[start : start + PART // 2]

    async with sandbox_and_client(Fault(PATCH, CutConnection(1000))) as (sandbox, livepeer):
        asset = await livepeer.upload(slow(), "x", length=len(data))
        assert is_stored(sandbox, asset, data)
