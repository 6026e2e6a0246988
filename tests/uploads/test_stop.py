import anyio
import pytest

from livepeer_async import AsyncLivepeer, UploadStopped
from livepeer_async.sandbox import Answer, Fault, On, Slow
from studio import (
    PART,
    QUICK,
    SMALL_LIMITS,
    SMALL_S3,
    content,
    is_stored,
    studio,
    tus_requests,
    until,
)

pytestmark = pytest.mark.anyio

VIDEO = content(6 * PART + 100)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


def client(sandbox, tmp_path):
    return AsyncLivepeer(
        sandbox.api_key,
        base_url=sandbox.base_url,
        retry=QUICK,
        upload_limits=SMALL_LIMITS,
        journal=tmp_path / "journal",
    )


def received(sandbox):
    return sum(r.received for r in sandbox.requests if "/upload/tus" in r.path)


async def stop_at(livepeer, path, is_time):
    """Stop an upload once its progress is as wanted; give its error."""
    with pytest.raises(UploadStopped) as caught:
        async with livepeer.begin_upload(path) as upload:
            async for progress in upload.progress():
                if is_time(progress):
                    upload.stop()
    return caught.value


async def test_the_chunk_that_runs_is_finished_and_nothing_is_sent_twice(path, tmp_path):
    # Slow enough that the stop comes in the middle of a chunk.
    slow = Fault(On(method="PATCH", nth=2), Slow(PART * 4))
    async with studio(slow, **SMALL_S3) as (sandbox, _):
        async with client(sandbox, tmp_path) as livepeer:
            error = await stop_at(livepeer, path, lambda it: it.sent > 2 * PART)
        assert error.upload_url is not None
        assert error.asset_id is not None
        assert {status for _, status in tus_requests(sandbox)} <= {201, 204}
        stopped_at = received(sandbox)
        assert 2 * PART <= stopped_at < len(VIDEO)
        async with client(sandbox, tmp_path) as livepeer:
            asset = await livepeer.upload(path)
        assert is_stored(sandbox, asset, VIDEO)
        assert received(sandbox) == len(VIDEO)


async def test_between_two_attempts_a_stop_takes_effect_at_once(path, tmp_path):
    busy = Fault(On(method="PATCH"), Answer(503, headers={"Retry-After": "60"}))
    async with studio(busy, **SMALL_S3) as (sandbox, _), client(sandbox, tmp_path) as livepeer:
        with anyio.fail_after(5):
            await stop_at(livepeer, path, lambda it: it.setback is not None)


async def test_what_is_processed_is_waited_for_no_longer(path, tmp_path):
    options = SMALL_S3 | {"processing_seconds": 60}
    async with studio(**options) as (sandbox, _), client(sandbox, tmp_path) as livepeer:
        with anyio.fail_after(10):
            await stop_at(livepeer, path, lambda it: it.stage == "processing")
        sent = tus_requests(sandbox)
        await livepeer.upload(path, wait=False)
        assert tus_requests(sandbox) == sent


async def test_a_pause_that_the_server_asks_for_holds_up_no_stop(tmp_path):
    faults = [
        Fault(On(method="PATCH", asset="b"), Answer(503, headers={"Retry-After": "500"})),
        Fault(On(method="PATCH", asset="a"), Slow(4 * PART)),
    ]
    video = content(4 * PART)
    async with (
        studio(*faults, **SMALL_S3) as (sandbox, _),
        client(sandbox, tmp_path) as livepeer,
    ):

        async def stop_in_the_pause(name):
            with pytest.raises(UploadStopped):
                async with livepeer.begin_upload(video, name, key=name) as upload:
                    # The chunk of one ends in the pause that the other has met.
                    await until(lambda: livepeer.budget.is_paused)
                    await until(lambda: ("PATCH", 204) in tus_requests(sandbox))
                    await anyio.sleep(0.2)
                    upload.stop()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stop_in_the_pause, "a")
                tasks.start_soon(stop_in_the_pause, "b")
