"""Paused uploads keep their key and go on at the server's offset."""

import anyio
import pytest

from livepeer_async import ClientClosed, UploadInUse, UploadStopped
from livepeer_async.sandbox import Fault, On, Slow
from support.clock import until
from support.constants import VERY_LONG
from support.sandbox import PART, SMALL_S3, is_stored, make_bytes, sandbox_and_client
from support.streams import split

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(6 * PART + 100)
BRIEF = 0.3
SLOW = Fault(On(method="PATCH"), Slow(PART * 40))


def sent(sandbox):
    return sum(r.received for r in sandbox.requests if "/upload/tus" in r.path)


@pytest.fixture
async def served(journal):
    async with sandbox_and_client(SLOW, client={"journal": journal}, **SMALL_S3) as served:
        yield served


async def pause(upload):
    upload.pause()
    await until(lambda: upload.latest.is_paused)


async def test_pause_is_between_two_chunks(served):
    sandbox, livepeer = served
    upload = await livepeer.start_upload(VIDEO, key="k")
    await pause(upload)
    paused_at = sent(sandbox)
    assert upload.latest.sent == paused_at < len(VIDEO)
    assert upload.latest.in_flight == 0
    assert upload.latest.stage == "uploading"
    assert all(request.is_over for request in sandbox.requests)
    with pytest.raises(UploadInUse):
        await livepeer.start_upload(VIDEO, key="k")
    assert sent(sandbox) == paused_at
    upload.resume()
    assert is_stored(sandbox, (await upload.wait()).asset, VIDEO)
    assert sent(sandbox) == len(VIDEO)
    assert not upload.latest.is_paused


async def test_followers_see_pause_and_resumption(served):
    _, livepeer = served
    upload = await livepeer.start_upload(VIDEO, key="k")
    upload.pause()
    upload.pause()
    flags = []
    async for progress in upload.progress():
        flags.append(progress.is_paused)
        if progress.is_paused:
            upload.resume()
            upload.resume()
    assert True in flags
    assert flags[-1] is False


async def test_paused_upload_leaves_its_slot_to_others(served):
    sandbox, livepeer = served
    livepeer.throttle.concurrency = 1
    paused = await livepeer.start_upload(VIDEO, "a", key="a")
    await pause(paused)
    async with livepeer.upload_many([VIDEO]) as results:
        async for result in results:
            assert is_stored(sandbox, result.unwrap(), VIDEO)
    paused.resume()
    assert is_stored(sandbox, (await paused.wait()).asset, VIDEO)


async def test_stream_is_not_read_during_a_pause(served):
    sandbox, livepeer = served
    read = 0

    async def counted():
        nonlocal read
        async for block in split(VIDEO, 1000):
            read += len(block)
            yield block

    upload = await livepeer.start_upload(counted(), "stream", length=len(VIDEO))
    await pause(upload)
    await anyio.wait_all_tasks_blocked()
    before = read
    assert before < len(VIDEO)
    await anyio.wait_all_tasks_blocked()
    assert read == before
    upload.resume()
    assert is_stored(sandbox, (await upload.wait()).asset, VIDEO)


async def test_visitor_may_be_silent_during_a_pause(served):
    sandbox, livepeer = served
    resumption = anyio.Event()

    async def visitor():
        yield VIDEO[:PART]
        await resumption.wait()
        yield VIDEO[PART:]

    upload = await livepeer.start_upload(
        visitor(), "stream", length=len(VIDEO), source_timeout=BRIEF
    )
    await pause(upload)
    await anyio.sleep(3 * BRIEF)
    resumption.set()
    upload.resume()
    assert is_stored(sandbox, (await upload.wait()).asset, VIDEO)


@pytest.mark.parametrize("way", ["stop", "abort", "aclose", "aclose with a limit"])
async def test_paused_upload_can_be_ended(served, way):
    sandbox, livepeer = served
    upload = await livepeer.start_upload(VIDEO, key="k")
    await pause(upload)
    match way:
        case "stop":
            upload.stop()
        case "abort":
            await upload.abort()
        case "aclose":
            await livepeer.aclose()
        case _:
            await livepeer.aclose(stop_within=VERY_LONG)
    kind = ClientClosed if "aclose" in way else UploadStopped
    with pytest.raises(kind) as caught:
        await upload.wait()
    assert caught.value.can_resume is (way != "abort")
    assert sandbox.assets[0].is_deleted is (way == "abort")


async def test_pause_during_processing_has_no_effect(journal):
    options = SMALL_S3 | {"processing_seconds": 0.3}
    async with sandbox_and_client(client={"journal": journal}, **options) as (_, livepeer):
        upload = await livepeer.start_upload(VIDEO, key="k")
        async for progress in upload.progress():
            if progress.stage == "processing":
                upload.pause()
            assert not progress.is_paused
        assert (await upload.wait()).asset.phase == "ready"
        upload.pause()
        upload.resume()
