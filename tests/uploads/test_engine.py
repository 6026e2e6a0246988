"""One upload against the sandbox, with faults: exact bytes, or one typed error and nothing left."""

import asyncio
import hashlib
import io
from functools import partial

import anyio
import pytest
from msgspec.structs import replace

from livepeer_async import NewAsset, Timeouts, UploadJob, errors
from livepeer_async.models import Encryption, PlaybackPolicy
from livepeer_async.sandbox import (
    Answer,
    ChangeHeaders,
    CutConnection,
    FailProcessing,
    Fault,
    LoseAnswer,
    On,
    Stall,
    WrongSize,
)
from livepeer_async.tus import ServerLimits, TusClient
from livepeer_async.uploads import tickets, transfer
from livepeer_async.uploads.retry import RetryPolicy
from livepeer_async.uploads.verify import Verified
from studio import PART, SMALL_LIMITS, SMALL_S3, content, is_stored, studio, tus_requests, until

pytestmark = pytest.mark.anyio
STORAGES = [{"storage": "file"}, SMALL_S3]
# Of one who must not be waited for, and when a test that does is over.
FOR_EVER = 1000.0
LIMIT = 30.0
ENDLESS = RetryPolicy(attempts=10**9, first_delay=0.01, max_delay=0.05)
EDGES = [1, PART - 1, PART, PART + 1, 3 * PART - 1, 3 * PART, 3 * PART + 777, 9 * PART + 5]


@pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
@pytest.mark.parametrize("length", EDGES)
async def test_an_upload_of_any_length_is_exact(storage, length):
    data = content(length)
    async with studio(**storage) as (sandbox, livepeer):
        async with livepeer.begin_upload(data, "clip.mp4", verify="hash") as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.verified is Verified.HASH
        assert upload.result.sha256 == hashlib.sha256(data).hexdigest()
        assert (upload.result.length, upload.result.attempts) == (length, 1)
        assert sandbox.violations == []


async def test_a_file_of_one_part_takes_one_request_beside_the_ticket():
    async with studio(**SMALL_S3) as (sandbox, livepeer):
        await livepeer.upload(content(PART))
        assert tus_requests(sandbox) == [("POST", 201)]


PATCH = On(method="PATCH", nth=2)
SETBACKS = {
    "cut by FIN": CutConnection(after_bytes=1000, how="fin"),
    "cut by RST": CutConnection(after_bytes=PART, how="rst"),
    "answer lost": LoseAnswer(),
    "409": Answer(409, b"Upload-Offset conflict\n"),
    "423": Answer(423),
    "429": Answer(429),
    "500 after": Answer(500, when="after"),
    "503": Answer(503, headers={"Retry-After": "0"}),
    "resumable 400": Answer(400, b"ERR_UPLOAD_INTERRUPTED: upload has been interrupted\n"),
    "no offset": ChangeHeaders(remove=("upload-offset",)),
    "senseless offset": ChangeHeaders(put={"upload-offset": "12x"}),
    "offset too far": ChangeHeaders(put={"upload-offset": "999999999"}),
}


@pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
@pytest.mark.parametrize("name", SETBACKS)
async def test_a_setback_in_the_middle_is_recovered_from(storage, name):
    data = content(6 * PART + 99)
    async with studio(Fault(PATCH, SETBACKS[name]), **storage) as (sandbox, livepeer):
        async with livepeer.begin_upload(data, "clip.mp4") as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.attempts == 1
        assert ("HEAD", 200) in tus_requests(sandbox)
        assert sandbox.violations == []


@pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
@pytest.mark.parametrize("fault", [LoseAnswer(), CutConnection(10), Answer(502)])
@pytest.mark.parametrize("length", [PART, 3 * PART])
async def test_a_lost_creation_is_begun_anew_and_the_first_asset_deleted(storage, fault, length):
    data = content(length)
    strike = Fault(On(method="POST", path="/upload/tus", nth=1), fault)
    async with studio(strike, **storage) as (sandbox, livepeer):
        async with livepeer.begin_upload(data, "clip.mp4") as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.attempts == 2
        first, second = sandbox.assets
        assert (first.is_deleted, second.is_deleted) == (True, False)
        assert second.id == upload.asset.id


@pytest.mark.parametrize("status", [404, 410])
async def test_an_upload_that_vanishes_begins_anew(status):
    data = content(5 * PART)
    async with studio(Fault(PATCH, Answer(status))) as (sandbox, livepeer):
        async with livepeer.begin_upload(data, "clip.mp4") as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.attempts == 2
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]


