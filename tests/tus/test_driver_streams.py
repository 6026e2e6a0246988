"""Streams through the driver: lengths that show at the end, and bytes kept for a repetition."""

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
from livepeer_async.sources.source import StreamSource
from livepeer_async.tus import ServerLimits, State
from tus.network import CONTENT, LIMITS, Network, run, source_of, upload_of
from tus.servers import HOST, Cut, LoseAnswer, PlainStore, Short

pytestmark = pytest.mark.anyio


async def pieces_of(content, size=3):
    for start in range(0, len(content), size):
        await anyio.lowlevel.checkpoint()
        yield content[start : start + size]


def deferred(limits=LIMITS):
    return upload_of(limits=limits, length=None)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 17, 40])
@pytest.mark.parametrize("size", [1, 8, 100])
async def test_length_of_a_stream_is_declared_at_its_end(length, size):
    network, content = Network(), CONTENT[:length]
    source = StreamSource(pieces_of(content, size), length=None)
    upload = await run(network, deferred(), source)
    assert network.stored(upload) == content
    assert upload.length == source.length == length
    declared = [r for r in network.requests if "Upload-Length" in r.headers]
    assert declared == [network.requests[-1]]
    assert len(network.requests) == 1 + -(-length // 8)


async def test_deferred_length_of_an_aligned_server_keeps_its_rules():
    limits = ServerLimits(align=8, tail_alone=True, first_chunk=16, max_chunk=16)
    network = Network()
    source = StreamSource(pieces_of(CONTENT[:29]), length=None)
    assert network.stored(await run(network, deferred(limits), source)) == CONTENT[:29]
    sizes = [r.content.size for r in network.requests[1:]]
    assert sizes == [16, 8, 5]


async def test_known_length_is_declared_with_the_first_chunk():
    network = Network()
    upload = await run(network, deferred())
    assert network.stored(upload) == CONTENT
    assert network.requests[1].headers["Upload-Length"] == "40"


@pytest.mark.parametrize("pieces", [[], [b"", b""]])
async def test_empty_stream_is_refused(pieces):
    async def nothing():
        for piece in pieces:
            yield piece

    with pytest.raises(SourceEmpty):
        await run(Network(), deferred(), StreamSource(nothing(), length=None))


async def test_stream_beyond_what_the_server_takes_is_refused():
    limits = ServerLimits(first_chunk=8, max_chunk=8, max_length=20)
    source = StreamSource(pieces_of(CONTENT), length=None)
    with pytest.raises(SourceTooLarge):
        await run(Network(), deferred(limits), source)


async def test_stream_keeps_a_chunk_for_its_repetition():
    network = Network(faults=[None, Cut(0), None, None, Cut(5), None, Short(2)])
    source = StreamSource(pieces_of(CONTENT), length=len(CONTENT))
    assert network.stored(await run(network, source=source)) == CONTENT


async def test_stream_does_not_keep_what_was_acknowledged():
    store = PlainStore()
    network = Network(store, faults=[None, None, LoseAnswer()])
    upload = upload_of()

    async def forget(seconds):
        await network.sleep(seconds)
        if len(network.requests) == 3:
            store.forget(upload.upload_url.removeprefix(HOST), 16)

    source = StreamSource(pieces_of(CONTENT), length=len(CONTENT))
    with pytest.raises(SourceNotReplayable):
        await run(network, upload, source, sleep=forget)


async def begun(network, count):
    """Begin an upload of CONTENT elsewhere, and give its URL."""
    upload = upload_of()
    driver = network.driver(upload, source_of(), retry=RetryPolicy(attempts=0))
    network.faults = [None, Cut(count)]
    with pytest.raises(RetriesExhausted):
        await driver.run()
    network.requests.clear()
    return upload.upload_url


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_stream_is_read_up_to_what_the_server_holds(length):
    network = Network()
    url = await begun(network, 5)
    source = StreamSource(pieces_of(CONTENT), length=length)
    upload = await run(network, upload_of(upload_url=url, length=length), source)
    assert network.stored(upload) == CONTENT
    assert network.requests[1].headers["Upload-Offset"] == "5"


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_stream_shorter_than_what_the_server_holds_has_changed(length):
    network = Network()
    url = await begun(network, 5)
    source = StreamSource(pieces_of(CONTENT[:3]), length=length)
    with pytest.raises(SourceChanged, match="ended before byte 5"):
        await run(network, upload_of(upload_url=url, length=length), source)


@pytest.mark.parametrize("content", [CONTENT[:39], CONTENT + b"x"], ids=["shorter", "longer"])
async def test_stream_is_held_to_the_length_that_was_declared_elsewhere(content):
    network = Network()
    url = await begun(network, 5)
    source = StreamSource(pieces_of(content), length=None)
    upload = upload_of(upload_url=url, length=None)
    with pytest.raises(SourceChanged):
        await run(network, upload, source)
    assert upload.state is not State.COMPLETE


async def test_source_of_another_length_than_the_upload_has_changed():
    network = Network()
    url = await begun(network, 5)
    with pytest.raises(SourceChanged, match="has 41 bytes; the upload is one of 40"):
        await run(network, upload_of(upload_url=url, length=None), source_of(CONTENT + b"x"))


async def test_broken_stream_leaves_an_upload_that_can_be_resumed():
    async def broken():
        yield CONTENT[:11]
        raise OSError("the camera is gone")

    network, upload = Network(), upload_of()
    source = StreamSource(broken(), length=len(CONTENT))
    with pytest.raises(SourceNotReadable, match="the camera is gone"):
        await run(network, upload, source)
    assert upload.state is State.OFFSET_UNKNOWN
    await run(network, upload)
    assert network.stored(upload) == CONTENT
