"""Uploads whose tasks the client owns."""

import asyncio
import contextvars
import gc
import logging

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import LivepeerError, UploadStopped, errors, observe_requests
from livepeer_async.sandbox import Answer, Fault, On, Slow, Stall
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.resource_leaks import no_asyncio_logs
from support.sandbox import (
    PART,
    SMALL_S3,
    client_for,
    is_stored,
    make_bytes,
    sandbox_and_client,
)

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(6 * PART + 100)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


def held(nth=2):
    """A chunk whose response doesn't come."""
    return Fault(On(method="PATCH", nth=nth), Stall(VERY_LONG, after_bytes=PART))


async def follow(upload):
    return [progress async for progress in upload.progress()]


async def test_upload_outlives_the_task_that_starts_it(path):
    async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
        upload = await asyncio.create_task(livepeer.start_upload(path, "Talk"))
        assert upload.asset.name == "Talk"
        result = await upload.wait()
        assert is_stored(sandbox, result.asset, VIDEO)
        assert upload.latest.stage == "ready"
        assert upload.error is None


async def test_many_tasks_wait_and_follow(path):
    async with sandbox_and_client(**SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)
        results = await asyncio.gather(*(upload.wait() for _ in range(3)))
        followed = await asyncio.gather(*(follow(upload) for _ in range(3)))
        assert [progress[-1].stage for progress in followed] == ["ready"] * 3
        assert len({id(result) for result in results}) == 1


async def test_failure_is_raised_by_all_that_wait(path):
    refused = Fault(On(method="PATCH", nth=2), Answer(403))
    with no_asyncio_logs():
        async with sandbox_and_client(refused, **SMALL_S3) as (_, livepeer):
            upload = await livepeer.start_upload(path)
            ends = [upload.wait(), upload.wait(), follow(upload), follow(upload)]
            found = await asyncio.gather(*ends, return_exceptions=True)
            assert {type(error).__name__ for error in found} == {"UploadRefused"}
            assert upload.error is found[0]


async def test_unread_failure_is_logged_once(path, caplog):
    refused = Fault(On(method="PATCH", nth=2), Answer(403))
    with no_asyncio_logs():
        async with sandbox_and_client(refused, **SMALL_S3) as (_, livepeer):
            upload = await livepeer.start_upload(path)
            await until(lambda: "failed" in caplog.text)
        assert upload.error is not None
    del upload
    gc.collect()
    failures = [it for it in caplog.records if "failed" in it.message]
    assert [it.levelno for it in failures] == [logging.WARNING]


async def test_failure_before_the_asset_is_raised_by_the_call(tmp_path):
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(LivepeerError, match=r"missing\.mp4"):
            await livepeer.start_upload(tmp_path / "missing.mp4")


async def test_error_of_a_callback_is_raised_by_wait(path):
    def fail(_):
        raise ZeroDivisionError

    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(ZeroDivisionError):
            await (await livepeer.start_upload(path, on_progress=fail)).wait()


async def test_traceback_does_not_grow_with_each_wait(path):
    async with sandbox_and_client(held(), **SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)
        await upload.abort()
        lengths = set()
        for _ in range(3):
            with pytest.raises(UploadStopped) as caught:
                await upload.wait()
            lengths.add(len(caught.traceback))
        assert len(lengths) == 1