async def test_an_upload_that_always_vanishes_ends_and_leaves_nothing():
    async with studio(Fault(On(method="PATCH"), Answer(404))) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone) as caught:
            await livepeer.upload(content(5 * PART))
        assert len(sandbox.assets) == 1 + RetryPolicy().restarts
        assert all(asset.is_deleted for asset in sandbox.assets)
        assert caught.value.asset_id == sandbox.assets[-1].id


async def test_a_stream_that_would_have_to_begin_anew_says_so():
    async def pieces():
        for start in range(0, 5 * PART, PART):
            yield content(5 * PART)[start : start + PART]

    async with studio(Fault(PATCH, Answer(404))) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone):
            await livepeer.upload(pieces(), "stream", length=5 * PART)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


@pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
@pytest.mark.parametrize("known", [True, False])
async def test_a_stream_is_replayed_from_what_is_kept(storage, known):
    data = content(6 * PART + 99)

    async def pieces():
        for start in range(0, len(data), 10_000):
            yield data[start : start + 10_000]

    async with studio(Fault(PATCH, CutConnection(1000)), **storage) as (sandbox, livepeer):
        asset = await livepeer.upload(pieces(), "stream", length=len(data) if known else None)
        assert is_stored(sandbox, asset, data)


async def test_when_nothing_moves_the_error_names_what_can_be_resumed():
    async with studio(Fault(On(method="PATCH"), Answer(500))) as (sandbox, livepeer):
        with pytest.raises(errors.RetriesExhausted) as caught:
            await livepeer.upload(content(5 * PART))
        assert caught.value.attempts == 6
        assert caught.value.upload_url.startswith(sandbox.base_url)
        assert caught.value.asset_id == sandbox.assets[0].id
        assert not sandbox.assets[0].is_deleted


async def test_a_refused_creation_leaves_no_asset():
    fault = Fault(On(method="POST", path="/upload/tus"), Answer(403, b"no\n"))
    async with studio(fault) as (sandbox, livepeer):
        with pytest.raises(errors.UploadRefused, match="403") as caught:
            await livepeer.upload(content(5 * PART))
        assert caught.value.status == 403
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


@pytest.mark.parametrize(
    "location", ["http://evil.example/files/1", "https://evil.example/1", "file:///etc/passwd", ""]
)
async def test_bytes_go_nowhere_but_where_the_ticket_says(location):
    fault = Fault(On(method="POST", path="/upload/tus"), ChangeHeaders(put={"location": location}))
    async with studio(fault) as (sandbox, livepeer):
        with pytest.raises(errors.ProtocolError, match="Location"):
            await livepeer.upload(content(5 * PART))
        assert [asset.is_deleted for asset in sandbox.assets] == [True]
        assert tus_requests(sandbox) == [("POST", 201)]


async def test_a_relative_location_is_resolved():
    async with studio() as (sandbox, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        path = f"/api/asset/upload/tus/{ticket.asset.playback_id}"
        del ticket
    fault = Fault(On(method="POST", path="/upload/tus"), ChangeHeaders(put={"location": path}))
    async with studio(fault) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone):
            await livepeer.upload(content(5 * PART))
        assert ("PATCH", 404) in tus_requests(sandbox)


async def test_the_key_never_goes_to_the_upload_host():
    async with studio(**SMALL_S3) as (sandbox, livepeer):
        await livepeer.upload(content(5 * PART))
        assert not [r for r in sandbox.requests if "/upload/tus" in r.path and r.is_authorized]


async def test_a_file_that_changes_in_the_middle_is_never_completed(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content(6 * PART))

    def change(progress):
        if progress.sent > PART:
            path.write_bytes(content(6 * PART, seed=9))

    async with studio() as (sandbox, livepeer):
        with pytest.raises(errors.SourceChanged):
            await livepeer.upload(path, on_progress=change)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


async def test_wrong_bytes_are_never_a_success():
    async with studio(Fault(On(asset="clip"), WrongSize(-1))) as (sandbox, livepeer):
        with pytest.raises(errors.IntegrityError) as caught:
            await livepeer.upload(content(100), "clip")
        assert (caught.value.wanted, caught.value.found) == (100, 99)
        assert caught.value.asset_id == sandbox.assets[0].id
    async with studio(Fault(On(asset="clip"), WrongSize(-1))) as (_, livepeer):
        assert (await livepeer.upload(content(100), "clip", verify=None)).phase == "ready"


@pytest.mark.parametrize(
    ("hashes", "verify", "wanted"),
    [
        (True, "hash", Verified.HASH),
        (False, "hash", Verified.NOT_PROVABLE),
        (False, "size", Verified.SIZE),
        (True, None, None),
    ],
)
async def test_the_result_says_how_far_it_is_proved(hashes, verify, wanted):
    async with studio(hashes=hashes) as (_, livepeer):
        async with livepeer.begin_upload(content(100), verify=verify) as upload:
            pass
        assert upload.result.verified is wanted


