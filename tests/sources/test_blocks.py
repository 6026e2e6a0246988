import hashlib

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async import errors
from livepeer_async.http.messages import Span
from livepeer_async.sources import blocks
from livepeer_async.sources.blocks import BLOCK, Digest, next_slice, read_ahead
from livepeer_async.sources.source import BytesSource, Source
from livepeer_async.sources.streams import StreamSource
from support.sandbox import make_bytes

pytestmark = pytest.mark.anyio


def source_of(data):
    return BytesSource(memoryview(data), "clip.mp4")


@pytest.mark.parametrize(
    "span",
    [Span(0, 1), Span(0, 3 * BLOCK + 17), Span(5, BLOCK + 5), Span(BLOCK - 1, 3 * BLOCK + 17)],
)
async def test_span_is_read_whole_and_in_order(span):
    data = make_bytes(3 * BLOCK + 17)
    found = bytearray()
    sent = []
    async with read_ahead(source_of(data), span, on_sent=sent.append) as reader:
        async for block_slice in reader:
            found += block_slice
    assert found == data[span.start : span.stop]
    assert sent == sorted(sent)
    assert sent[-1] == span.size


async def test_only_two_buffers_are_used():
    buffers = set()

    class Counting(BytesSource):
        async def read_into(self, position, buffer):
            buffers.add(id(buffer.obj))
            return await super().read_into(position, buffer)

    source = Counting(memoryview(bytes(9 * BLOCK)), "x")
    async with read_ahead(source, Span(0, 9 * BLOCK)) as reader:
        async for _ in reader:
            pass
    assert len(buffers) == blocks.BUFFERS


async def test_next_block_is_read_while_one_is_sent():
    reached = anyio.Event()

    class Signalling(BytesSource):
        async def read_into(self, position, buffer):
            if position == BLOCK:
                reached.set()
            return await super().read_into(position, buffer)

    source = Signalling(memoryview(bytes(4 * BLOCK)), "x")
    async with read_ahead(source, Span(0, 4 * BLOCK)) as reader:
        await anext(reader)
        with anyio.fail_after(30):
            await reached.wait()


async def test_source_that_ends_early_is_a_change():
    source = source_of(b"x" * 10)
    source.length = 20
    found = b""
    with pytest.raises(errors.SourceChanged, match="ended at byte 10"):
        async with read_ahead(source, Span(0, 20)) as reader:
            async for block_slice in reader:
                found += block_slice
    assert found == b"x" * 10


async def test_last_block_of_a_changed_source_is_not_sent():
    async def too_long():
        yield b"x" * 10
        yield b"y"

    source = StreamSource(too_long(), length=10)
    found = b""
    with pytest.raises(errors.SourceChanged):
        async with read_ahead(source, Span(0, 10)) as reader:
            async for block_slice in reader:
                found += block_slice
    assert found == b""


async def test_error_of_the_sender_is_raised_unchanged():
    with pytest.raises(ZeroDivisionError):
        async with read_ahead(source_of(bytes(5 * BLOCK)), Span(0, 5 * BLOCK)) as reader:
            await anext(reader)
            raise ZeroDivisionError


async def test_cancelled_sender_ends_the_reading():
    ended = []

    class Slow(Source):
        async def read_into(self, position, buffer):
            scope.cancel()
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(position)

    with anyio.CancelScope() as scope:
        async with read_ahead(Slow("x", 5), Span(0, 5)) as reader:
            await anext(reader)
    assert scope.cancelled_caught
    assert ended == [0]


@pytest.mark.parametrize(
    ("size", "seconds", "expected"),
    [
        (128, 0.0, 256),
        (blocks.MAX_SLICE, 0.0, blocks.MAX_SLICE),
        (blocks.MAX_SLICE, 0.5, blocks.MAX_SLICE),
        (blocks.MAX_SLICE, 3.0, blocks.MAX_SLICE // 2),
        (blocks.MIN_SLICE, 3.0, blocks.MIN_SLICE),
    ],
)
def test_slice_size_follows_the_speed(size, seconds, expected):
    assert next_slice(size, seconds) == expected


@given(st.lists(st.integers(0, 99), max_size=6))
def test_digest_covers_the_whole_source(starts):
    data = make_bytes(100)

    async def compute():
        digest = Digest()
        for start in starts:
            digest.add(start, memoryview(data)[start : start + 30])
        return await digest.finish(source_of(data))

    assert anyio.run(compute) == hashlib.sha256(data).hexdigest()


async def test_digest_of_a_shrunken_source_is_an_error():
    source = source_of(b"abc")
    source.length = 5
    with pytest.raises(errors.SourceChanged):
        await Digest().finish(source)