async def test_cancelled_wait_leaves_the_upload(path):
    async with sandbox_and_client(Fault(On(method="PATCH"), Slow(PART * 20)), **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        upload = await livepeer.start_upload(path)
        with anyio.move_on_after(0.01):
            await upload.wait()
        assert is_stored(sandbox, (await upload.wait()).asset, VIDEO)


@pytest.mark.parametrize("how", ["task", "scope"])
async def test_cancelled_start_leaves_nothing(path, how):
    slow = Fault(On(method="POST", path="request-upload"), Stall(0.2))
    with no_asyncio_logs():
        async with sandbox_and_client(slow, **SMALL_S3) as (sandbox, livepeer):
            before, scope = asyncio.all_tasks(), anyio.CancelScope()

            async def start():
                with scope:
                    await livepeer.start_upload(path)

            task = asyncio.create_task(start())
            await until(lambda: slow.fired)
            task.cancel() if how == "task" else scope.cancel()
            await asyncio.wait([task])
            assert all(asset.is_deleted for asset in sandbox.assets)
            assert not [it for it in asyncio.all_tasks() - before if "livepeer" in repr(it)]


async def test_context_of_the_caller_reaches_the_logs(path, caplog):
    request_id = contextvars.ContextVar("request_id")
    found, events = [], []
    caplog.handler.addFilter(lambda _: found.append(request_id.get(None)) or True)
    failing = Fault(On(method="PATCH", nth=2), Answer(503))
    async with sandbox_and_client(failing, **SMALL_S3) as (_, livepeer):
        request_id.set("r1")
        with observe_requests(events.append):
            upload = await livepeer.start_upload(path)
        request_id.set("r2")
        await upload.wait()
    assert set(found) == {"r1"}
    # The block of the observer has ended.
    assert events == []


async def test_progress_is_limited_to_one_value_in_a_while(path):
    slow = Fault(On(method="PATCH"), Slow(PART * 20))
    async with sandbox_and_client(slow, **SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)
        values = [progress.stage async for progress in upload.progress(every=VERY_LONG)]
        assert values[-1] == "ready"
        assert len(values) == 2
        with pytest.raises(ValueError, match="every is -1"):
            upload.progress(every=-1)


async def test_last_value_comes_before_the_failure(path):
    refused = Fault(On(method="PATCH", nth=3), Answer(403))
    async with sandbox_and_client(refused, **SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)
        values = upload.progress(every=VERY_LONG)
        assert await anext(values)
        assert await anext(values) is upload.latest
        with pytest.raises(errors.UploadRefused):
            await anext(values)


async def test_stop_is_raised_by_wait(path, journal):
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        upload = await livepeer.start_upload(path)
        upload.stop()
        with pytest.raises(UploadStopped) as caught:
            await upload.wait()
        assert caught.value.can_resume
        assert caught.value.asset_id == upload.asset.id
        with pytest.raises(UploadStopped):
            await follow(upload)
        assert is_stored(sandbox, await livepeer.upload(path), VIDEO)


async def test_abort_deletes_the_asset_and_ends_followers(path):
    async with sandbox_and_client(held(), **SMALL_S3) as (sandbox, livepeer):
        upload = await livepeer.start_upload(path)
        following = asyncio.create_task(follow(upload))
        await upload.abort()
        await following
        with pytest.raises(UploadStopped, match="was aborted") as caught:
            await upload.wait()
        assert not caught.value.can_resume
        assert caught.value.upload_url is None
        assert sandbox.assets[0].is_deleted


async def test_failed_abort_raises(path):
    refused = Fault(On(method="DELETE", path="/asset/"), Answer(403))
    async with sandbox_and_client(held(), refused, **SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)
        with pytest.raises(errors.Forbidden):
            await upload.abort()


async def test_asset_changes_with_a_lost_upload(path):
    lost = Fault(On(method="PATCH", nth=2), Answer(410))
    async with sandbox_and_client(lost, **SMALL_S3) as (sandbox, livepeer):
        upload = await livepeer.start_upload(path, "Talk")
        first = upload.asset.id
        seen = [progress.asset_id for progress in await follow(upload)]
        last = (await upload.wait()).asset.id
        assert list(dict.fromkeys(seen)) == [first, last]
        assert upload.latest.asset_id == upload.asset.id == last != first
        assert sandbox.assets[0].is_deleted


async def test_block_may_be_left_in_another_task(path):
    async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
        block = livepeer.begin_upload(path)
        upload = await asyncio.create_task(block.__aenter__())
        await asyncio.create_task(block.__aexit__(None, None, None))
        assert is_stored(sandbox, upload.result.asset, VIDEO)


async def test_error_is_raised_where_the_block_is_left(path):
    refused = Fault(On(method="PATCH", nth=2), Answer(403))
    async with sandbox_and_client(refused, **SMALL_S3) as (_, livepeer):
        block = livepeer.begin_upload(path)
        await asyncio.create_task(block.__aenter__())
        with pytest.raises(errors.UploadRefused):
            await asyncio.create_task(block.__aexit__(None, None, None))


async def test_failure_interrupts_the_block_and_nothing_else(path):
    refused = Fault(On(method="PATCH", nth=2), Answer(403))
    async with sandbox_and_client(refused, **SMALL_S3) as (_, livepeer):
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.UploadRefused):
            async with livepeer.begin_upload(path):
                await anyio.sleep_forever()
        assert not asyncio.current_task().cancelling()
        await anyio.lowlevel.checkpoint()


