"""Uploads of deferred length through `TusClient`: complete by the server's word, or an error."""

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
from tus.sloppy import sloppy

pytestmark = pytest.mark.anyio

CONTENT = hashlib.shake_128(b"deferred").digest(100_000)
QUICK = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)
SMALL = ServerLimits(first_chunk=30_000, max_chunk=30_000)


async def pieces(content=CONTENT, size=7_000):
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def deferred(server, *, limits=None, source=None, **more):
    where = {} if "upload_url" in more else {"endpoint": server.endpoint}
    async with TusClient(retry=QUICK, limits=limits) as tus:
        return await tus.upload(source or pieces(), defer_length=True, **where, **more)


async def test_completion_is_proven_by_one_head():
    async with sloppy() as server:
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
@pytest.mark.parametrize("limits", [None, SMALL], ids=["asked", "limits"])
async def test_server_without_the_extension_is_refused_at_once(listed, limits):
    async with sloppy(**listed) as server:
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
async def test_server_that_offers_it_or_says_nothing_is_tried(options):
    async with sloppy(**options) as server:
        assert server.stored(await deferred(server, limits=SMALL)) == CONTENT
    assert server.methods.count("OPTIONS") == 1


# drf-tus has neither header where it knows no length; others make one up.
@pytest.mark.parametrize(
    "head",
    [
        {},
        {"Upload-Defer-Length": None},
        {"Upload-Length": "0"},
        {"Upload-Length": len(CONTENT)},
    ],
)
async def test_length_that_the_server_did_not_take_is_an_error(head):
    async with sloppy(ignores_length=True, head=head) as server:
        with pytest.raises(ProtocolError, match="creation-defer-length") as caught:
            await deferred(server)
        assert server.stored(caught.value.upload_url) == CONTENT
    assert set(server.methods[3:]) == {"HEAD"}


@pytest.mark.parametrize("length", [0, 99_999, 100_001])
async def test_other_length_than_the_declared_one_is_an_error(length):
    async with sloppy(head={"Upload-Length": length}) as server:
        with pytest.raises(ProtocolError, match=f"Upload-Length is {length}; wanted 100000"):
            await deferred(server, limits=SMALL)


@pytest.mark.parametrize("length", [-1, "None", ""])
async def test_unreadable_length_is_an_error(length):
    async with sloppy(head={"Upload-Length": length}) as server:
        with pytest.raises(TusError):
            await deferred(server)


@pytest.mark.parametrize("keeps", [0, 99_999])
async def test_bytes_that_were_acknowledged_and_lost_are_an_error(keeps):
    async with sloppy(keeps=keeps) as server:
        with pytest.raises(ProtocolError, match=f"Upload-Offset is {keeps}; wanted 100000"):
            await deferred(server)


async def test_proof_that_comes_late_is_waited_for():
    lagging = [(200, {"Upload-Offset": 0, "Upload-Defer-Length": 1}), (503, {}), (None, {})]
    async with sloppy(script={"HEAD": lagging}) as server:
        assert server.stored(await deferred(server)) == CONTENT
    assert server.methods[3:] == ["HEAD"] * 4


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("limits", [None, SMALL], ids=["asked", "limits"])
async def test_server_that_forgets_finished_uploads_is_believed(status, limits):
    extensions = "creation,creation-defer-length"
    async with sloppy(forgets=status, version="1.0.0", extensions=extensions) as server:
        assert server.stored(await deferred(server, limits=limits)) == CONTENT


@pytest.mark.parametrize("status", [404, 410])
async def test_unknown_upload_of_a_silent_server_is_an_error(status):
    """It may have discarded an upload whose length it didn't take."""
    async with sloppy(ignores_length=True, script={"HEAD": [(status, {})]}) as server:
        with pytest.raises(UploadGone, match="acknowledged 100000 bytes") as caught:
            await deferred(server)
    assert caught.value.upload_url is None


