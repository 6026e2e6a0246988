"""Streams: the bytes that they gave are stored, in chunks that are kept in memory."""

import anyio
import pytest

from livepeer_async import errors
from livepeer_async.tus import ServerLimits, TusClient
from support.constants import KIB
from support.sandbox import PART, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

CONTENT = make_bytes(3 * PART + 777)
MIB = KIB * KIB
# Documented in `for_stream`: what a stream has given is kept until it is acknowledged.
LARGEST_CHUNK = 8 * MIB
LARGE = make_bytes(LARGEST_CHUNK + 1000)
# A server that takes all of it in one PATCH.
ROOMY = ServerLimits(first_chunk=16 * MIB, max_chunk=16 * MIB)


async def pieces_of(data, size=70_000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def one_buffer(data, size=50_000):
    """Yield one buffer again and again, filled anew each time."""
    buffer = bytearray(size)
    for start in range(0, len(data), size):
        count = len(data[start : start + size])
        buffer[:count] = data[start : start + size]
        if start % (2 * size):
            await anyio.sleep(0.001)  # now the reader waits, and the next fill comes at once
        yield memoryview(buffer)[:count]


def chunks(sandbox):
    """List the bytes of each PATCH."""
    return [r.received for r in sandbox.requests if r.method == "PATCH" and "tus" in r.path]


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_stream_may_fill_one_buffer_again_and_again(length):
    async with sandbox_and_client() as (sandbox, livepeer):
        asset = await livepeer.upload(one_buffer(CONTENT), length=length, verify="hash")
        assert is_stored(sandbox, asset, CONTENT)


@pytest.mark.parametrize("source", [pieces_of(LARGE), LARGE], ids=["stream", "bytes"])
async def test_chunk_of_a_stream_is_8_mib_at_most(source):
    async with sandbox_and_client(client={"upload_limits": ROOMY}) as (sandbox, livepeer):
        await livepeer.upload(source, length=len(LARGE))
        is_stream = source is not LARGE
        assert max(chunks(sandbox)) == (LARGEST_CHUNK if is_stream else len(LARGE))


@pytest.mark.parametrize(
    ("options", "largest"),
    [
        ({"length": len(LARGE)}, LARGEST_CHUNK),
        ({"defer_length": True}, LARGEST_CHUNK),
        ({"defer_length": True, "length": len(LARGE)}, LARGEST_CHUNK),
        ({}, len(LARGE)),
    ],
    ids=["length", "deferred", "both", "spooled"],
)
async def test_chunk_of_a_tus_stream_is_8_mib_at_most(options, largest):
    async with sandbox_and_client() as (sandbox, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        async with TusClient(limits=ROOMY) as client:
            await client.upload(pieces_of(LARGE), ticket.tus_endpoint, **options)
        assert max(chunks(sandbox)) == largest


@pytest.mark.parametrize("difference", [-1, 1])
async def test_stream_of_another_length_is_refused(difference):
    wrong = len(CONTENT) + difference
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(errors.SourceChanged):
            await livepeer.upload(pieces_of(CONTENT), length=wrong)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


@pytest.mark.parametrize("difference", [-1, 1])
@pytest.mark.parametrize("defer_length", [False, True])
@pytest.mark.parametrize("size", [70_000, len(CONTENT) + 1])
async def test_tus_stream_of_another_length_is_refused(difference, defer_length, size):
    options = {"length": len(CONTENT) + difference, "defer_length": defer_length}
    async with sandbox_and_client() as (sandbox, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        async with TusClient() as client:
            with pytest.raises(errors.SourceChanged):
                await client.upload(pieces_of(CONTENT, size), ticket.tus_endpoint, **options)
        assert sum(chunks(sandbox)) < options["length"]


@pytest.mark.parametrize("difference", [-1, 1])
@pytest.mark.parametrize("is_told", [True, False])
async def test_stream_does_not_resume_a_longer_or_shorter_upload(difference, is_told):
    other = (CONTENT + b"x")[: len(CONTENT) + difference]
    options = {"length": len(CONTENT)} if is_told else {"defer_length": True}
    async with sandbox_and_client() as (_, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        async with TusClient() as client:
            upload_url = await client.upload(CONTENT, ticket.tus_endpoint)
            with pytest.raises(errors.SourceChanged):
                await client.upload(pieces_of(other), upload_url=upload_url, **options)
            same = pieces_of(CONTENT)
            assert await client.upload(same, upload_url=upload_url, **options) == upload_url
