"""A response that begins while the body is being sent ends the sending, and isn't lost."""

import asyncio
import ssl

import httpx
import pytest
import trustme

from answering import PATIENT, exchange
from listening import listening
from livepeer_async import errors
from livepeer_async.early_responses import is_final_response
from livepeer_async.messages import Request, Span
from livepeer_async.transport import Transport

BLOCK = 128 * 1024
BODY = Span(0, 96 * BLOCK)
PATCH = Request(method="PATCH", url="", content=BODY)
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
# As long as Go's net/http waits between closing its side and resetting the connection.
LINGER = 0.5


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


async def blocks():
    for _ in range(BODY.size // BLOCK):
        yield bytes(BLOCK)


def refusing(linger, response=FORBIDDEN):
    """Respond without reading the body, close one side, and reset the connection."""

    async def answer(reader, writer):
        writer.write(response)
        if linger:
            if writer.can_write_eof():
                writer.write_eof()
            await asyncio.sleep(linger)
        # The kernel resets a connection that is closed with bytes unread.
        writer.transport.abort()

    return answer


@pytest.mark.anyio
@pytest.mark.parametrize("linger", [LINGER, 0])
@pytest.mark.parametrize("status", [401, 403, 410, 413])
async def test_response_before_the_whole_body_is_returned(linger, status):
    response = FORBIDDEN.replace(b"403", str(status).encode())
    response, _ = await exchange(refusing(linger, response), PATCH, blocks())
    assert (response.status, response.body) == (status, b"no")


@pytest.mark.anyio
async def test_response_before_the_whole_body_is_returned_over_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await refusing(LINGER)(reader, writer)

    async with (
        listening(talk, ssl=context) as port,
        httpx.AsyncClient(verify=trusting, trust_env=False) as client,
        Transport(http_client=client, timeouts=PATIENT) as transport,
    ):
        request = Request(method="PATCH", url=f"https://localhost:{port}/", content=BODY)
        response = await transport.send(request, blocks=blocks())
    assert (response.status, response.body) == (403, b"no")


@pytest.mark.anyio
async def test_informational_response_does_not_end_the_body():
    async def answer(reader, writer):
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        body = await reader.readexactly(BODY.size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(str(len(body))))
        writer.write(b"%d" % len(body))

    response, _ = await exchange(answer, PATCH, blocks())
    assert (response.status, response.body) == (200, b"%d" % BODY.size)


@pytest.mark.anyio
async def test_server_that_closes_without_a_response_is_a_broken_connection():
    with pytest.raises(errors.ConnectionBroken):
        await exchange(refusing(LINGER, b""), PATCH, blocks())


@pytest.mark.anyio
async def test_body_stops_soon_after_the_response_began():
    received = 0

    async def answer(reader, writer):
        nonlocal received
        writer.write(FORBIDDEN)
        while block := await reader.read(BLOCK):
            received += len(block)

    async def endless():
        while True:
            yield bytes(BLOCK)

    request = Request(method="PATCH", url="", content=Span(0, 1 << 40))
    response, _ = await exchange(answer, request, endless())
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
def test_informational_responses_are_told_from_final_ones(received, is_final):
    assert is_final_response(received) is is_final
