"""Streams: their bytes are stored, in chunks that are kept in memory."""

import anyio
import pytest

from livepeer_async import errors
from livepeer_async.tus import ServerLimits, TusClient
from support.constants import MIB
from support.sandbox import PART, is_stored, make_bytes, sandbox_and_client
from support.streams import split

pytestmark = pytest.mark.anyio

CONTENT = make_bytes(3 * PART + 777)
# The bytes of a stream are kept until they are acknowledged; see `for_stream`.
LARGEST_CHUNK = 8 * MIB
LARGE = make_bytes(LARGEST_CHUNK + 1000)
# Limits of a server that accepts the whole content in one PATCH.
LARGE_CHUNKS = ServerLimits(first_chunk=16 * MIB, max_chunk=16 * MIB)


async def reuse_buffer(data, size=50_000):
    """Yield the same buffer, refilled each time."""
    buffer = bytearray(size)
    for start in range(0, len(data), size):
        count = len(data[start : start + size])
        buffer[:count] = data[start : start + size]
        if start % (2 * size):
            await anyio.sleep(0.001)  # now the reader waits, and the buffer is refilled at once
        yield memoryview(buffer)[:count]


def chunks(sandbox):
    """List the bytes of each PATCH."""
    return [r.received for r in sandbox.requests if r.method == "PATCH" and "tus" in r.path]


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_stream_may_reuse_its_buffer(length):
    async with sandbox_and_client() as (sandbox, livepeer):
        asset = await livepeer.upload(reuse_buffer(CONTENT), length=length, verify="hash")
        assert is_stored(sandbox, asset, CONTENT)


@pytest.mark.parametrize("source", [split(LARGE, 70_000), LARGE], ids=["stream", "bytes"])
async def test_chunk_of_a_stream_is_at_most_8_mib(source):
    async with sandbox_and_client(client={"upload_limits": LARGE_CHUNKS}) as (sandbox, livepeer):
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
async def test_chunk_of_a_tus_stream_is_at_most_8_mib(options, largest):
    async with sandbox_and_client() as (sandbox, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        async with TusClient(limits=LARGE_CHUNKS) as client:
            await client.upload(split(LARGE, 70_000), ticket.tus_endpoint, **options)
        assert max(chunks(sandbox)) == largest


@pytest.mark.parametrize("difference", [-1, 1])
async def test_stream_of_another_length_is_refused(difference):
    wrong = len(CONTENT) + difference
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(errors.SourceChanged):
            await livepeer.upload(split(CONTENT, 70_000), length=wrong)
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
                await client.upload(split(CONTENT, size), ticket.tus_endpoint, **options)
        assert sum(chunks(sandbox)) < options["length"]


@pytest.mark.parametrize("difference", [-1, 1])
@pytest.mark.parametrize("has_length", [True, False])
async def test_stream_does_not_resume_a_longer_or_shorter_upload(difference, has_length):
    other = (CONTENT + b"x")[: len(CONTENT) + difference]
    options = {"length": len(CONTENT)} if has_length else {"defer_length": True}
    async with sandbox_and_client() as (_, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        async with TusClient() as client:
            upload_url = await client.upload(CONTENT, ticket.tus_endpoint)
            with pytest.raises(errors.SourceChanged):
                await client.upload(split(other, 70_000), upload_url=upload_url, **options)
            same = split(CONTENT, 70_000)
            assert await client.upload(same, upload_url=upload_url, **options) == upload_url
