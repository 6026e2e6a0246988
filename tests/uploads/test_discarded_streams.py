"""Streams that are discarded: no asset stays on the server."""

import asyncio
import io

import anyio
import pytest

from livepeer_async import Timeouts, errors
from livepeer_async.sandbox import Answer, CutConnection, Fault, On, Stall
from livepeer_async.uploads import asset_requests
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, SMALL_S3, make_bytes, sandbox_and_client
from support.streams import split

pytestmark = pytest.mark.anyio
VIDEO = make_bytes(5 * PART + 99)
ENDLESS = {"timeout": Timeouts(stall=VERY_LONG, answer=VERY_LONG)}


def video_stream():
    return split(VIDEO, PART // 2)


class Pipe(io.BytesIO):
    """A file object that can't seek."""

    def seekable(self):
        return False

    def tell(self):
        raise OSError("a pipe has no position")

    def seek(self, *_):
        raise OSError("a pipe has no position")


SOURCES = {
    "stream": lambda: (video_stream(), len(VIDEO)),
    "stream of unknown length": lambda: (video_stream(), None),
    "pipe": lambda: (Pipe(VIDEO), len(VIDEO)),
    "pipe of unknown length": lambda: (Pipe(VIDEO), None),
}
MOMENTS = {
    "creation": (On(method="POST", path="/upload/tus"), Stall(VERY_LONG)),
    "first chunk": (On(method="PATCH"), Stall(VERY_LONG, after_bytes=100)),
    "second chunk": (On(method="PATCH", nth=2), Stall(VERY_LONG, after_bytes=100)),
    "response to a chunk": (On(method="PATCH", nth=2), Stall(VERY_LONG, after_bytes=1 << 40)),
    "pause": (On(method="PATCH"), Answer(503, headers={"Retry-After": "500"})),
    "retry delay": (On(method="PATCH"), Answer(500)),
    "poll of the asset": (On(method="GET", path="/asset/"), Stall(VERY_LONG)),
}


@pytest.fixture(autouse=True)
def long_clean_up(monkeypatch):
    """Allow the clean-up the time that a busy machine needs."""
    monkeypatch.setattr(asset_requests, "CANCELLED_TIMEOUT", TIMEOUT)


def all_deleted(sandbox):
    return [asset.is_deleted for asset in sandbox.assets] == [True]


async def cancel_upload(livepeer, source, condition, how="scope", *, has_handle=False):
    """Upload until a condition holds, cancel the upload, and wait for its end."""
    data, length = source()
    scope = anyio.CancelScope()

    async def upload():
        with scope:
            if not has_handle:
                await livepeer.upload(data, "passed through", length=length)
                return
            async with livepeer.begin_upload(data, "passed through", length=length):
                pass

    task = asyncio.create_task(upload())
    await until(lambda: condition() or task.done())
    await anyio.sleep(0.02)
    {"scope": scope.cancel, "task": task.cancel}[how]()
    await asyncio.wait([task], timeout=TIMEOUT)
    assert task.done()
    return task


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelled_stream_leaves_no_asset(moment):
    on, action = MOMENTS[moment]
    fault = Fault(on, action)
    async with sandbox_and_client(fault, client=ENDLESS, **SMALL_S3) as (sandbox, livepeer):
        await cancel_upload(livepeer, SOURCES["stream"], lambda: fault.fired)
        assert all_deleted(sandbox)


@pytest.mark.parametrize("how", ["scope", "task"])
@pytest.mark.parametrize("source", SOURCES)
async def test_every_kind_of_stream_is_terminated_and_deleted(source, how):
    fault = Fault(*MOMENTS["second chunk"])
    async with sandbox_and_client(fault, client=ENDLESS) as (sandbox, livepeer):
        await cancel_upload(livepeer, SOURCES[source], lambda: fault.fired, how)
        assert all_deleted(sandbox)
        assert ("DELETE", "/api/asset/upload/tus/") in [
            (seen.method, seen.path.rpartition("/")[0] + "/") for seen in sandbox.requests
        ]


async def test_stream_that_times_out_leaves_no_asset():
    fault = Fault(*MOMENTS["second chunk"])
    async with sandbox_and_client(fault, client=ENDLESS) as (sandbox, livepeer):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await livepeer.upload(video_stream(), length=len(VIDEO))
        assert all_deleted(sandbox)


async def test_closing_the_client_deletes_the_asset_of_a_stream():
    fault = Fault(*MOMENTS["second chunk"])
    async with sandbox_and_client(fault, client=ENDLESS) as (sandbox, livepeer):
        task = asyncio.create_task(livepeer.upload(video_stream(), length=len(VIDEO)))
        await until(lambda: fault.fired)
        await livepeer.aclose()
        with pytest.raises(errors.ConfigurationError, match="was closed"):
            await task
        assert all_deleted(sandbox)


async def test_stopped_stream_deletes_its_asset():
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(errors.UploadStopped) as caught:
            async with livepeer.begin_upload(video_stream(), length=len(VIDEO)) as upload:
                async for progress in upload.progress():
                    if progress.sent > PART:
                        upload.stop()
        assert all_deleted(sandbox)
        assert caught.value.upload_url is None


async def test_exception_in_the_block_deletes_the_asset_of_a_stream():
    fault = Fault(*MOMENTS["second chunk"])
    async with sandbox_and_client(fault, client=ENDLESS) as (sandbox, livepeer):
        with pytest.raises(ZeroDivisionError):
            async with livepeer.begin_upload(video_stream(), length=len(VIDEO)):
                await until(lambda: fault.fired)
                raise ZeroDivisionError
        assert all_deleted(sandbox)


async def test_streams_of_upload_many_leave_no_asset():
    fault = Fault(On(method="PATCH"), Stall(VERY_LONG, after_bytes=100))
    async with sandbox_and_client(fault, client=ENDLESS) as (sandbox, livepeer):
        streams = [video_stream() for _ in range(3)]
        async with livepeer.upload_many(streams, concurrency=3):
            await until(lambda: fault.fired == 3)
        assert [asset.is_deleted for asset in sandbox.assets] == [True] * 3


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_failed_stream_leaves_no_asset(status):
    fault = Fault(On(method="PATCH"), Answer(status))
    async with sandbox_and_client(fault) as (sandbox, livepeer):
        with pytest.raises(errors.TusError) as caught:
            await livepeer.upload(video_stream(), length=len(VIDEO))
        assert all_deleted(sandbox)
        assert caught.value.upload_url is None
        assert caught.value.asset_id == sandbox.assets[0].id


@pytest.mark.parametrize(
    "failure", [Answer(500), Answer(403), Answer(200, b"<html>"), CutConnection()]
)
async def test_uploaded_stream_survives_a_failing_api(failure):
    fault = Fault(On(method="GET", path="/asset/"), failure)
    async with sandbox_and_client(fault, **SMALL_S3) as (sandbox, livepeer):
        with pytest.raises(errors.LivepeerError):
            await livepeer.upload(video_stream(), length=len(VIDEO))
        await until(lambda: sandbox.assets[0].phase == "ready")
        assert [asset.is_deleted for asset in sandbox.assets] == [False]


async def test_failing_callback_deletes_the_asset_of_a_stream():
    def fails(progress):
        if progress.sent > 2 * PART:
            raise ZeroDivisionError

    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(ZeroDivisionError):
            await livepeer.upload(video_stream(), length=len(VIDEO), on_progress=fails)
        assert all_deleted(sandbox)


async def test_stalled_termination_does_not_delay_the_deletion():
    faults = [Fault(*MOMENTS["second chunk"])]
    faults.append(Fault(On(method="DELETE", path="/upload/tus"), Stall(VERY_LONG)))
    async with sandbox_and_client(*faults, client=ENDLESS) as (sandbox, livepeer):
        upload = cancel_upload(livepeer, SOURCES["stream"], lambda: faults[0].fired)
        task = asyncio.create_task(upload)
        await until(lambda: all_deleted(sandbox))
        task.cancel()
        await asyncio.wait([task])


REPLAYABLE = {"bytes": lambda: VIDEO, "file object": lambda: io.BytesIO(VIDEO)}


@pytest.mark.parametrize("source", REPLAYABLE)
async def test_cancelled_upload_with_a_handle_stays_resumable(source):
    fault = Fault(*MOMENTS["second chunk"])
    async with sandbox_and_client(fault, client=ENDLESS, **SMALL_S3) as (sandbox, livepeer):
        open_source = lambda: (REPLAYABLE[source](), None)  # noqa: E731 - a source of a known length
        await cancel_upload(livepeer, open_source, lambda: fault.fired, has_handle=True)
        assert not all_deleted(sandbox)


@pytest.mark.parametrize("source", REPLAYABLE)
async def test_cancelled_upload_without_a_handle_leaves_no_asset(source):
    """Nothing else has the upload URL to resume it."""
    fault = Fault(*MOMENTS["second chunk"])
    async with sandbox_and_client(fault, client=ENDLESS, **SMALL_S3) as (sandbox, livepeer):
        await cancel_upload(livepeer, lambda: (REPLAYABLE[source](), None), lambda: fault.fired)
        assert all_deleted(sandbox)


async def test_cancelled_upload_with_a_key_can_be_resumed(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(VIDEO)
    fault = Fault(*MOMENTS["second chunk"])
    client = {**ENDLESS, "journal": tmp_path / "uploads.journal"}
    async with sandbox_and_client(fault, client=client, **SMALL_S3) as (sandbox, livepeer):
        await cancel_upload(livepeer, lambda: (path, None), lambda: fault.fired)
        assert not all_deleted(sandbox)
        sandbox.faults.clear()
        asset = await livepeer.upload(path)
        assert [it.id for it in sandbox.assets] == [asset.id]
