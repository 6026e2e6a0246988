import hashlib

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async import errors
from livepeer_async.http.messages import Span
from livepeer_async.sources import blocks
from livepeer_async.sources.blocks import BLOCK, Digest, next_slice, read_ahead
from livepeer_async.sources.source import BytesSource, Source, StreamSource
from support.sandbox import make_bytes

pytestmark = pytest.mark.anyio


def source_of(data):
    return BytesSource(memoryview(data), "clip.mp4")


@pytest.mark.parametrize(
    "span",
    [Span(0, 1), Span(0, 3 * BLOCK + 17), Span(5, BLOCK + 5), Span(BLOCK - 1, 3 * BLOCK + 17)],
)
async def test_a_span_arrives_whole_and_in_order(span):
    data = make_bytes(3 * BLOCK + 17)
    found = bytearray()
    sent = []
    async with read_ahead(source_of(data), span, on_sent=sent.append) as pieces:
        async for piece in pieces:
            found += piece
    assert found == data[span.start : span.stop]
    assert sent == sorted(sent)
    assert sent[-1] == span.size


async def test_no_more_buffers_than_two_are_used():
    buffers = set()

    class Counting(BytesSource):
        async def read_into(self, position, buffer):
            buffers.add(id(buffer.obj))
            return await super().read_into(position, buffer)

    source = Counting(memoryview(bytes(9 * BLOCK)), "x")
    async with read_ahead(source, Span(0, 9 * BLOCK)) as pieces:
        async for _ in pieces:
            pass
    assert len(buffers) == blocks.BUFFERS


async def test_the_next_block_is_read_while_one_is_being_sent():
    reached = anyio.Event()

    class Watched(BytesSource):
        async def read_into(self, position, buffer):
            if position == BLOCK:
                reached.set()
            return await super().read_into(position, buffer)

    source = Watched(memoryview(bytes(4 * BLOCK)), "x")
    async with read_ahead(source, Span(0, 4 * BLOCK)) as pieces:
        await anext(pieces)
        with anyio.fail_after(30):
            await reached.wait()


async def test_a_source_that_ends_early_stops_the_iterator_with_its_error():
    source = source_of(b"x" * 10)
    source.length = 20
    found = b""
    with pytest.raises(errors.SourceChanged, match="ended at byte 10"):
        async with read_ahead(source, Span(0, 20)) as pieces:
            async for piece in pieces:
                found += piece
    assert found == b"x" * 10


async def test_a_source_that_changed_never_gives_its_last_block():
    async def too_much():
        yield b"x" * 10
        yield b"y"

    source = StreamSource(too_much(), length=10)
    found = b""
    with pytest.raises(errors.SourceChanged):
        async with read_ahead(source, Span(0, 10)) as pieces:
            async for piece in pieces:
                found += piece
    assert found == b""


async def test_an_error_of_the_sender_comes_out_as_it_is():
    with pytest.raises(ZeroDivisionError):
        async with read_ahead(source_of(bytes(5 * BLOCK)), Span(0, 5 * BLOCK)) as pieces:
            await anext(pieces)
            raise ZeroDivisionError


async def test_cancelling_the_sender_ends_the_reading():
    ended = []

    class Slow(Source):
        async def read_into(self, position, buffer):
            scope.cancel()
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(position)

    with anyio.CancelScope() as scope:
        async with read_ahead(Slow("x", 5), Span(0, 5)) as pieces:
            await anext(pieces)
    assert scope.cancelled_caught
    assert ended == [0]


@pytest.mark.parametrize(
    ("size", "seconds", "wanted"),
    [
        (128, 0.0, 256),
        (blocks.MAX_SLICE, 0.0, blocks.MAX_SLICE),
        (blocks.MAX_SLICE, 0.5, blocks.MAX_SLICE),
        (blocks.MAX_SLICE, 3.0, blocks.MAX_SLICE // 2),
        (blocks.MIN_SLICE, 3.0, blocks.MIN_SLICE),
    ],
)
def test_a_slice_is_as_large_as_the_link_is_quick(size, seconds, wanted):
    assert next_slice(size, seconds) == wanted


@given(st.lists(st.integers(0, 99), max_size=6))
def test_a_digest_is_that_of_the_source_whatever_passed_it(starts):
    data = make_bytes(100)

    async def digest():
        made = Digest()
        for start in starts:
            await made.add(start, memoryview(data)[start : start + 30])
        return await made.finish(source_of(data))

    assert anyio.run(digest) == hashlib.sha256(data).hexdigest()


async def test_a_digest_of_a_source_that_shrank_is_an_error():
    source = source_of(b"abc")
    source.length = 5
    with pytest.raises(errors.SourceChanged):
        await Digest().finish(source)
