"""Stopped uploads can be resumed; aborted uploads are deleted."""

import anyio
import pytest

from livepeer_async import UploadStopped
from livepeer_async.sandbox import Answer, Fault, On, Slow, Stall
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import (
    PART,
    SMALL_S3,
    client_for,
    is_stored,
    make_bytes,
    sandbox_and_client,
    tus_requests,
)

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(6 * PART + 100)
# Near the maximum of `Retry-After`.
LONG_PAUSE = Answer(503, headers={"Retry-After": "500"})


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


def received(sandbox):
    return sum(r.received for r in sandbox.requests if "/upload/tus" in r.path)


async def stop_at(livepeer, path, condition):
    """Stop an upload once a condition holds for its progress; return its error."""
    with pytest.raises(UploadStopped) as caught:
        async with livepeer.begin_upload(path) as upload:
            async for progress in upload.progress():
                if condition(progress):
                    upload.stop()
    return caught.value


async def test_stop_finishes_the_chunk_in_flight(path, journal):
    # Slow enough to stop during a chunk.
    slow = Fault(On(method="PATCH", nth=2), Slow(PART * 4))
    async with sandbox_and_client(slow, **SMALL_S3) as (sandbox, _):
        async with client_for(sandbox, journal) as livepeer:
            error = await stop_at(livepeer, path, lambda it: it.sent > 2 * PART)
        assert error.upload_url is not None
        assert error.asset_id is not None
        assert {status for _, status in tus_requests(sandbox)} <= {201, 204}
        stopped_at = received(sandbox)
        assert 2 * PART <= stopped_at < len(VIDEO)
        async with client_for(sandbox, journal) as livepeer:
            asset = await livepeer.upload(path)
        assert is_stored(sandbox, asset, VIDEO)
        assert received(sandbox) == len(VIDEO)


async def test_stop_ends_a_retry_delay(path, journal):
    busy = Fault(On(method="PATCH"), LONG_PAUSE)
    async with sandbox_and_client(busy, client={"journal": journal}, **SMALL_S3) as (_, livepeer):
        with anyio.fail_after(TIMEOUT):
            await stop_at(livepeer, path, lambda it: it.retry is not None)


async def test_stop_ends_the_wait_for_processing(path, journal):
    options = SMALL_S3 | {"processing_seconds": VERY_LONG}
    async with sandbox_and_client(client={"journal": journal}, **options) as (sandbox, livepeer):
        with anyio.fail_after(TIMEOUT):
            await stop_at(livepeer, path, lambda it: it.stage == "processing")
        sent = tus_requests(sandbox)
        await livepeer.upload(path, wait=False)
        assert tus_requests(sandbox) == sent


async def test_stop_ends_a_pause_of_the_client(journal):
    busy = Fault(On(method="PATCH", asset="second"), LONG_PAUSE)
    video = make_bytes(4 * PART)
    async with sandbox_and_client(busy, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):

        async def finish_during_the_pause():
            yield video[: PART // 2]
            await until(lambda: livepeer.throttle.is_paused)
            yield video[PART // 2 :]

        stream = finish_during_the_pause()
        beginning = livepeer.begin_upload(stream, "first", key="first", length=len(video))
        with anyio.fail_after(TIMEOUT), pytest.raises(UploadStopped):
            async with beginning as first:
                await until(lambda: received(sandbox))
                with pytest.raises(UploadStopped):
                    async with livepeer.begin_upload(video, "second", key="second") as second:
                        # The first upload's chunk has ended, and its next one waits too.
                        await until(lambda: first.tus.offset)
                        await anyio.wait_all_tasks_blocked()
                        first.stop()
                        second.stop()


async def test_abort_deletes_upload_and_asset(path, journal):
    stall = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG, after_bytes=PART))
    async with sandbox_and_client(stall, client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        async with livepeer.begin_upload(path) as upload:
            await until(lambda: stall.fired)
            await upload.abort()
        assert upload.is_aborted
        with pytest.raises(ValueError, match="was aborted"):
            _ = upload.result
        assert [it.is_deleted for it in sandbox.assets] == [True]
        assert "DELETE" in {method for method, _ in tus_requests(sandbox)}
        assert await livepeer.leftovers() == []
        assert is_stored(sandbox, await livepeer.upload(path), VIDEO)


async def test_abort_after_the_end_raises(path):
    async with sandbox_and_client() as (_, livepeer):
        async with livepeer.begin_upload(path) as upload:
            async for _ in upload.progress():
                pass
            with pytest.raises(ValueError, match="has ended: delete asset"):
                await upload.abort()
        assert upload.result.asset.phase == "ready"


async def test_abort_keeps_the_asset_of_a_finished_run(path, journal):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        await livepeer.upload(path)
        async with livepeer.begin_upload(path) as upload:
            await upload.abort()
        assert not sandbox.assets[0].is_deleted