async def test_failure_in_a_block_that_ends_meanwhile(path):
    refused = Fault(On(method="PATCH", nth=2), Answer(403))
    async with sandbox_and_client(refused, **SMALL_S3) as (_, livepeer):
        with pytest.raises(errors.UploadRefused):
            async with livepeer.begin_upload(path) as upload:
                await until(lambda: upload.error)
        assert not asyncio.current_task().cancelling()
        await anyio.lowlevel.checkpoint()


async def test_delivered_upload_is_not_aborted(path):
    async with sandbox_and_client(held(), **SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)
        # As between the end of the delivery and the release of its source and lease.
        upload.mark_delivered()
        with pytest.raises(errors.ConfigurationError, match="has ended"):
            await upload.abort()


async def test_uploads_of_two_event_loops_are_independent(path):
    stalled = Fault(On(method="PATCH", asset="talk"), Stall(VERY_LONG))
    async with sandbox_and_client(stalled, **SMALL_S3) as (sandbox, livepeer):
        upload = await livepeer.start_upload(path)

        async def upload_there():
            other = await livepeer.start_upload(VIDEO, "other")
            asset = (await other.wait()).asset
            await livepeer.aclose()
            return asset

        asset = await asyncio.to_thread(asyncio.run, upload_there())
        assert is_stored(sandbox, asset, VIDEO)
        assert upload.error is None
        await upload.abort()


def test_loop_that_ends_cancels_its_uploads(path, journal):
    """The loop of a task queue ends with each of its tasks."""

    async def run():
        async with sandbox_and_client(held(), **SMALL_S3) as (sandbox, _):
            livepeer = client_for(sandbox, journal)
            asyncio.get_running_loop().upload = await livepeer.start_upload(path)
            async with client_for(sandbox, journal) as other:
                with pytest.raises(errors.UploadInUse):
                    await other.start_upload(path)
            return asyncio.get_running_loop()

    with no_asyncio_logs():
        upload = asyncio.run(run()).upload
    assert isinstance(upload.error, UploadStopped)
    assert upload.error.can_resume


def test_uploads_run_on_uvloop(path):
    uvloop = pytest.importorskip("uvloop")

    async def run():
        async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
            upload = await asyncio.create_task(livepeer.start_upload(path))
            upload.pause()
            await until(lambda: upload.latest.is_paused)
            upload.resume()
            assert is_stored(sandbox, (await upload.wait()).asset, VIDEO)
            stopped = await livepeer.start_upload(VIDEO, "b")
            await livepeer.aclose()
            assert isinstance(stopped.error, errors.ClientClosed)

    with no_asyncio_logs():
        uvloop.run(run())


async def test_two_requests_under_one_key(path, journal):
    async with sandbox_and_client(held(), client={"journal": journal}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        first = await livepeer.start_upload(path, key="k")
        async with client_for(sandbox, journal) as other:
            for client in (livepeer, other):
                with pytest.raises(errors.UploadInUse) as caught:
                    await client.start_upload(path, key="k")
                assert caught.value.asset_id == first.asset.id
                assert caught.value.can_resume
        assert first.error is None
        await first.abort()
