"""Requests to correct and faulty servers."""

import logging
import socket

import anyio
import httpx
import pytest

from livepeer_async import errors
from livepeer_async.http.messages import Request, Span
from livepeer_async.http.transport import Transport
from support.clock import until
from support.constants import LONG_TIMEOUTS, SHORT_TIMEOUTS
from support.libraries import LIBRARIES
from support.servers import OK, disconnect, exchange, hang, respond_with, serve_raw
from support.streams import stream

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("library", LIBRARIES)
async def test_response_is_complete_with_lower_case_headers(library):
    async with library.AsyncClient() as client:
        response, heads = await exchange(respond_with(OK), http_client=client)
        assert not client.is_closed
    assert (response.status, response.body, response.headers["x-thing"]) == (200, b"ok", "a")
    assert response.place.endswith("/x")
    assert f"x-request-id: {response.request_id}".encode() in heads[0].lower()
    assert b"user-agent: livepeer-async/" in heads[0].lower()


async def test_span_is_sent_as_blocks_with_its_length():
    async def echo(reader, writer):
        body = await reader.readexactly(6)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + body)

    request = Request(method="PATCH", url="", content=Span(10, 16))
    response, heads = await exchange(echo, request, stream(b"abc", memoryview(b"def")))
    assert response.body == b"abcdef"
    assert b"content-length: 6" in heads[0].lower()


async def test_empty_span_is_sent_as_an_empty_body():
    request = Request(method="PATCH", url="", content=Span(10, 10))
    _, heads = await exchange(respond_with(OK), request)
    assert b"content-length: 0" in heads[0].lower()


async def test_headers_of_a_given_client_are_not_sent():
    async with httpx.AsyncClient(headers={"Authorization": "Bearer other"}) as client:
        _, heads = await exchange(respond_with(OK), http_client=client)
    assert b"authorization" not in heads[0].lower()


async def test_redirect_is_not_followed():
    raw = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with httpx.AsyncClient(follow_redirects=True) as client:
        response, _ = await exchange(respond_with(raw), http_client=client)
    assert response.status == 302


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (disconnect, errors.ConnectionBroken),
        (respond_with(b""), errors.ConnectionBroken),
        (respond_with(b"HTTP/1.1 20"), errors.ConnectionBroken),
        (respond_with(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), errors.ConnectionBroken),
        (
            respond_with(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
            errors.ConnectionBroken,
        ),
        (
            respond_with(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
            ),
            errors.ConnectionBroken,
        ),
    ],
)
async def test_broken_response_is_an_error_without_secrets(handler, kind):
    with pytest.raises(kind) as caught:
        await exchange(handler)
    assert "eyJ" not in str(caught.value)
    assert caught.value.request_id


@pytest.mark.parametrize("library", LIBRARIES)
async def test_mock_transport_is_supported(library):
    mock = library.MockTransport(lambda _: library.Response(200, content=b"okay"))
    async with (
        library.AsyncClient(transport=mock) as client,
        Transport(http_client=client, timeouts=LONG_TIMEOUTS) as transport,
    ):
        response = await transport.send(Request(method="GET", url="http://x.example/"))
        assert response.body == b"okay"
        with pytest.raises(errors.DecodeError, match="larger than 3 bytes"):
            await transport.send(Request(method="GET", url="http://x.example/"), largest=3)


async def test_refused_connection_is_connect_failed():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x?token=secret"
        async with Transport(timeouts=LONG_TIMEOUTS) as transport:
            with pytest.raises(errors.ConnectFailed) as caught:
                await transport.send(Request(method="GET", url=url))
    assert "secret" not in str(caught.value)
    assert ": connection refused [" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["ftp://x.example/", "no-scheme", "http://[::1/", "http://127.0.0.1:65536/"]
)
async def test_invalid_url_is_a_configuration_error(url):
    async with Transport(timeouts=SHORT_TIMEOUTS) as transport:
        with pytest.raises(errors.ConfigurationError):
            await transport.send(Request(method="GET", url=url))


async def test_source_error_is_raised_unchanged():
    async def broken():
        yield b"abc"
        raise errors.SourceChanged("it changed", source="x")

    request = Request(method="PATCH", url="", content=Span(0, 6))
    with pytest.raises(errors.SourceChanged):
        await exchange(hang, request, broken())


@pytest.mark.parametrize("library", LIBRARIES)
async def test_defaults_of_a_given_client_are_not_applied(library):
    client = library.AsyncClient(
        auth=("user", "pass"), params={"mine": "1"}, cookies={"c": "1"}, base_url="http://x.example"
    )
    request = Request(method="GET", url="", headers={"Authorization": "Bearer ours"})
    async with client:
        _, heads = await exchange(respond_with(OK), request, http_client=client)
    assert b"Bearer ours" in heads[0]
    assert b"GET /x?token=eyJsecret.abc HTTP/1.1" in heads[0]
    assert b"cookie" not in heads[0].lower()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_raising_hook_does_not_hide_the_response(library):
    async def raise_for_status(response):
        response.raise_for_status()

    raw = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\nX-Thing: a\r\n\r\n"
    async with library.AsyncClient(event_hooks={"response": [raise_for_status]}) as client:
        response, _ = await exchange(respond_with(raw), http_client=client)
    assert (response.status, response.headers["x-thing"]) == (409, "a")


@pytest.mark.parametrize("library", LIBRARIES)
async def test_library_logs_hide_the_query(library, caplog):
    caplog.set_level(logging.DEBUG)
    async with library.AsyncClient() as client:
        await exchange(respond_with(OK), http_client=client)
    assert "HTTP Request" in caplog.text
    assert "eyJsecret" not in caplog.text


@pytest.mark.parametrize(
    "request_", [Request(method="G ET", url=""), Request(method="GET", url="", headers={"X": "é"})]
)
async def test_unsendable_request_is_a_configuration_error(request_):
    with pytest.raises(errors.ConfigurationError):
        await exchange(respond_with(OK), request_)


async def test_closing_the_transport_ends_requests():
    async with serve_raw(hang) as (url, heads):
        transport = Transport(timeouts=LONG_TIMEOUTS)
        async with anyio.create_task_group() as tasks:

            async def close():
                await until(lambda: heads)
                await transport.aclose()

            tasks.start_soon(close)
            with pytest.raises(errors.LivepeerError):
                await transport.send(Request(method="GET", url=url))
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await transport.send(Request(method="GET", url=url))


@pytest.mark.parametrize("library", LIBRARIES)
async def test_reading_and_raising_hook_does_not_hide_the_response(library):
    async def read(response):
        await response.aread()
        response.raise_for_status()

    raw = b"HTTP/1.1 409 Conflict\r\nContent-Length: 4\r\n\r\noops"
    async with library.AsyncClient(event_hooks={"response": [read]}) as client:
        response, _ = await exchange(respond_with(raw), http_client=client)
    assert (response.status, response.body) == (409, b"oops")
