"""Uploads of deferred length with `TusClient`: HEAD reports them as complete, or an error."""

import hashlib

import pytest

from livepeer_async.errors import (
    ConfigurationError,
    ProtocolError,
    RetriesExhausted,
    SourceChanged,
    TusError,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.tus import ServerLimits, TusClient
from support.streams import split
from tus.faulty_server import run_server

pytestmark = pytest.mark.anyio

CONTENT = hashlib.shake_128(b"deferred").digest(100_000)
RETRY = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)
SMALL = ServerLimits(first_chunk=30_000, max_chunk=30_000)


async def deferred(server, *, limits=None, source=None, **more):
    urls = {} if "upload_url" in more else {"endpoint": server.endpoint}
    async with TusClient(retry=RETRY, limits=limits) as tus:
        return await tus.upload(source or split(CONTENT, 7_000), defer_length=True, **urls, **more)


async def test_completion_is_checked_with_one_head():
    async with run_server() as server:
        url = await deferred(server)
        assert server.stored(url) == CONTENT
    assert server.methods == ["OPTIONS", "POST", "PATCH", "HEAD"]


@pytest.mark.parametrize(
    "listed",
    [
        {"version": "1.0.0", "extensions": "creation,termination"},
        {"version": "1.0.0", "extensions": ""},
        {"version": "1.0.0"},
        {"extensions": "creation, creation-with-upload"},
    ],
)
@pytest.mark.parametrize("limits", [None, SMALL], ids=["discovered", "given"])
async def test_server_without_the_extension_is_an_error(listed, limits):
    async with run_server(**listed) as server:
        with pytest.raises(ConfigurationError, match="leave defer_length out"):
            await deferred(server, limits=limits)
    assert server.methods == ["OPTIONS"]


@pytest.mark.parametrize(
    "options",
    [
        {"version": "1.0.0", "extensions": "creation,creation-defer-length"},
        {"version": "1.0.0", "extensions": "creation, Creation-Defer-Length"},
        {"script": {"OPTIONS": [(404, {"Tus-Version": "1.0.0"})]}},
        {"script": {"OPTIONS": [(None, {})]}},
    ],
)
async def test_extension_is_used_if_listed_or_unknown(options):
    async with run_server(**options) as server:
        assert server.stored(await deferred(server, limits=SMALL)) == CONTENT
    assert server.methods.count("OPTIONS") == 1


# drf-tus sends neither header without a length; others invent one.
@pytest.mark.parametrize(
    "head",
    [
        {},
        {"Upload-Defer-Length": None},
        {"Upload-Length": "0"},
        {"Upload-Length": len(CONTENT)},
    ],
)
async def test_ignored_length_is_an_error(head):
    async with run_server(ignores_length=True, head=head) as server:
        with pytest.raises(ProtocolError, match="creation-defer-length") as caught:
            await deferred(server)
        assert server.stored(caught.value.upload_url) == CONTENT
    assert set(server.methods[3:]) == {"HEAD"}


@pytest.mark.parametrize("length", [0, 99_999, 100_001])
async def test_other_length_than_declared_is_an_error(length):
    async with run_server(head={"Upload-Length": length}) as server:
        with pytest.raises(
            ProtocolError, match=f"Upload-Length is {length}; wanted the declared 100000"
        ):
            await deferred(server, limits=SMALL)


@pytest.mark.parametrize("length", [-1, "None", ""])
async def test_unreadable_length_is_an_error(length):
    async with run_server(head={"Upload-Length": length}) as server:
        with pytest.raises(TusError):
            await deferred(server)


@pytest.mark.parametrize("keeps", [0, 99_999])
async def test_lost_acknowledged_bytes_are_an_error(keeps):
    async with run_server(keeps=keeps) as server:
        with pytest.raises(
            ProtocolError, match=f"Upload-Offset is {keeps}; wanted the acknowledged 100000"
        ):
            await deferred(server)


async def test_late_completion_is_awaited():
    lagging = [(200, {"Upload-Offset": 0, "Upload-Defer-Length": 1}), (503, {}), (None, {})]
    async with run_server(script={"HEAD": lagging}) as server:
        assert server.stored(await deferred(server)) == CONTENT
    assert server.methods[3:] == ["HEAD"] * 4


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("limits", [None, SMALL], ids=["discovered", "given"])
async def test_unknown_upload_counts_as_complete_with_the_extension(status, limits):
    extensions = "creation,creation-defer-length"
    async with run_server(forgets=status, version="1.0.0", extensions=extensions) as server:
        assert server.stored(await deferred(server, limits=limits)) == CONTENT


