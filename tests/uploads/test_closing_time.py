"""The end of a client stops its uploads between two chunks, within a time."""

import asyncio

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import ClientClosed, ConfigurationError
from livepeer_async.sandbox import Fault, On, Slow, Stall
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
    tus_requests,
)
from support.streams import split

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(6 * PART + 100)
SLOW = Fault(On(method="PATCH"), Slow(PART * 10))


def received(sandbox):
    return sum(r.received for r in sandbox.requests if "/upload/tus" in r.path)


async def test_stopping_finishes_the_chunks_in_flight(journal):
    with no_asyncio_logs():
        async with sandbox_and_client(SLOW, **SMALL_S3) as (sandbox, _):
            livepeer = client_for(sandbox, journal)
            owned = await livepeer.start_upload(VIDEO, "owned", key="owned")

            async def upload():
                async with livepeer.begin_upload(VIDEO, "block", key="block"):
                    await anyio.sleep_forever()

            block = asyncio.create_task(upload())
            call = asyncio.create_task(livepeer.upload(VIDEO, "call", key="call"))
            await until(lambda: len(tus_requests(sandbox)) >= 6)
            await livepeer.aclose(stop_within=TIMEOUT)
            for ended in (owned.wait(), block, call):
                with pytest.raises(ClientClosed) as caught:
                    await ended
                assert caught.value.can_resume
                assert caught.value.asset_id
            assert {status for _, status in tus_requests(sandbox)} <= {201, 204}
            assert all(request.is_over for request in sandbox.requests)
            async with client_for(sandbox, journal) as later:
                for key in ("owned", "block", "call"):
                    upload = await later.resume_upload(key, VIDEO)
                    assert is_stored(sandbox, (await upload.wait()).asset, VIDEO)
            assert received(sandbox) == 3 * len(VIDEO)


async def test_uploads_that_take_longer_are_cancelled(journal):
    stalled = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG))
    async with sandbox_and_client(stalled, **SMALL_S3) as (sandbox, _):
        livepeer = client_for(sandbox, journal)
        upload = await livepeer.start_upload(VIDEO, key="k")
        await until(lambda: stalled.fired)
        with anyio.fail_after(TIMEOUT):
            await livepeer.aclose(stop_within=0.05)
        with pytest.raises(ClientClosed) as caught:
            await upload.wait()
        assert caught.value.can_resume
        assert not [it for it in asyncio.all_tasks() if "background" in repr(it.get_coro())]


async def test_default_cancels_at_once_and_a_stream_is_deleted():
    stalled = Fault(On(method="PATCH", nth=1), Stall(VERY_LONG))
    async with sandbox_and_client(stalled, **SMALL_S3) as (sandbox, livepeer):
        stream = split(VIDEO, 1000)
        upload = await livepeer.start_upload(stream, "stream", length=len(VIDEO))
        await until(lambda: stalled.fired)
        await livepeer.aclose()
        with pytest.raises(ClientClosed) as caught:
            await upload.wait()
        assert not caught.value.can_resume
        assert sandbox.assets[0].is_deleted


async def test_upload_that_starts_meanwhile_is_refused():
    async with sandbox_and_client(SLOW, **SMALL_S3) as (_, livepeer):
        await livepeer.start_upload(VIDEO)
        closing = asyncio.create_task(livepeer.aclose(stop_within=TIMEOUT))
        await asyncio.sleep(0)
        with pytest.raises(ClientClosed):
            await livepeer.start_upload(VIDEO)
        await closing
        with pytest.raises(ClientClosed):
            await livepeer.start_upload(VIDEO)


async def test_upload_that_opens_its_source_is_cancelled():
    async def endless():
        while True:
            await asyncio.sleep(0)
            yield b"x"

    async with sandbox_and_client(**SMALL_S3) as (_, livepeer):
        starting = asyncio.create_task(livepeer.start_upload(endless()))
        await anyio.sleep(0.01)
        with anyio.fail_after(TIMEOUT):
            await livepeer.aclose(stop_within=VERY_LONG)
        with pytest.raises(ClientClosed):
            await starting


async def test_limit_must_not_be_negative():
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(ValueError, match="stop_within is -1"):
            await livepeer.aclose(stop_within=-1)


async def assert_closed(livepeer, upload):
    assert isinstance(upload.error, ClientClosed)
    with pytest.raises(ConfigurationError, match="closed"):
        await livepeer.ping()


@pytest.mark.parametrize("stop_within", [0, VERY_LONG])
@pytest.mark.parametrize("how", ["task", "scope"])
async def test_cancelled_close_closes_the_client(journal, how, stop_within):
    stalled = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG))
    async with sandbox_and_client(stalled, **SMALL_S3) as (sandbox, _):
        livepeer, scope = client_for(sandbox, journal), anyio.CancelScope()

        async def close():
            with scope:
                await livepeer.aclose(stop_within=stop_within)

        upload = await livepeer.start_upload(VIDEO, key="k")
        await until(lambda: stalled.fired)
        closing = asyncio.create_task(close())
        await anyio.lowlevel.checkpoint()
        closing.cancel() if how == "task" else scope.cancel()
        await asyncio.wait([closing])
        await assert_closed(livepeer, upload)
        async with client_for(sandbox, journal) as later:
            await later.discard("k")


async def test_cancelled_block_of_a_client_closes_it():
    stalled = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG))
    async with sandbox_and_client(stalled, **SMALL_S3) as (sandbox, _):
        livepeer = client_for(sandbox)
        with anyio.CancelScope() as scope:
            async with livepeer:
                upload = await livepeer.start_upload(VIDEO)
                scope.cancel()
        await assert_closed(livepeer, upload)


async def test_client_may_be_closed_in_the_block_of_an_upload():
    stalled = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG))
    async with sandbox_and_client(stalled, **SMALL_S3) as (sandbox, _):
        livepeer = client_for(sandbox)
        with pytest.raises(ClientClosed):
            async with livepeer.begin_upload(VIDEO) as upload:
                await livepeer.aclose()
        await assert_closed(livepeer, upload)