@pytest.mark.parametrize(("status", "error"), [(500, RetriesExhausted), (403, UploadRefused)])
async def test_completion_that_cannot_be_asked_for_is_an_error(status, error):
    async with sloppy(forgets=status) as server:
        with pytest.raises(error) as caught:
            await deferred(server)
        assert server.stored(caught.value.upload_url) == CONTENT


# Some servers know no deferred length, and say what they hold, or 0, or what they like.
@pytest.mark.parametrize("length", [0, 30_000, 60_000, 100_000])
async def test_length_that_the_server_made_up_ends_no_stream(length):
    script = {"PATCH": [(204, {"Upload-Offset": "senseless"})]}
    head = {"Upload-Length": length, "Upload-Defer-Length": None}
    async with sloppy(script=script, head=head) as server:
        with pytest.raises(TusError, match=f"Upload-Length is {length}"):
            await deferred(server, limits=SMALL)


async def test_made_up_length_beside_a_deferred_one_is_passed_over():
    script = {"PATCH": [(503, {"Retry-After": "0"})]}
    answer = (200, {"Upload-Offset": 0, "Upload-Length": "-1", "Upload-Defer-Length": 1})
    async with sloppy(script=script | {"HEAD": [answer]}) as server:
        assert server.stored(await deferred(server, limits=SMALL)) == CONTENT


async def begun(server, content=CONTENT[:50_000], *, length=None):
    """Begin an upload elsewhere, up to where it is; give its URL."""
    path = f"/files/{7:032}"
    server.uploads[path] = [bytearray(content), length]
    return server.endpoint.removesuffix("/files") + path


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_resumed_stream_is_proven_too(length):
    async with sloppy() as server:
        url = await begun(server, length=length)
        assert await deferred(server, upload_url=url) == url
        assert server.stored(url) == CONTENT
    assert server.methods[-1] == "HEAD"


async def test_file_that_ends_a_deferred_upload_is_proven_too():
    async with sloppy(ignores_length=True) as server, TusClient(retry=QUICK) as tus:
        url = await begun(server)
        with pytest.raises(ProtocolError, match="creation-defer-length"):
            await tus.upload(CONTENT, upload_url=url)


async def test_server_that_never_tells_lengths_resumes_a_known_one():
    head = {"Upload-Length": None, "Upload-Defer-Length": None}
    async with sloppy(head=head) as server, TusClient(retry=QUICK) as tus:
        url = await begun(server, length=len(CONTENT))
        await tus.upload(CONTENT, upload_url=url)
        assert server.stored(url) == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x"], ids=["shorter", "longer"])
async def test_stream_is_held_to_an_upload_that_was_complete(content):
    async with sloppy() as server:
        url = await begun(server, CONTENT, length=len(CONTENT))
        with pytest.raises(SourceChanged):
            await deferred(server, upload_url=url, source=pieces(content))
        assert await deferred(server, upload_url=url) == url


async def test_upload_of_known_length_costs_no_head():
    async with sloppy() as server, TusClient(retry=QUICK) as tus:
        url = await tus.upload(CONTENT, server.endpoint)
        assert server.stored(url) == CONTENT
    assert server.methods == ["OPTIONS", "POST", "PATCH"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_offset_beyond_what_was_sent_is_asked_for(method):
    """An answer that claims all bytes before they were sent proves nothing."""
    lease = {"Upload-Offset": len(CONTENT), "Location": f"/files/{1:032}"}
    script = {method: [(201, lease)]}
    async with (
        sloppy(script=script) as server,
        TusClient(retry=QUICK, limits=SMALL) as tus,
    ):
        if method == "POST":
            with pytest.raises(UploadGone):
                await tus.upload(CONTENT, server.endpoint)
        else:
            url = await tus.upload(CONTENT, server.endpoint)
            assert server.stored(url) == CONTENT
    assert server.methods.count("HEAD") == 1