async def test_an_encrypted_upload_can_not_be_compared():
    asset = NewAsset(
        "x",
        encryption=Encryption(encrypted_key="aGVsbG8="),
        playback_policy=PlaybackPolicy(type="jwt"),
    )
    async with studio(Fault(On(asset="x"), WrongSize(-1))) as (_, livepeer):
        async with livepeer.begin_upload(content(100), asset) as upload:
            pass
        assert upload.result.verified is Verified.NOT_PROVABLE


async def test_an_asset_that_fails_is_an_error_with_the_servers_sentence():
    message = "Video is not supported: no video track"
    async with studio(Fault(On(asset="x"), FailProcessing(message))) as (_, livepeer):
        with pytest.raises(errors.AssetFailed, match=message):
            await livepeer.upload(content(100), "x")


async def test_without_waiting_the_asset_has_left_uploading():
    async with studio(waiting_seconds=30.0) as (_, livepeer):
        asset = await livepeer.upload(content(100), "x", wait=False)
        assert asset.phase == "waiting"


async def test_all_bytes_taken_is_not_believed_until_the_asset_leaves_uploading(monkeypatch):
    monkeypatch.setattr(transfer, "NUDGE_AFTER", 1.0)
    monkeypatch.setattr(transfer, "LEAVE_TIMEOUT", 2.0)
    data = content(5 * PART)
    lie = Answer(204, headers={"Tus-Resumable": "1.0.0", "Upload-Offset": str(len(data))})
    last = Fault(On(method="PATCH", nth=2), lie)
    async with studio(last) as (sandbox, livepeer):
        async with livepeer.begin_upload(data) as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert upload.result.attempts == 2
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]


async def test_leaving_the_block_early_leaves_what_can_be_resumed():
    async with studio() as (sandbox, livepeer):
        with pytest.raises(ZeroDivisionError):
            async with livepeer.begin_upload(content(64 * PART), "x") as upload:
                async for progress in upload.progress():
                    if progress.sent > 3 * PART:
                        raise ZeroDivisionError
        assert not upload.is_done
        with pytest.raises(errors.ConfigurationError, match="no result"):
            _ = upload.result
        assert upload.upload_url is not None
        assert [asset.is_deleted for asset in sandbox.assets] == [False]


async def test_a_cancelled_upload_ends_at_once_and_the_client_goes_on():
    async with studio(client={"retry": ENDLESS}, **SMALL_S3) as (sandbox, livepeer):
        for delay in (0.0, 0.01, 0.03, 0.1):
            sandbox.faults[:] = [Fault(On(method="PATCH"), Answer(500))]
            with anyio.fail_after(LIMIT), anyio.move_on_after(delay):
                await livepeer.upload(content(64 * PART), "x")
        sandbox.faults.clear()
        asset = await livepeer.upload(content(5 * PART), "y")
        assert is_stored(sandbox, asset, content(5 * PART))


async def test_progress_grows_to_the_length_and_ends_ready():
    seen = []
    async with studio() as (_, livepeer):
        await livepeer.upload(content(9 * PART), "x", on_progress=seen.append)
    assert [p.sent for p in seen] == sorted(p.sent for p in seen)
    assert (seen[-1].sent, seen[-1].stage) == (9 * PART, "ready")
    assert {p.length for p in seen} == {9 * PART}


async def test_what_is_left_after_an_error_can_be_resumed_elsewhere():
    data = content(6 * PART)
    async with studio(Fault(On(method="PATCH"), Answer(500)), **SMALL_S3) as (sandbox, livepeer):
        with pytest.raises(errors.RetriesExhausted) as caught:
            await livepeer.upload(data, "x")
        sandbox.faults.clear()
        async with TusClient(limits=SMALL_LIMITS) as tus:
            await tus.upload(data, upload_url=caught.value.upload_url)
        asset = await livepeer.assets.wait(caught.value.asset_id, timeout=10)
        assert is_stored(sandbox, asset, data)
        assert len(sandbox.assets) == 1


