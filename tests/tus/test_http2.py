"""Uploads through HTTP/2 clients that the user passes."""

import anyio
import pytest

from livepeer_async import RetryPolicy, Timeouts, errors
from livepeer_async.http.messages import Request
from livepeer_async.http.transport import Transport
from livepeer_async.tus import ServerLimits, TusClient
from support.clock import until
from support.constants import KIB, LONG_TIMEOUTS
from support.http2 import (
    CODES,
    Http2Server,
    disconnect,
    go_away,
    hang,
    http2_client,
    refuse_with,
    reset_with,
    serve_http2,
)
from support.libraries import LIBRARIES
from support.sandbox import make_bytes

pytestmark = pytest.mark.anyio
RETRY = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)
VIDEO = make_bytes(300 * KIB)
PATCHES = [("PATCH", 204)]
FAULTS = {
    "reset": reset_with(CODES.INTERNAL_ERROR),
    "reset by a proxy": reset_with(CODES.CANCEL),
    "refused stream": reset_with(CODES.REFUSED_STREAM),
    "reset for calm": reset_with(CODES.ENHANCE_YOUR_CALM),
    "goaway": go_away,
    "disconnect": disconnect,
    "reset after an overload": refuse_with(503, b"busy", CODES.NO_ERROR),
}


async def upload(url, client, timeouts=LONG_TIMEOUTS):
    limits = ServerLimits(max_chunk=1024 * KIB)
    async with TusClient(http_client=client, retry=RETRY, timeouts=timeouts, limits=limits) as tus:
        return await tus.upload(VIDEO, upload_url=url)


@pytest.mark.parametrize("after", [0, 100 * KIB])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("library", LIBRARIES)
async def test_fault_of_a_stream_or_connection_is_transient(library, fault, after):
    server = Http2Server(len(VIDEO), FAULTS[fault], after=after)
    async with serve_http2(server) as url, http2_client(library) as client:
        await upload(url, client)
    assert bytes(server.stored) == VIDEO
    assert server.statuses[-1] == ("PATCH", 204)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_stalled_chunk_is_reset_and_sent_again(library):
    server = Http2Server(len(VIDEO), hang, after=1)

    async with (
        serve_http2(server) as url,
        http2_client(library) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(upload, url, client, Timeouts(stall=0.3))
        await until(lambda: server.resets or server.connections > 1)
        server.grants = True
    assert bytes(server.stored) == VIDEO
    assert ("PATCH", 423) not in server.statuses


@pytest.mark.parametrize("library", LIBRARIES)
async def test_cancelled_chunk_is_reset_and_unlocks_the_upload(library):
    server = Http2Server(len(VIDEO), hang, after=1)
    async with serve_http2(server) as url, http2_client(library) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upload, url, client)
            await until(lambda: not server.grants)
            tasks.cancel_scope.cancel()
        server.grants = True
        await upload(url, client)
    assert bytes(server.stored) == VIDEO
    assert [status for _, status in server.statuses] == [200, 200, 204]


@pytest.mark.parametrize(
    "fault", [refuse_with(403, b"no", CODES.NO_ERROR), refuse_with(403, b"no"), refuse_with(403)]
)
@pytest.mark.parametrize("library", LIBRARIES)
async def test_refusal_before_the_whole_body_is_final(library, fault):
    def refuse(connection, stream_id):
        fault(connection, stream_id)
        connection.server.grants = False

    server = Http2Server(len(VIDEO), refuse, after=1)
    async with serve_http2(server) as url, http2_client(library) as client:
        with pytest.raises(errors.UploadRefused) as caught:
            await upload(url, client, Timeouts(stall=0.3))
    assert caught.value.status == 403


@pytest.mark.parametrize("library", LIBRARIES)
async def test_endless_resets_end_in_a_sentence_without_secrets(library):
    server = Http2Server(len(VIDEO), *[reset_with(CODES.INTERNAL_ERROR)] * 20)
    async with serve_http2(server) as url, http2_client(library) as client:
        with pytest.raises(errors.RetriesExhausted) as caught:
            await upload(url, client)
    assert "the server reset the HTTP/2 stream (INTERNAL_ERROR)" in str(caught.value)
    assert "secretupload" not in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("X-Mine", "a\nb", "header X-Mine contains a line break"),
        ("X-Mine", "ä", "header X-Mine contains a line break"),
        ("X Mine", "a", "name of a header"),
        ("TE", "gzip", "HTTP/2 doesn't allow the header TE"),
    ],
)
async def test_header_that_cannot_be_sent_is_the_callers_fault(library, name, value, message):
    server = Http2Server(len(VIDEO))
    async with serve_http2(server) as url, http2_client(library) as client:
        tus = TusClient(http_client=client, headers={name: value}, retry=RETRY)
        with pytest.raises(errors.ConfigurationError, match=message):
            await tus.upload(VIDEO, upload_url=url)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_cancelled_chunks_use_up_no_stream_or_window(library):
    server = Http2Server(len(VIDEO), *[hang] * 120, after=1)
    async with serve_http2(server) as url, http2_client(library) as client:
        for number in range(1, 121):
            server.grants = True
            server.stored.clear()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(upload, url, client)
                await until(lambda: not server.grants)
                tasks.cancel_scope.cancel()
            await until(lambda number=number: server.ended == number)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_response_that_is_not_read_is_reset(library):
    server = Http2Server(len(VIDEO))
    async with serve_http2(server) as url, http2_client(library) as client:
        transport = Transport(http_client=client, timeouts=LONG_TIMEOUTS)
        async with transport.stream(Request(method="GET", url=url)) as response:
            assert response.head.status == 200
        await until(lambda: server.resets == [CODES.CANCEL])
