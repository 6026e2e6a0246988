"""Responses in gzip: complete, truncated, too large, or mislabelled."""

import gzip

import pytest

from livepeer_async import errors
from livepeer_async.http.messages import Request
from support.constants import MIB
from support.libraries import LIBRARIES
from support.servers import exchange, respond_with

pytestmark = pytest.mark.anyio


async def test_gzip_bomb_is_rejected():
    bomb = gzip.compress(bytes(64 * MIB))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    with pytest.raises(errors.DecodeError, match="larger than"):
        await exchange(respond_with(head.encode() + bomb))


GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"


@pytest.mark.parametrize("coding", ["gzip", "GZip", "x-gzip"])
@pytest.mark.parametrize("library", LIBRARIES)
async def test_gzip_is_decoded(library, coding):
    body = gzip.compress(b"ok" * 100_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with library.AsyncClient() as client:
        response, heads = await exchange(respond_with(head.encode() + body), http_client=client)
    assert response.body == b"ok" * 100_000
    assert b"accept-encoding: gzip\r\n" in heads[0].lower()


async def test_truncated_gzip_is_an_error():
    body = gzip.compress(bytes(range(256)))[:-12]
    head = GZIPPED + b"Content-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(errors.ConnectionBroken, match="gzip is broken"):
        await exchange(respond_with(head + body))


async def test_bytes_after_the_end_of_gzip_are_discarded():
    body = gzip.compress(b"ok")
    response, _ = await exchange(respond_with(GZIPPED + b"\r\n" + body + b"more" * 10_000))
    assert response.body == b"ok"


async def test_response_to_head_is_not_decoded():
    response = GZIPPED + b"Content-Length: 20\r\n\r\n"
    response, _ = await exchange(respond_with(response), Request(method="HEAD", url=""))
    assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "identity"])
async def test_unexpected_coding_is_not_decoded(coding):
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 4\r\n\r\n"
    response, _ = await exchange(respond_with(head.encode() + b"\x1f\x8bno"))
    assert response.body == b"\x1f\x8bno"


@pytest.mark.parametrize("library", LIBRARIES)
async def test_hook_may_read_the_response_first(library):
    async def read(response):
        await response.aread()

    body = gzip.compress(b"ok")
    response = GZIPPED + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with library.AsyncClient(event_hooks={"response": [read]}) as client:
        response, _ = await exchange(respond_with(response), http_client=client)
    assert response.body == b"ok"