RECKLESS = {
    "chunks of one and a quarter parts": ServerLimits(first_chunk=PART + PART // 4),
    "chunks of half a part": ServerLimits(first_chunk=PART // 2, max_chunk=PART // 2),
    "everything in one request": ServerLimits(first_chunk=100 * PART),
}


@pytest.mark.parametrize("name", RECKLESS)
async def test_without_the_rules_the_storage_loses_bytes_and_it_is_noticed(name):
    """The faithful storage makes wrong bytes of reckless chunks: no test here passes by luck."""
    limits = RECKLESS[name]
    data = content(2 * PART + PART // 2)
    async with studio(client={"upload_limits": limits}, **SMALL_S3) as (sandbox, livepeer):
        with pytest.raises((errors.IntegrityError, errors.RetriesExhausted)):
            await livepeer.upload(data, "x")
        assert not is_stored(sandbox, sandbox.assets[0], data)


async def test_a_slow_stream_survives_that_a_connection_breaks():
    data = content(6 * PART)

    async def slow():
        for start in range(0, len(data), PART // 2):
            await anyio.sleep(0.03)
            yield data[start : start + PART // 2]

    async with studio(Fault(PATCH, CutConnection(1000))) as (sandbox, livepeer):
        asset = await livepeer.upload(slow(), "x", length=len(data))
        assert is_stored(sandbox, asset, data)


async def test_one_file_object_is_not_read_by_two_uploads_at_once(tmp_path):
    file = io.BytesIO(content(5 * PART))
    async with studio() as (sandbox, livepeer):
        async with livepeer.upload_many([file, file], concurrency=2) as results:
            found = [result async for result in results]
        assert sorted(type(result.error).__name__ for result in found) == [
            "ConfigurationError",
            "NoneType",
        ]
        assert is_stored(sandbox, await livepeer.upload(file), content(5 * PART))


async def test_no_source_however_odd_ends_the_others():
    async def raises():
        yield b"abc"
        raise KeyError("row 7")

    odd = [
        UploadJob(raises()),
        UploadJob(b"x", length=0),
        UploadJob(b"x", "bad\udcff"),
        UploadJob(object()),
        UploadJob(raises(), length=10),
    ]
    async with studio() as (sandbox, livepeer):
        async with livepeer.upload_many([*odd, content(100)], concurrency=1) as results:
            found = [result.error async for result in results]
        assert all(isinstance(error, errors.LivepeerError) for error in found[:-1])
        assert found[-1] is None
        assert len([asset for asset in sandbox.assets if not asset.is_deleted]) == 1


async def test_an_error_of_the_callers_own_code_leaves_no_useless_asset():
    def fails(progress):
        raise ZeroDivisionError

    async with studio() as (sandbox, livepeer):
        with pytest.raises(ZeroDivisionError):
            await livepeer.upload(content(100), "x", on_progress=fails)
        assert all(asset.is_deleted for asset in sandbox.assets)


async def test_a_group_that_the_caller_raises_stays_a_group():
    async with studio() as (_, livepeer):
        with pytest.raises(ExceptionGroup) as caught:
            async with livepeer.begin_upload(content(64 * PART), "x"):
                raise ExceptionGroup("mine", [ValueError("a"), KeyError("b")])
        assert len(caught.value.exceptions) == 2


async def test_a_network_that_blocks_patch_is_passed():
    def limits(length):
        return replace(SMALL_LIMITS, override_patch=True)

    async with studio(client={"upload_limits": limits}, **SMALL_S3) as (sandbox, livepeer):
        asset = await livepeer.upload(content(3 * PART))
        assert is_stored(sandbox, asset, content(3 * PART))
        assert {method for method, _ in tus_requests(sandbox)} == {"POST"}


async def cancelled(make, *, once, how="scope"):
    """Cancel something as soon as a condition holds, and wait until it has ended."""
    scope = anyio.CancelScope()

    async def run():
        with scope:
            await make()

    task = asyncio.create_task(run())
    await until(once)
    (scope if how == "scope" else task).cancel()
    ended, _ = await asyncio.wait([task], timeout=LIMIT)
    assert ended
    assert scope.cancelled_caught if how == "scope" else task.cancelled()


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_cancelling_while_a_ticket_is_on_its_way_leaves_no_asset(how, monkeypatch):
    for name in ("TICKET_TIMEOUT", "GIVE_BACK_TIMEOUT"):
        monkeypatch.setattr(tickets, name, LIMIT)
    slow = Fault(On(path="request-upload"), Stall(0.3))
    async with studio(slow) as (sandbox, livepeer):
        make = partial(livepeer.upload, content(100), "x")
        await cancelled(make, once=lambda: slow.fired, how=how)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


async def test_cancelling_does_not_wait_for_a_ticket_that_never_comes():
    never = Fault(On(path="request-upload"), Stall(FOR_EVER))
    limits = {"timeout": Timeouts(stall=FOR_EVER, answer=FOR_EVER)}
    async with studio(never, client=limits) as (_, livepeer):
        await cancelled(partial(livepeer.upload, content(100), "x"), once=lambda: never.fired)
