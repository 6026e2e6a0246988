"""The upload URL of an upload that doesn't end: told at the creation, and by errors."""

import os
import pickle
import signal
import subprocess
import sys

import anyio
import pytest

from livepeer_async.errors import (
    ConfigurationError,
    LivepeerError,
    RetriesExhausted,
    SourceChanged,
    SourceEmpty,
    SourceNotReadable,
    SourceTooLarge,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.tus import ServerLimits, TusClient
from support.clock import until
from support.sandbox import cancel_when
from tus.sloppy import sloppy

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(250)) * 400
QUICK = RetryPolicy(attempts=1, first_delay=0.01)
SMALL = ServerLimits(first_chunk=30_000, max_chunk=30_000)
WITH_UPLOAD = {"extensions": "creation,creation-with-upload"}


async def pieces(content=CONTENT, *, error=None):
    for start in range(0, len(content), 7_000):
        yield content[start : start + 7_000]
    if error:
        raise error


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("options", [{}, WITH_UPLOAD], ids=["plain", "with upload"])
async def test_url_is_told_before_a_request_goes_there(is_async, options):
    told = []

    def tell(url):
        told.append((url, list(server.methods)))

    async def tell_later(url):
        await anyio.sleep(0.01)
        tell(url)

    # This server takes no bytes with the creation, and so leaves the offset in doubt.
    async with sloppy(**options) as server, TusClient(retry=QUICK) as tus:
        on_created = tell_later if is_async else tell
        url = await tus.upload(CONTENT, server.endpoint, on_created=on_created)
        assert server.stored(url) == CONTENT
    assert told == [(url, ["OPTIONS", "POST"])]


async def test_resumed_upload_is_not_told_as_created():
    async with sloppy() as server, TusClient(retry=QUICK) as tus:
        url = await tus.upload(CONTENT, server.endpoint)
        assert await tus.upload(CONTENT, upload_url=url, on_created=pytest.fail) == url


async def test_error_of_the_callback_comes_out_and_stops_the_upload():
    async with sloppy() as server, TusClient(retry=QUICK) as tus:
        with pytest.raises(ZeroDivisionError):
            await tus.upload(CONTENT, server.endpoint, on_created=lambda _: 1 // 0)
    assert server.methods == ["OPTIONS", "POST"]


async def test_cancelled_upload_is_resumed_by_the_told_url():
    told = []

    async def slowly():
        yield CONTENT[:70_000]
        await anyio.sleep_forever()

    async with sloppy() as server, TusClient(retry=QUICK, limits=SMALL) as tus:

        async def upload():
            await tus.upload(slowly(), server.endpoint, length=len(CONTENT), on_created=told.append)

        await cancel_when(lambda: "PATCH" in server.methods, upload)
        assert await tus.upload(CONTENT, upload_url=told[0]) == told[0]
        assert server.stored(told[0]) == CONTENT


PROGRAM = """
import asyncio, sys
from livepeer_async.tus import TusClient

async def slowly():
    yield bytes(1000)
    await asyncio.sleep(60)

async def main():
    async with TusClient() as tus:
        tell = lambda url: print(url, flush=True)
        await tus.upload(slowly(), sys.argv[1], length=2000, on_created=tell)

asyncio.run(main())
"""


async def test_killed_process_has_told_its_url():
    async with sloppy() as server, TusClient(retry=QUICK) as tus:
        command = [sys.executable, "-c", PROGRAM, server.endpoint]
        async with await anyio.open_process(command, stderr=subprocess.DEVNULL) as process:
            url = (await process.stdout.receive()).decode().strip()
            await until(lambda: server.methods == ["OPTIONS", "POST"])
            os.kill(process.pid, signal.SIGKILL)
        await tus.upload(bytes(2000), upload_url=url)
        assert server.stored(url) == bytes(2000)


FAILURES = {
    "stream breaks": (
        {},
        {"source": lambda: pieces(error=OSError("the tape tore")), "length": 200_000},
        SourceNotReadable,
    ),
    "stream breaks at once": ({}, {"source": lambda: pieces(b"", error=OSError())}, None),
    "stream is longer": ({}, {"source": pieces, "length": 99_000}, SourceChanged),
    "stream is shorter": ({}, {"source": pieces, "length": 101_000}, SourceChanged),
    "deferred stream breaks": (
        {},
        {"source": lambda: pieces(error=OSError()), "defer_length": True},
        SourceNotReadable,
    ),
    "deferred stream is empty": (
        {},
        {"source": lambda: pieces(b""), "defer_length": True},
        SourceEmpty,
    ),
    "deferred stream is too large": (
        {},
        {
            "source": pieces,
            "defer_length": True,
            "limits": ServerLimits(first_chunk=30_000, max_length=50_000),
        },
        SourceTooLarge,
    ),
    "network": ({"script": {"PATCH": [(None, {})] * 2}}, {}, RetriesExhausted),
    "server": ({"script": {"PATCH": [(500, {})] * 2}}, {}, RetriesExhausted),
    "refused": ({"script": {"PATCH": [(403, {})]}}, {}, UploadRefused),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_error_tells_the_upload_url(name):
    server_options, options, kind = FAILURES[name]
    options = {"source": lambda: CONTENT, "limits": SMALL, **options}
    told = []
    async with sloppy(**server_options) as server:
        client = TusClient(retry=QUICK, limits=options.pop("limits"))
        source = options.pop("source")()
        async with client as tus:
            with pytest.raises(kind or LivepeerError) as caught:
                await tus.upload(source, server.endpoint, on_created=told.append, **options)
    error = caught.value
    # Spooled first, and so before there is an upload.
    assert [error.upload_url] == (told or [None])
    assert pickle.loads(pickle.dumps(error)).upload_url == error.upload_url
    assert f"{1:032}" not in f"{error} {error!r}"


async def test_error_of_a_resumed_upload_tells_its_url(tmp_path):
    async with sloppy() as server, TusClient(retry=QUICK) as tus:
        url = await tus.upload(CONTENT, server.endpoint)
        with pytest.raises(SourceNotReadable) as caught:
            await tus.upload(tmp_path / "missing", upload_url=url)
        assert caught.value.upload_url == url
        with pytest.raises(UploadGone) as caught:
            await tus.upload(CONTENT, upload_url=f"{server.endpoint}/unknown")
        assert caught.value.upload_url is None


async def test_client_that_is_closed_meanwhile_tells_the_url():
    told = []
    async with sloppy() as server, TusClient(retry=QUICK) as tus:

        async def close(url):
            told.append(url)
            await tus.__aexit__(None, None, None)

        with pytest.raises(ConfigurationError) as caught:
            await tus.upload(CONTENT, server.endpoint, on_created=close)
    assert told == [caught.value.upload_url]


async def test_error_before_there_is_an_upload_tells_none():
    async with sloppy(script={"POST": [(403, {})]}) as server, TusClient(retry=QUICK) as tus:
        with pytest.raises(UploadRefused) as caught:
            await tus.upload(CONTENT, server.endpoint)
    assert caught.value.upload_url is None
