"""Endless and oversized responses to each kind of request."""

import gzip

import anyio
import pytest

from hostile.clients import api_client, tus_client
from hostile.endless import ENDLESS, HEAD, repeat
from livepeer_async import Timeouts, errors
from support.constants import SHORT_TIMEOUTS, TIMEOUT
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio
VIDEO = b"video" * 1000


async def list_all(livepeer):
    return [asset async for asset in livepeer.assets.list()]


API_CALLS = {
    "get": lambda livepeer: livepeer.assets.get("x"),
    "list": list_all,
    "request_upload": lambda livepeer: livepeer.assets.request_upload("x"),
    "upload": lambda livepeer: livepeer.upload(VIDEO),
    "wait": lambda livepeer: livepeer.assets.wait("x", timeout=10),
}
OFFSET = http_response(
    b"", "Upload-Offset: 0", f"Upload-Length: {len(VIDEO)}", "Tus-Resumable: 1.0.0"
)


# Both are informational responses, which take seconds.
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "103 Early Hints" else name
    for name in ENDLESS
]


@pytest.mark.parametrize("name", NAMES)
async def test_api_call_ends(name):
    async with (
        serve_http(ENDLESS[name]) as server,
        api_client(server, timeout=SHORT_TIMEOUTS) as livepeer,
    ):

        async def call(make):
            with anyio.fail_after(TIMEOUT), pytest.raises(errors.LivepeerError) as caught:
                await make(livepeer)
            assert "key-that" not in str(caught.value)

        async with anyio.create_task_group() as tasks:
            for make in API_CALLS.values():
                tasks.start_soon(call, make)
        assert server.fully_read == 0


@pytest.mark.parametrize("name", NAMES)
async def test_tus_request_ends(name):
    endless = ENDLESS[name]

    async def upload(responses, **urls):
        async with serve_http(responses) as server, tus_client(timeouts=SHORT_TIMEOUTS) as tus:
            urls = {key: server.origin + path for key, path in urls.items()}
            with anyio.fail_after(TIMEOUT), pytest.raises(errors.TusError):
                await tus.upload(VIDEO, **urls)
            assert server.fully_read == 0

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: upload(endless, endpoint="/files"))
        tasks.start_soon(lambda: upload(endless, upload_url="/files/1"))
        tasks.start_soon(lambda: upload({"HEAD": OFFSET, "*": endless}, upload_url="/files/1"))


async def test_gzip_body_within_the_limit_is_read():
    body = gzip.compress(b'{"id":"x"}')
    async with (
        serve_http(http_response(body, "Content-Encoding: gzip")) as server,
        api_client(server) as livepeer,
    ):
        assert (await livepeer.assets.get("x")).id == "x"


async def test_bytes_after_the_end_of_gzip_are_not_kept():
    begin = HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"id":"x"}')
    limits = Timeouts(connect=30, stall=30, answer=0.2)
    async with (
        serve_http(repeat(b"a", begin=begin)) as server,
        api_client(server, timeout=limits) as livepeer,
    ):
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.TimedOut):
            await livepeer.assets.get("x")
