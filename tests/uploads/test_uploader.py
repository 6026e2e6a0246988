"""Single uploads: exact bytes, or one typed error and no asset."""

import hashlib
import io

import pytest
from msgspec.structs import replace

from livepeer_async import NewAsset, UploadJob, errors
from livepeer_async.models import Encryption, PlaybackPolicy
from livepeer_async.polling.verify import Verified
from livepeer_async.sandbox import ChangeHeaders, FailProcessing, Fault, On, WrongSize
from livepeer_async.tus import ServerLimits
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

pytestmark = pytest.mark.anyio

EDGES = [1, PART - 1, PART, PART + 1, 3 * PART - 1, 3 * PART, 3 * PART + 777, 9 * PART + 5]


@pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
@pytest.mark.parametrize("length", EDGES)
async def test_upload_of_any_length_is_exact(storage, length):
    data = make_bytes(length)
    async with sandbox_and_client(**storage) as (sandbox, livepeer):
        async with livepeer.begin_upload(data, "clip.mp4", verify="hash") as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.verified is Verified.HASH
        assert upload.result.sha256 == hashlib.sha256(data).hexdigest()
        assert (upload.result.length, upload.result.attempts) == (length, 1)
        assert sandbox.violations == []


async def test_file_of_one_part_takes_one_tus_request():
    async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
        await livepeer.upload(make_bytes(PART))
        assert tus_requests(sandbox) == [("POST", 201)]


@pytest.mark.parametrize(
    "location", ["http://evil.example/files/1", "https://evil.example/1", "file:///etc/passwd", ""]
)
async def test_location_on_another_host_is_refused(location):
    fault = Fault(On(method="POST", path="/upload/tus"), ChangeHeaders(put={"location": location}))
    async with sandbox_and_client(fault) as (sandbox, livepeer):
        with pytest.raises(errors.ProtocolError, match="Location"):
            await livepeer.upload(make_bytes(5 * PART))
        assert [asset.is_deleted for asset in sandbox.assets] == [True]
        assert tus_requests(sandbox) == [("POST", 201)]


async def test_relative_location_is_resolved():
    async with sandbox_and_client() as (sandbox, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        path = f"/api/asset/upload/tus/{ticket.asset.playback_id}"
        del ticket
    fault = Fault(On(method="POST", path="/upload/tus"), ChangeHeaders(put={"location": path}))
    async with sandbox_and_client(fault) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone):
            await livepeer.upload(make_bytes(5 * PART))
        assert ("PATCH", 404) in tus_requests(sandbox)


async def test_api_key_is_not_sent_to_the_upload_host():
    async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
        await livepeer.upload(make_bytes(5 * PART))
        assert not [r for r in sandbox.requests if "/upload/tus" in r.path and r.is_authorized]


async def test_wrong_size_raises_integrity_error():
    async with sandbox_and_client(Fault(On(asset="clip"), WrongSize(-1))) as (sandbox, livepeer):
        with pytest.raises(errors.IntegrityError) as caught:
            await livepeer.upload(make_bytes(100), "clip")
        assert (caught.value.wanted, caught.value.found) == (100, 99)
        assert caught.value.asset_id == sandbox.assets[0].id
    async with sandbox_and_client(Fault(On(asset="clip"), WrongSize(-1))) as (_, livepeer):
        assert (await livepeer.upload(make_bytes(100), "clip", verify=None)).phase == "ready"


@pytest.mark.parametrize(
    ("hashes", "verify", "wanted"),
    [
        (True, "hash", Verified.HASH),
        (False, "hash", Verified.NOT_PROVABLE),
        (False, "size", Verified.SIZE),
        (True, None, None),
    ],
)
async def test_result_names_the_verified_property(hashes, verify, wanted):
    async with sandbox_and_client(hashes=hashes) as (_, livepeer):
        async with livepeer.begin_upload(make_bytes(100), verify=verify) as upload:
            pass
        assert upload.result.verified is wanted


