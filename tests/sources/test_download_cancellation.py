"""Downloads that are cancelled, or left: nothing stays open, and a read may go on."""

import asyncio
import gc
import tempfile

import anyio
import httpx
import pytest

from cancellation.census import assert_nothing_is_left, no_complaints, take_census
from hostile.server import TLS, answer, hostile
from libraries import LIBRARIES
from livepeer_async import errors
from studio import until
from uploads.origin import FILE, LIMIT, Origin, downloader, opened, until_left

pytestmark = pytest.mark.anyio


async def test_what_was_left_can_not_be_read():
    async with opened(Origin()) as download:
        assert await anext(download.blocks)
    with pytest.raises(errors.ConfigurationError, match="was closed"):
        await anext(download.blocks)


async def hang(writer):
    await until_left(writer)


async def hang_in_head(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    await until_left(writer)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Have no temporary files of others counted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("moment", ["before", "head", "body", "wait", "paused"])
async def test_cancelled_download_leaves_nothing_open(moment, library, scratch):
    served = {
        "before": hang,
        "head": hang_in_head,
        "body": Origin(cuts=[300_000], stalls=True),
        "wait": answer(b"", "Retry-After: 60", status="503 Busy"),
        "paused": Origin(),
    }[moment]
    scope, read, waits = anyio.CancelScope(), 0, []

    async def cancel():
        has_come = {
            "body": lambda: read == 300_000,
            "wait": lambda: waits,
            "paused": lambda: read,
        }
        await until(has_come.get(moment, lambda: server.asked), seconds=LIMIT)
        # Later than that, nothing moves.
        await anyio.sleep(0.05)
        scope.cancel()

    async def wait(seconds):
        waits.append(seconds)
        await anyio.sleep_forever()

    async with library.AsyncClient(verify=TLS) as client, hostile(served) as server:
        before = take_census()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            with no_complaints(), scope:
                async with (
                    downloader(http_client=client, sleep=wait) as ours,
                    ours.open(server.origin) as download,
                ):
                    async for piece in download.blocks:
                        read += len(piece)
                        if moment == "paused":
                            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert (read > 0) == (moment in {"body", "paused"})
        await assert_nothing_is_left(before)


async def test_left_download_leaves_nothing_open(scratch):
    async with httpx.AsyncClient(verify=TLS) as client, hostile(Origin()) as server:
        before = take_census()
        with no_complaints():
            async with downloader(http_client=client) as ours, ours.open(server.origin) as download:
                assert await anext(download.blocks)
            del download
            gc.collect()
        await assert_nothing_is_left(before)


async def test_read_that_was_cancelled_goes_on_where_it_was():
    origin = Origin(cuts=[300_000], stalls=True)
    got = b""
    async with opened(origin) as download:
        with anyio.CancelScope() as scope:
            async for piece in download.blocks:
                got += piece
                if len(got) == 300_000:
                    # While the next piece is waited for, which doesn't come.
                    asyncio.get_running_loop().call_later(0.05, scope.cancel)
        assert got == FILE[:300_000]
        async for piece in download.blocks:
            got += piece
    assert got == FILE
    assert origin.asked == [None, 300_000]
