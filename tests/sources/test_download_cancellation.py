"""Downloads that are cancelled, or left: nothing stays open, and a read may go on."""

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
from support.leaks import assert_no_leaks, no_asyncio_logs, snapshot_resources
from support.libraries import LIBRARIES, TLS_CONTEXT
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio


async def test_what_was_left_can_not_be_read():
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
    """Have no temporary files of others counted."""
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
        has_come = {
            "body": lambda: read == 300_000,
            "wait": lambda: waits,
            "paused": lambda: read,
        }
        await until(has_come.get(moment, lambda: server.requests), seconds=TIMEOUT)
        # Later than that, nothing moves.
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
                    async for piece in download.blocks:
                        read += len(piece)
                        if moment == "paused":
                            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert (read > 0) == (moment in {"body", "paused"})
        await assert_no_leaks(before)


async def test_left_download_leaves_nothing_open(scratch):
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


async def test_read_that_was_cancelled_goes_on_where_it_was():
    origin = Origin(cuts=[300_000], stalls=True)
    got = b""
    async with open_download(origin) as download:
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
    assert origin.ranges == [None, 300_000]