@pytest.mark.parametrize("status", [404, 410])
async def test_unknown_upload_is_an_error_without_the_extension(status):
    """It may have discarded an upload whose length it ignored."""
    async with run_server(ignores_length=True, script={"HEAD": [(status, {})]}) as server:
        with pytest.raises(UploadGone, match="acknowledged 100000 bytes") as caught:
            await deferred(server)
    assert caught.value.upload_url is None


@pytest.mark.parametrize(("status", "error"), [(500, RetriesExhausted), (403, UploadRefused)])
async def test_failing_completion_check_is_an_error(status, error):
    async with run_server(forgets=status) as server:
        with pytest.raises(error) as caught:
            await deferred(server)
        assert server.stored(caught.value.upload_url) == CONTENT


# Servers without deferred lengths report the offset, 0 or any other number.
@pytest.mark.parametrize("length", [0, 30_000, 60_000, 100_000])
async def test_invented_length_does_not_end_a_stream(length):
    script = {"PATCH": [(204, {"Upload-Offset": "invalid"})]}
    head = {"Upload-Length": length, "Upload-Defer-Length": None}
    async with run_server(script=script, head=head) as server:
        with pytest.raises(TusError, match=f"Upload-Length is {length}"):
            await deferred(server, limits=SMALL)


async def test_upload_length_is_ignored_while_deferred():
    script = {"PATCH": [(503, {"Retry-After": "0"})]}
    response = (200, {"Upload-Offset": 0, "Upload-Length": "-1", "Upload-Defer-Length": 1})
    async with run_server(script=script | {"HEAD": [response]}) as server:
        assert server.stored(await deferred(server, limits=SMALL)) == CONTENT


async def unfinished_upload(server, content=CONTENT[:50_000], *, length=None):
    """Create an unfinished upload on the server and return its URL."""
    path = f"/files/{7:032}"
    server.uploads[path] = [bytearray(content), length]
    return server.endpoint.removesuffix("/files") + path


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_resumed_stream_is_checked_with_head(length):
    async with run_server() as server:
        url = await unfinished_upload(server, length=length)
        assert await deferred(server, upload_url=url) == url
        assert server.stored(url) == CONTENT
    assert server.methods[-1] == "HEAD"


async def test_resumed_deferred_file_is_checked_with_head():
    async with run_server(ignores_length=True) as server, TusClient(retry=RETRY) as tus:
        url = await unfinished_upload(server)
        with pytest.raises(ProtocolError, match="creation-defer-length"):
            await tus.upload(CONTENT, upload_url=url)


async def test_server_without_upload_length_can_resume():
    head = {"Upload-Length": None, "Upload-Defer-Length": None}
    async with run_server(head=head) as server, TusClient(retry=RETRY) as tus:
        url = await unfinished_upload(server, length=len(CONTENT))
        await tus.upload(CONTENT, upload_url=url)
        assert server.stored(url) == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x"], ids=["shorter", "longer"])
async def test_stream_must_match_a_complete_upload(content):
    async with run_server() as server:
        url = await unfinished_upload(server, CONTENT, length=len(CONTENT))
        with pytest.raises(SourceChanged):
            await deferred(server, upload_url=url, source=split(content, 7_000))
        assert await deferred(server, upload_url=url) == url


async def test_upload_of_known_length_needs_no_head():
    async with run_server() as server, TusClient(retry=RETRY) as tus:
        url = await tus.upload(CONTENT, server.endpoint)
        assert server.stored(url) == CONTENT
    assert server.methods == ["OPTIONS", "POST", "PATCH"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_offset_above_the_sent_bytes_is_requested_again(method):
    """A response that acknowledges unsent bytes proves nothing."""
    headers = {"Upload-Offset": len(CONTENT), "Location": f"/files/{1:032}"}
    script = {method: [(201, headers)]}
    async with (
        run_server(script=script) as server,
        TusClient(retry=RETRY, limits=SMALL) as tus,
    ):
        if method == "POST":
            with pytest.raises(UploadGone):
                await tus.upload(CONTENT, server.endpoint)
        else:
            url = await tus.upload(CONTENT, server.endpoint)
            assert server.stored(url) == CONTENT
    assert server.methods.count("HEAD") == 1
