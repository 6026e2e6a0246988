"""Downloads that are cancelled or left: nothing stays open, and a read may continue."""

import asyncio
import gc
import tempfile

import anyio
import httpx
import pytest

from livepeer_async import errors
from sources.origin import FILE, Origin, open_download, open_downloads, wait_closed
from support.clock import until
from support.constants import TIMEOUT
from support.libraries import LIBRARIES, TLS_CONTEXT
from support.resource_leaks import assert_no_leaks, no_asyncio_logs, snapshot_resources
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio


async def test_closed_download_cannot_be_read():
    async with open_download(Origin()) as download:
        assert await anext(download.blocks)
    with pytest.raises(errors.ConfigurationError, match="was closed"):
        await anext(download.blocks)


async def hang(writer):
    await wait_closed(writer)


async def hang_in_head(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    await wait_closed(writer)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Keep temporary files of other tests out of the count."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("moment", ["before", "head", "body", "wait", "paused"])
async def test_cancelled_download_leaves_nothing_open(moment, library, scratch):
    served = {
        "before": hang,
        "head": hang_in_head,
        "body": Origin(cuts=[300_000], stalls=True),
        "wait": http_response(b"", "Retry-After: 60", status="503 Busy"),
        "paused": Origin(),
    }[moment]
    scope, read, waits = anyio.CancelScope(), 0, []

    async def cancel():
        is_reached = {
            "body": lambda: read == 300_000,
            "wait": lambda: waits,
            "paused": lambda: read,
        }
        await until(is_reached.get(moment, lambda: server.requests), seconds=TIMEOUT)
        await anyio.sleep(0.05)
        scope.cancel()

    async def wait(seconds):
        waits.append(seconds)
        await anyio.sleep_forever()

    async with library.AsyncClient(verify=TLS_CONTEXT) as client, serve_http(served) as server:
        before = snapshot_resources()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            with no_asyncio_logs(), scope:
                async with (
                    open_downloads(http_client=client, sleep=wait) as ours,
                    ours.open(server.origin) as download,
                ):
                    async for block in download.blocks:
                        read += len(block)
                        if moment == "paused":
                            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert (read > 0) == (moment in {"body", "paused"})
        await assert_no_leaks(before)


async def test_download_exited_early_leaves_nothing_open(scratch):
    async with httpx.AsyncClient(verify=TLS_CONTEXT) as client, serve_http(Origin()) as server:
        before = snapshot_resources()
        with no_asyncio_logs():
            async with (
                open_downloads(http_client=client) as ours,
                ours.open(server.origin) as download,
            ):
                assert await anext(download.blocks)
            del download
            gc.collect()
        await assert_no_leaks(before)


async def test_cancelled_read_continues_at_its_position():
    origin = Origin(cuts=[300_000], stalls=True)
    received = b""
    async with open_download(origin) as download:
        with anyio.CancelScope() as scope:
            async for block in download.blocks:
                received += block
                if len(received) == 300_000:
                    # During the wait for the next block.
                    asyncio.get_running_loop().call_later(0.05, scope.cancel)
        assert received == FILE[:300_000]
        async for block in download.blocks:
            received += block
    assert received == FILE
    assert origin.ranges == [None, 300_000]
