import anyio
import pytest

from livepeer_async import errors
from livepeer_async.sources.source import Source, StreamSource

pytestmark = pytest.mark.anyio


async def pieces(*content):
    for piece in content:
        yield piece


async def read(source, position, size=100):
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: await source.read_into(position, buffer)])


async def test_a_stream_keeps_only_what_was_not_released():
    source = StreamSource(pieces(b"abcd", b"efgh", b"ijkl"), length=12)
    assert await read(source, 0, 6) == b"abcd"
    assert await read(source, 4, 6) == b"efgh"
    source.release(6)
    assert await read(source, 6) == b"gh"
    with pytest.raises(errors.SourceNotReplayable, match="from 6 on"):
        await read(source, 5)
    source.release(2)
    assert await read(source, 8) == b"ijkl"
    assert await read(source, 12) == b""


async def test_a_stream_with_more_than_it_said_is_noticed_with_its_last_byte():
    source = StreamSource(pieces(b"abc", b"", b"d"), length=3)
    await source.check()
    assert await read(source, 0) == b"abc"
    with pytest.raises(errors.SourceChanged, match="more than the 3 bytes"):
        await source.check()


async def test_a_stream_that_ends_where_it_said_passes():
    source = StreamSource(pieces(b"abc", b""), length=3)
    assert await read(source, 0) == b"abc"
    await source.check()
    await source.check()


async def test_an_open_ended_stream_knows_its_end_with_the_last_byte():
    source = StreamSource(pieces(b"abcd", b"ef"), length=None)
    assert await source.available(0, 4) == 4
    assert source.is_open_ended
    await source.check()
    source.release(4)
    assert await source.available(4, 4) == 2
    assert (source.is_open_ended, source.length) == (False, 6)


async def test_a_stream_that_breaks_off_is_an_error_of_the_source():
    async def broken():
        yield b"abc"
        raise RuntimeError("the tape tore")

    source = StreamSource(broken(), length=10)
    assert await read(source, 0) == b"abc"
    with pytest.raises(errors.SourceNotReadable, match="the tape tore"):
        await read(source, 3)


async def test_a_source_of_nothing_can_not_be_read():
    with pytest.raises(NotImplementedError):
        await Source("x", 1).read_into(0, memoryview(bytearray(1)))


async def test_a_stream_that_was_cancelled_has_not_ended():
    async def slow():
        yield b"abc"
        scope.cancel()
        await anyio.sleep_forever()
        yield b"def"

    source = StreamSource(slow(), length=None)
    with anyio.CancelScope() as scope:
        await source.available(0, 6)
    with pytest.raises(errors.SourceNotReadable, match="broke off earlier"):
        await source.available(0, 6)
    assert source.is_open_ended