async def test_encrypted_upload_is_verified_as_not_provable():
    asset = NewAsset(
        "x",
        encryption=Encryption(encrypted_key="aGVsbG8="),
        playback_policy=PlaybackPolicy(type="jwt"),
    )
    async with sandbox_and_client(Fault(On(asset="x"), WrongSize(-1))) as (_, livepeer):
        async with livepeer.begin_upload(make_bytes(100), asset) as upload:
            pass
        assert upload.result.verified is Verified.NOT_PROVABLE


async def test_failed_asset_raises_the_message_of_the_server():
    message = "Video is not supported: no video track"
    async with sandbox_and_client(Fault(On(asset="x"), FailProcessing(message))) as (_, livepeer):
        with pytest.raises(errors.AssetFailed, match=message):
            await livepeer.upload(make_bytes(100), "x")


async def test_wait_false_returns_after_uploading():
    async with sandbox_and_client(waiting_seconds=30.0) as (_, livepeer):
        asset = await livepeer.upload(make_bytes(100), "x", wait=False)
        assert asset.phase == "waiting"


async def test_progress_grows_to_the_length_and_ends_ready():
    seen = []
    async with sandbox_and_client() as (_, livepeer):
        await livepeer.upload(make_bytes(9 * PART), "x", on_progress=seen.append)
    assert [p.sent for p in seen] == sorted(p.sent for p in seen)
    assert (seen[-1].sent, seen[-1].stage) == (9 * PART, "ready")
    assert {p.length for p in seen} == {9 * PART}


UNALIGNED = {
    "chunks of one and a quarter parts": ServerLimits(first_chunk=PART + PART // 4),
    "chunks of half a part": ServerLimits(first_chunk=PART // 2, max_chunk=PART // 2),
    "everything in one request": ServerLimits(first_chunk=100 * PART),
}


@pytest.mark.parametrize("name", UNALIGNED)
async def test_unaligned_chunks_corrupt_the_upload_and_raise(name):
    """The storage corrupts unaligned chunks, so the other tests don't pass by chance."""
    limits = UNALIGNED[name]
    data = make_bytes(2 * PART + PART // 2)
    async with sandbox_and_client(client={"upload_limits": limits}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        with pytest.raises((errors.IntegrityError, errors.RetriesExhausted)):
            await livepeer.upload(data, "x")
        assert not is_stored(sandbox, sandbox.assets[0], data)


async def test_file_object_is_not_read_by_two_uploads_at_once(tmp_path):
    file = io.BytesIO(make_bytes(5 * PART))
    async with sandbox_and_client() as (sandbox, livepeer):
        async with livepeer.upload_many([file, file], concurrency=2) as results:
            found = [result async for result in results]
        assert sorted(type(result.error).__name__ for result in found) == [
            "ConfigurationError",
            "NoneType",
        ]
        assert is_stored(sandbox, await livepeer.upload(file), make_bytes(5 * PART))


async def test_invalid_sources_do_not_stop_the_others():
    async def raises():
        yield b"abc"
        raise KeyError("row 7")

    invalid = [
        UploadJob(raises()),
        UploadJob(b"x", length=0),
        UploadJob(b"x", "bad\udcff"),
        UploadJob(object()),
        UploadJob(raises(), length=10),
    ]
    async with sandbox_and_client() as (sandbox, livepeer):
        async with livepeer.upload_many([*invalid, make_bytes(100)], concurrency=1) as results:
            found = [result.error async for result in results]
        assert all(isinstance(error, errors.LivepeerError) for error in found[:-1])
        assert found[-1] is None
        assert len([asset for asset in sandbox.assets if not asset.is_deleted]) == 1


async def test_override_patch_sends_only_post():
    def limits(length):
        return replace(SMALL_LIMITS, override_patch=True)

    async with sandbox_and_client(client={"upload_limits": limits}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        asset = await livepeer.upload(make_bytes(3 * PART))
        assert is_stored(sandbox, asset, make_bytes(3 * PART))
        assert {method for method, _ in tus_requests(sandbox)} == {"POST"}
