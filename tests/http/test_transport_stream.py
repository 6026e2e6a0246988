"""Streamed responses: the head first, then the body as it arrives."""

import asyncio
import gzip
from contextlib import asynccontextmanager

import anyio
import pytest

from livepeer_async import errors
from livepeer_async.http.messages import Request
from livepeer_async.http.streams import is_delimited
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import Transport
from support.constants import LONG_TIMEOUTS, SHORT_TIMEOUTS, TIMEOUT
from support.libraries import LIBRARIES
from support.servers import OK, disconnect, drip_headers, hang, respond_with, serve_raw

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def streaming(answer, *, timeouts=LONG_TIMEOUTS, **options):
    options |= {"timeouts": timeouts}
    async with serve_raw(answer) as (url, heads), Transport(**options) as transport:
        request = Request(method="GET", url=url + "/x?token=eyJsecret.abc")
        async with transport.stream(request) as streamed:
            yield streamed, heads


async def read_body(streamed):
    return b"".join([block async for block in streamed.body])


@pytest.mark.parametrize("library", LIBRARIES)
async def test_head_arrives_before_the_raw_body(library):
    body = gzip.compress(b"ok")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    may_continue = anyio.Event()

    async def slowly(reader, writer):
        writer.write(head)
        await may_continue.wait()
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    async with library.AsyncClient(headers={"Authorization": "Bearer other"}) as client:
        async with streaming(slowly, http_client=client) as (streamed, heads):
            assert (streamed.head.status, streamed.head.body) == (200, b"")
            assert streamed.head.headers["content-encoding"] == "gzip"
            assert streamed.is_delimited
            assert "secret" not in repr(streamed)
            may_continue.set()
            assert await read_body(streamed) == body
            assert await read_body(streamed) == b""
        assert not client.is_closed
    assert b"authorization" not in heads[0].lower()
    assert f"x-request-id: {streamed.head.request_id}".encode() in heads[0].lower()


@pytest.mark.parametrize(
    ("lines", "is_delimited"),
    [
        (b"Content-Length: 2\r\n\r\nok", True),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"\r\nok", False),
    ],
)
async def test_body_with_a_length_or_chunks_is_delimited(lines, is_delimited):
    async with streaming(respond_with(b"HTTP/1.1 200 OK\r\n" + lines)) as (streamed, _):
        assert await read_body(streamed) == b"ok"
    assert streamed.is_delimited == is_delimited


def test_http2_body_is_delimited():
    assert is_delimited("HTTP/2", {})
    assert not is_delimited("HTTP/1.0", {})


async def trickle_long(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
    for _ in range(30):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


# The limit for a complete response is shorter than this body takes.
SHORT_ANSWER = Timeouts(connect=30, stall=30, answer=0.2)


async def test_body_has_no_total_time_limit():
    async with streaming(trickle_long, timeouts=SHORT_ANSWER) as (streamed, _):
        assert await read_body(streamed) == b"x" * 30


async def test_slow_reader_does_not_time_out():
    async with streaming(respond_with(OK), timeouts=SHORT_TIMEOUTS) as (streamed, _):
        await anyio.sleep(1)
        assert await read_body(streamed) == b"ok"


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


async def half_and_stall(reader, writer):
    writer.write(HALF)
    await writer.drain()
    await hang(reader, writer)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(half_and_stall, errors.TimedOut), (respond_with(HALF), errors.ConnectionBroken)],
)
@pytest.mark.parametrize("library", LIBRARIES)
async def test_truncated_body_is_a_network_error(answer, kind, library):
    timeouts = Timeouts(connect=30, stall=2) if kind is errors.TimedOut else LONG_TIMEOUTS
    async with (
        library.AsyncClient() as client,
        streaming(answer, http_client=client, timeouts=timeouts) as (streamed, _),
    ):
        assert await anext(streamed.body) == b"half"
        with anyio.fail_after(TIMEOUT), pytest.raises(kind) as caught:
            await anext(streamed.body)
    assert "eyJ" not in str(caught.value)
    assert caught.value.request_id == streamed.head.request_id


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (hang, errors.TimedOut),
        (drip_headers, errors.TimedOut),
        (disconnect, errors.ConnectionBroken),
    ],
)
async def test_missing_head_is_a_network_error(answer, kind):
    timeouts = SHORT_TIMEOUTS if kind is errors.TimedOut else LONG_TIMEOUTS
    with anyio.fail_after(TIMEOUT), pytest.raises(kind) as caught:
        async with streaming(answer, timeouts=timeouts):
            pass
    assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x.example/", "http://[::1/", "http://127.0.0.1:65536/"])
async def test_invalid_url_is_a_configuration_error(url):
    async with Transport(timeouts=SHORT_TIMEOUTS) as transport:
        with pytest.raises(errors.ConfigurationError):
            async with transport.stream(Request(method="GET", url=url)):
                pass
    with pytest.raises(errors.ConfigurationError, match="closed"):
        async with transport.stream(Request(method="GET", url="http://x.example/")):
            pass


@pytest.mark.parametrize("library", LIBRARIES)
async def test_hooks_do_not_hide_the_stream(library):
    async def raise_for_status(response):
        response.raise_for_status()

    answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nRetry-After: 3\r\n\r\nbusy"
    async with (
        library.AsyncClient(event_hooks={"response": [raise_for_status]}) as client,
        streaming(respond_with(answer), http_client=client) as (streamed, _),
    ):
        assert (streamed.head.status, streamed.head.headers["retry-after"]) == (503, "3")

    async def read(response):
        await response.aread()

    async with (
        library.AsyncClient(event_hooks={"response": [read]}) as client,
        streaming(respond_with(OK), http_client=client) as (streamed, _),
    ):
        assert await read_body(streamed) == b"ok"


async def test_unread_streams_release_their_connections():
    async with (
        serve_raw(respond_with(OK * 1000)) as (url, _),
        Transport(timeouts=LONG_TIMEOUTS) as transport,
    ):
        for _ in range(120):
            async with transport.stream(Request(method="GET", url=url)):
                pass
        async with transport.stream(Request(method="GET", url=url)) as streamed:
            assert await read_body(streamed) == b"ok"
