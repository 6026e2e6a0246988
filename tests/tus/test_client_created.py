"""The upload URL of an unfinished upload: reported at the creation and by errors."""

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
from tus.faulty_server import run_server

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(250)) * 400
RETRY = RetryPolicy(attempts=1, first_delay=0.01)
SMALL = ServerLimits(first_chunk=30_000, max_chunk=30_000)
WITH_UPLOAD = {"extensions": "creation,creation-with-upload"}


async def pieces(content=CONTENT, *, error=None):
    for start in range(0, len(content), 7_000):
        yield content[start : start + 7_000]
    if error:
        raise error


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("options", [{}, WITH_UPLOAD], ids=["plain", "with upload"])
async def test_url_is_reported_before_its_first_request(is_async, options):
    reported = []

    def report(url):
        reported.append((url, list(server.methods)))

    async def report_later(url):
        await anyio.sleep(0.01)
        report(url)

    # This server ignores bytes with the creation, which leaves the offset unknown.
    async with run_server(**options) as server, TusClient(retry=RETRY) as tus:
        on_created = report_later if is_async else report
        url = await tus.upload(CONTENT, server.endpoint, on_created=on_created)
        assert server.stored(url) == CONTENT
    assert reported == [(url, ["OPTIONS", "POST"])]


async def test_resumed_upload_is_not_reported_as_created():
    async with run_server() as server, TusClient(retry=RETRY) as tus:
        url = await tus.upload(CONTENT, server.endpoint)
        assert await tus.upload(CONTENT, upload_url=url, on_created=pytest.fail) == url


async def test_callback_error_stops_the_upload():
    async with run_server() as server, TusClient(retry=RETRY) as tus:
        with pytest.raises(ZeroDivisionError):
            await tus.upload(CONTENT, server.endpoint, on_created=lambda _: 1 // 0)
    assert server.methods == ["OPTIONS", "POST"]


async def test_cancelled_upload_can_be_resumed():
    reported = []

    async def slow_stream():
        yield CONTENT[:70_000]
        await anyio.sleep_forever()

    async with run_server() as server, TusClient(retry=RETRY, limits=SMALL) as tus:

        async def upload():
            await tus.upload(
                slow_stream(), server.endpoint, length=len(CONTENT), on_created=reported.append
            )

        await cancel_when(lambda: "PATCH" in server.methods, upload)
        assert await tus.upload(CONTENT, upload_url=reported[0]) == reported[0]
        assert server.stored(reported[0]) == CONTENT


PROGRAM = """
import asyncio, sys
from livepeer_async.tus import TusClient

async def slow_stream():
    yield bytes(1000)
    await asyncio.sleep(60)

async def main():
    async with TusClient() as tus:
        report = lambda url: print(url, flush=True)
        await tus.upload(slow_stream(), sys.argv[1], length=2000, on_created=report)

asyncio.run(main())
"""


async def test_killed_process_has_reported_its_url():
    async with run_server() as server, TusClient(retry=RETRY) as tus:
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
        {"source": lambda: pieces(error=OSError("read error")), "length": 200_000},
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
async def test_error_has_the_upload_url(name):
    server_options, options, kind = FAILURES[name]
    options = {"source": lambda: CONTENT, "limits": SMALL, **options}
    reported = []
    async with run_server(**server_options) as server:
        client = TusClient(retry=RETRY, limits=options.pop("limits"))
        source = options.pop("source")()
        async with client as tus:
            with pytest.raises(kind or LivepeerError) as caught:
                await tus.upload(source, server.endpoint, on_created=reported.append, **options)
    error = caught.value
    # `None` for a stream that broke while it was spooled, before the creation.
    assert [error.upload_url] == (reported or [None])
    assert pickle.loads(pickle.dumps(error)).upload_url == error.upload_url
    assert f"{1:032}" not in f"{error} {error!r}"


async def test_error_of_a_resumed_upload_has_its_url(tmp_path):
    async with run_server() as server, TusClient(retry=RETRY) as tus:
        url = await tus.upload(CONTENT, server.endpoint)
        with pytest.raises(SourceNotReadable) as caught:
            await tus.upload(tmp_path / "missing", upload_url=url)
        assert caught.value.upload_url == url
        with pytest.raises(UploadGone) as caught:
            await tus.upload(CONTENT, upload_url=f"{server.endpoint}/unknown")
        assert caught.value.upload_url is None


async def test_error_of_a_closed_client_has_the_url():
    reported = []
    async with run_server() as server, TusClient(retry=RETRY) as tus:

        async def close(url):
            reported.append(url)
            await tus.__aexit__(None, None, None)

        with pytest.raises(ConfigurationError) as caught:
            await tus.upload(CONTENT, server.endpoint, on_created=close)
    assert reported == [caught.value.upload_url]


async def test_error_before_the_creation_has_no_url():
    async with run_server(script={"POST": [(403, {})]}) as server, TusClient(retry=RETRY) as tus:
        with pytest.raises(UploadRefused) as caught:
            await tus.upload(CONTENT, server.endpoint)
    assert caught.value.upload_url is None
