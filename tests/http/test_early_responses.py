"""A response that starts while the body is sent ends the sending and is returned.

Bodies are sent by the event loop, by a worker thread, and by httpx.
"""

import asyncio
import socket
import ssl
import struct
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import trustme

from livepeer_async import errors
from livepeer_async.http.early_responses import is_final_response
from livepeer_async.http.messages import Request, Span
from livepeer_async.http.transport import Transport
from livepeer_async.sources.blocks import read_ahead
from livepeer_async.sources.source import BytesSource
from support.constants import LONG_TIMEOUTS
from support.servers import exchange, listen

BLOCK = 128 * 1024
BODY = Span(0, 96 * BLOCK)
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
# Seconds that Go's net/http waits between closing its side and resetting the connection.
LINGER = 0.5


SENDERS = pytest.mark.parametrize("sender", ["loop", "thread", "httpx"])


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


async def blocks(size=BODY.size):
    for _ in range(size // BLOCK):
        yield bytes(BLOCK)
    if size % BLOCK:
        yield bytes(size % BLOCK)


async def exchange_by(sender, answer, size=BODY.size, body=None):
    """Send a body to a raw server; return the response."""
    request = Request(method="PATCH", url="", content=Span(0, size))
    if sender == "thread":
        source = BytesSource(memoryview(bytes(size)), "zeros")
        async with read_ahead(source, request.span) as reader:
            response, _ = await exchange(answer, request, reader)
    elif sender == "httpx":
        async with httpx.AsyncClient(trust_env=False) as client:
            response, _ = await exchange(answer, request, body or blocks(size), http_client=client)
    else:
        response, _ = await exchange(answer, request, body or blocks(size))
    return response


def rejecting(linger, response=FORBIDDEN):
    """Return a handler that responds without reading the body and resets the connection."""

    async def answer(reader, writer):
        writer.write(response)
        if linger:
            if writer.can_write_eof():
                writer.write_eof()
            await asyncio.sleep(linger)
        # The kernel resets a connection that is closed with bytes unread, or that doesn't linger.
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return answer


@pytest.mark.anyio
@SENDERS
@pytest.mark.parametrize(("linger", "status"), [(LINGER, 401), (0, 403), (LINGER, 410), (0, 413)])
async def test_early_response_is_returned(linger, status, sender):
    response = FORBIDDEN.replace(b"403", str(status).encode())
    response = await exchange_by(sender, rejecting(linger, response))
    assert (response.status, response.body) == (status, b"no")


@asynccontextmanager
async def rejecting_over_tls(authority, answer, **options):
    """Serve over TLS; yield the URL and a client that trusts the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await answer(reader, writer)

    async with (
        listen(serve, ssl=context) as port,
        httpx.AsyncClient(verify=trusting, trust_env=False, **options) as client,
    ):
        yield f"https://localhost:{port}/", client


async def send_body(url, client):
    async with Transport(http_client=client, timeouts=LONG_TIMEOUTS) as transport:
        request = Request(method="PATCH", url=url, content=BODY)
        return await transport.send(request, blocks=blocks())


async def respond_in_parts(reader, writer):
    """Respond in several writes while the client waits to send."""
    await asyncio.sleep(LINGER)
    for part in (FORBIDDEN[:30], FORBIDDEN[30:-2], FORBIDDEN[-2:]):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(LINGER / 10)
    await asyncio.sleep(LINGER)
    writer.transport.abort()


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [rejecting(LINGER), respond_in_parts])
async def test_early_response_is_returned_over_tls(authority, answer):
    async with rejecting_over_tls(authority, answer) as (url, client):
        response = await send_body(url, client)
    assert (response.status, response.body) == (403, b"no")


@pytest.mark.anyio
async def test_early_response_passes_a_tunnel(authority):
    async def pipe(reader, writer):
        while block := await reader.read(BLOCK):
            writer.write(block)
            await writer.drain()

    async def connect(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        host, port = head.split()[1].split(b":")
        there, back = await asyncio.open_connection(host.decode(), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        forth = asyncio.create_task(pipe(reader, back))
        with suppress(OSError):
            await pipe(there, writer)
        forth.cancel()
        back.transport.abort()
        writer.transport.abort()

    async with listen(connect) as port:
        proxied = {"proxy": f"http://127.0.0.1:{port}"}
        async with rejecting_over_tls(authority, rejecting(LINGER), **proxied) as (url, client):
            response = await send_body(url, client)
    assert (response.status, response.body) == (403, b"no")


@pytest.mark.anyio
@pytest.mark.parametrize("sender", ["loop", "httpx"])
async def test_early_response_to_a_small_body_is_returned(sender):
    has_responded = asyncio.Event()

    async def answer(reader, writer):
        await rejecting(0)(reader, writer)
        has_responded.set()

    async def small():
        await has_responded.wait()
        await asyncio.sleep(LINGER / 10)
        yield bytes(1000)

    response = await exchange_by(sender, answer, 1000, small())
    assert (response.status, response.body) == (403, b"no")


@pytest.mark.anyio
@SENDERS
@pytest.mark.parametrize("size", [1000, 1 << 20])
async def test_rejection_without_its_body_keeps_its_status(size, sender):
    response = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: %d\r\n\r\nno" % size
    response = await exchange_by(sender, rejecting(0, response))
    assert response.status == 413


@pytest.mark.anyio
@SENDERS
async def test_endless_informational_responses_are_not_buffered(sender):
    async def answer(reader, writer):
        received = 0
        while received < BODY.size:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)
            received += len(await reader.read(BLOCK))
        writer.write(FORBIDDEN)

    response = await exchange_by(sender, answer)
    assert response.status == 403


@pytest.mark.anyio
@SENDERS
async def test_informational_response_does_not_end_the_body(sender):
    async def answer(reader, writer):
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        body = await reader.readexactly(BODY.size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(str(len(body))))
        writer.write(b"%d" % len(body))

    response = await exchange_by(sender, answer)
    assert (response.status, response.body) == (200, b"%d" % BODY.size)


@pytest.mark.anyio
@SENDERS
async def test_closing_without_a_response_is_a_broken_connection(sender):
    with pytest.raises(errors.ConnectionBroken):
        await exchange_by(sender, rejecting(LINGER, b""))


@pytest.mark.anyio
@pytest.mark.parametrize("sender", ["loop", "httpx"])
async def test_sending_stops_after_an_early_response(sender):
    received = 0

    async def answer(reader, writer):
        nonlocal received
        writer.write(FORBIDDEN)
        while block := await reader.read(BLOCK):
            received += len(block)

    async def endless():
        while True:
            yield bytes(BLOCK)

    response = await exchange_by(sender, answer, 1 << 40, endless())
    assert response.status == 403
    assert received < 1 << 30


@pytest.mark.parametrize(
    ("received", "is_final"),
    [
        (b"", False),
        (b"HTTP/1.1 20", False),
        (b"HTTP/1.1 204", True),
        (b"HTTP/1.1 100 Continue\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Content Too Large", True),
        (b"\x16\x03\x01 this is not HTTP", True),
    ],
)
def test_final_response_is_recognized(received, is_final):
    assert is_final_response(received) is is_final
