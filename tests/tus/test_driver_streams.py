"""Streams with the driver: lengths known at the end, and bytes kept until acknowledged."""

import anyio
import anyio.lowlevel
import pytest

from livepeer_async.errors import (
    RetriesExhausted,
    SourceChanged,
    SourceEmpty,
    SourceNotReadable,
    SourceNotReplayable,
    SourceTooLarge,
)
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sources.streams import StreamSource
from livepeer_async.tus import ServerLimits, State
from tus.network import CONTENT, LIMITS, Network, run, source_of, upload_of
from tus.servers import HOST, Cut, LoseAnswer, PlainStore, Short

pytestmark = pytest.mark.anyio


async def stream(content, size=3):
    for start in range(0, len(content), size):
        await anyio.lowlevel.checkpoint()
        yield content[start : start + size]


def deferred(limits=LIMITS):
    return upload_of(limits=limits, length=None)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 17, 40])
@pytest.mark.parametrize("size", [1, 8, 100])
async def test_length_of_a_stream_is_declared_at_its_end(length, size):
    network, content = Network(), CONTENT[:length]
    source = StreamSource(stream(content, size), length=None)
    upload = await run(network, deferred(), source)
    assert network.stored(upload) == content
    assert upload.length == source.length == length
    declared = [r for r in network.requests if "Upload-Length" in r.headers]
    assert declared == [network.requests[-1]]
    assert len(network.requests) == 1 + -(-length // 8)


async def test_chunks_of_deferred_length_are_aligned():
    limits = ServerLimits(align=8, tail_alone=True, first_chunk=16, max_chunk=16)
    network = Network()
    source = StreamSource(stream(CONTENT[:29]), length=None)
    assert network.stored(await run(network, deferred(limits), source)) == CONTENT[:29]
    sizes = [r.content.size for r in network.requests[1:]]
    assert sizes == [16, 8, 5]


async def test_known_length_is_declared_with_the_first_chunk():
    network = Network()
    upload = await run(network, deferred())
    assert network.stored(upload) == CONTENT
    assert network.requests[1].headers["Upload-Length"] == "40"


@pytest.mark.parametrize("pieces", [[], [b"", b""]])
async def test_empty_stream_is_an_error(pieces):
    async def nothing():
        for piece in pieces:
            yield piece

    with pytest.raises(SourceEmpty):
        await run(Network(), deferred(), StreamSource(nothing(), length=None))


async def test_stream_above_the_maximum_length_is_an_error():
    limits = ServerLimits(first_chunk=8, max_chunk=8, max_length=20)
    source = StreamSource(stream(CONTENT), length=None)
    with pytest.raises(SourceTooLarge):
        await run(Network(), deferred(limits), source)


async def test_stream_keeps_a_chunk_until_acknowledged():
    network = Network(faults=[None, Cut(0), None, None, Cut(5), None, Short(2)])
    source = StreamSource(stream(CONTENT), length=len(CONTENT))
    assert network.stored(await run(network, source=source)) == CONTENT


async def test_stream_releases_acknowledged_bytes():
    store = PlainStore()
    network = Network(store, faults=[None, None, LoseAnswer()])
    upload = upload_of()

    async def lose_bytes(seconds):
        await network.sleep(seconds)
        if len(network.requests) == 3:
            store.forget(upload.upload_url.removeprefix(HOST), 16)

    source = StreamSource(stream(CONTENT), length=len(CONTENT))
    with pytest.raises(SourceNotReplayable):
        await run(network, upload, source, sleep=lose_bytes)


async def interrupted_upload(network, count):
    """Interrupt an upload of CONTENT after `count` bytes and return its URL."""
    upload = upload_of()
    driver = network.driver(upload, source_of(), retry=RetryPolicy(attempts=0))
    network.faults = [None, Cut(count)]
    with pytest.raises(RetriesExhausted):
        await driver.run()
    network.requests.clear()
    return upload.upload_url


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_resumed_stream_is_read_up_to_the_offset(length):
    network = Network()
    url = await interrupted_upload(network, 5)
    source = StreamSource(stream(CONTENT), length=length)
    upload = await run(network, upload_of(upload_url=url, length=length), source)
    assert network.stored(upload) == CONTENT
    assert network.requests[1].headers["Upload-Offset"] == "5"


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_stream_that_ends_below_the_offset_has_changed(length):
    network = Network()
    url = await interrupted_upload(network, 5)
    source = StreamSource(stream(CONTENT[:3]), length=length)
    with pytest.raises(SourceChanged, match="ended before byte 5"):
        await run(network, upload_of(upload_url=url, length=length), source)


@pytest.mark.parametrize("content", [CONTENT[:39], CONTENT + b"x"], ids=["shorter", "longer"])
async def test_resumed_stream_must_have_the_declared_length(content):
    network = Network()
    url = await interrupted_upload(network, 5)
    source = StreamSource(stream(content), length=None)
    upload = upload_of(upload_url=url, length=None)
    with pytest.raises(SourceChanged):
        await run(network, upload, source)
    assert upload.state is not State.COMPLETE


async def test_source_of_another_length_has_changed():
    network = Network()
    url = await interrupted_upload(network, 5)
    with pytest.raises(SourceChanged, match="has 41 bytes; the upload has 40"):
        await run(network, upload_of(upload_url=url, length=None), source_of(CONTENT + b"x"))


async def test_upload_of_a_broken_stream_can_be_resumed():
    async def broken():
        yield CONTENT[:11]
        raise OSError("camera unplugged")

    network, upload = Network(), upload_of()
    source = StreamSource(broken(), length=len(CONTENT))
    with pytest.raises(SourceNotReadable, match="camera unplugged"):
        await run(network, upload, source)
    assert upload.state is State.OFFSET_UNKNOWN
    await run(network, upload)
    assert network.stored(upload) == CONTENT
