import anyio
import pytest

from livepeer_async import errors
from livepeer_async.sources.source import Source
from livepeer_async.sources.streams import StreamSource
from support.streams import stream

pytestmark = pytest.mark.anyio


async def read(source, position, size=100):
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: await source.read_into(position, buffer)])


async def test_stream_keeps_only_unreleased_bytes():
    source = StreamSource(stream(b"abcd", b"efgh", b"ijkl"), length=12)
    assert await read(source, 0, 6) == b"abcd"
    assert await read(source, 4, 6) == b"efgh"
    source.release(6)
    assert await read(source, 6) == b"gh"
    with pytest.raises(errors.SourceNotReplayable, match="from 6 on"):
        await read(source, 5)
    source.release(2)
    assert await read(source, 8) == b"ijkl"
    assert await read(source, 12) == b""


async def test_stream_longer_than_announced_is_a_change():
    source = StreamSource(stream(b"abc", b"", b"d"), length=3)
    await source.check()
    assert await read(source, 0) == b"abc"
    with pytest.raises(errors.SourceChanged, match="more than the 3 bytes"):
        await source.check()


async def test_stream_of_the_announced_length_passes():
    source = StreamSource(stream(b"abc", b""), length=3)
    assert await read(source, 0) == b"abc"
    await source.check()
    await source.check()


async def test_open_ended_stream_detects_its_end():
    source = StreamSource(stream(b"abcd", b"ef"), length=None)
    assert await source.available(0, 4) == 4
    assert source.is_open_ended
    await source.check()
    source.release(4)
    assert await source.available(4, 4) == 2
    assert (source.is_open_ended, source.length) == (False, 6)


async def test_failing_stream_is_an_error_of_the_source():
    async def broken():
        yield b"abc"
        raise RuntimeError("disk failed")

    source = StreamSource(broken(), length=10)
    assert await read(source, 0) == b"abc"
    with pytest.raises(errors.SourceNotReadable, match="disk failed"):
        await read(source, 3)


async def test_source_without_implementation_cannot_be_read():
    with pytest.raises(NotImplementedError):
        await Source("x", 1).read_into(0, memoryview(bytearray(1)))


async def test_cancelled_stream_has_not_ended():
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
