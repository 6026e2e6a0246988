import io
import mmap
import os
import tracemalloc

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import errors
from livepeer_async.http.messages import Span
from livepeer_async.sources.blocks import read_ahead
from livepeer_async.sources.opening import open_source
from livepeer_async.sources.streams import READ_AHEAD, SEGMENT, StreamSource, prefetch
from support.sandbox import make_bytes
from support.streams import split, stream

pytestmark = pytest.mark.anyio

KIB = 1024
BRIEF = 0.05


async def read_span(source, stop):
    found = bytearray()
    async with read_ahead(source, Span(0, stop), slice_size=SEGMENT) as reader:
        async for block_slice in reader:
            found += block_slice
    return bytes(found)


async def silent():
    await anyio.sleep_forever()
    yield b""


async def silent_after(count):
    yield bytes(count)
    await anyio.sleep_forever()


async def only_empty_pieces():
    while True:
        yield b""


async def renaming():
    try:
        yield b"abc"
        await anyio.sleep_forever()
    except BaseException as error:
        raise ConnectionResetError("the visitor has gone") from error


class SilentPipe(io.RawIOBase):
    """The read end of a pipe that nothing is written to."""

    name = "silent"

    def __init__(self):
        self._ends = os.pipe()

    def read(self, size=-1):
        return os.read(self._ends[0], 10)

    def seek(self, *args):
        raise io.UnsupportedOperation("seek")

    def tell(self):
        raise io.UnsupportedOperation("tell")

    def release(self):
        os.write(self._ends[1], b"x")
        for end in self._ends:
            os.close(end)


class SilentFile:
    """An async file object that can seek, and whose reads never end."""

    name = "silent"

    async def seek(self, position, whence=0):
        return 10 if whence else position

    async def read(self, size=-1):
        await anyio.sleep_forever()


@pytest.mark.parametrize("size", [1, 7 * KIB, 16 * KIB, SEGMENT, 3 * SEGMENT + 5])
async def test_span_of_a_stream_has_its_bytes(size):
    content = make_bytes(2 * SEGMENT + 11 if size > 1 else 999)
    async with open_source(split(content, size), length=len(content)) as source:
        assert await read_span(source, len(content)) == content
        assert await read_span(source, len(content)) == content


async def test_pieces_that_are_ready_are_joined():
    async with prefetch(split(bytes(READ_AHEAD), 16 * KIB), name="x") as blocks:
        assert [len(block) async for block in blocks] == [READ_AHEAD]


async def test_pieces_of_consecutive_iterations_are_joined():
    async def pieces():
        for _ in range(16):
            await anyio.lowlevel.checkpoint()
            yield bytes(KIB)

    async with prefetch(pieces(), name="x") as blocks:
        assert [len(block) async for block in blocks] == [16 * KIB]


async def test_piece_of_a_pausing_stream_is_not_delayed():
    async with prefetch(silent_after(10), name="x") as blocks:
        assert await anext(blocks) == bytes(10)


async def test_stream_is_read_a_little_ahead():
    read = []

    async def pieces():
        for number in range(100):
            read.append(number)
            yield bytes(64 * KIB)

    async with open_source(pieces(), length=6_553_600) as source:
        await source.available(0, 1)
        await anyio.wait_all_tasks_blocked()
        assert len(read) * 64 * KIB <= 2 * READ_AHEAD + 64 * KIB


async def test_buffer_that_a_stream_uses_again_is_copied():
    async def pieces():
        buffer = bytearray(READ_AHEAD + 10)
        for value in b"abc":
            buffer[:] = bytes([value]) * len(buffer)
            yield memoryview(buffer)

    content = b"".join(bytes([value]) * (READ_AHEAD + 10) for value in b"abc")
    async with open_source(pieces(), length=len(content)) as source:
        assert await read_span(source, len(content)) == content


async def test_released_segments_are_used_again(monkeypatch):
    created = []

    class Counted(mmap.mmap):
        def __init__(self, *args):
            created.append(1)

    monkeypatch.setattr(mmap, "mmap", Counted)
    source = StreamSource(split(bytes(20 * SEGMENT), SEGMENT), length=20 * SEGMENT)
    for position in range(0, 20 * SEGMENT, SEGMENT):
        assert len(await source.view(position, SEGMENT)) == SEGMENT
        source.release(position + SEGMENT)
    assert len(created) == 1


@pytest.mark.parametrize("length", [100, None])
@pytest.mark.parametrize(
    ("make", "received"),
    [(silent, 0), (lambda: silent_after(7), 7), (only_empty_pieces, 0), (renaming, 3)],
    ids=["nothing", "some bytes", "empty pieces", "an error of its own"],
)
async def test_silent_stream_times_out(length, make, received):
    with anyio.fail_after(30), pytest.raises(errors.SourceTimedOut, match=r"talk\.mp4") as caught:
        async with open_source(make(), length=length, timeout=BRIEF, name="talk.mp4") as source:
            await source.available(0, 100)
    assert caught.value.received == received
    assert isinstance(caught.value, TimeoutError)


async def test_silent_pipe_times_out():
    pipe = SilentPipe()
    with anyio.fail_after(30), pytest.raises(errors.SourceTimedOut):
        async with open_source(pipe, timeout=BRIEF):
            pass
    pipe.release()


async def test_silent_async_file_times_out():
    with anyio.fail_after(30), pytest.raises(errors.SourceTimedOut):
        async with open_source(SilentFile(), timeout=BRIEF):
            pass


async def test_time_in_which_no_byte_is_wanted_does_not_count():
    content = make_bytes(3 * READ_AHEAD)
    async with open_source(split(content, 64 * KIB), length=len(content), timeout=BRIEF) as source:
        await source.available(0, 1)
        await anyio.sleep(3 * BRIEF)
        assert await read_span(source, len(content)) == content


async def test_silence_while_no_byte_is_wanted_does_not_count():
    resumption = anyio.Event()

    async def pieces():
        yield b"a"
        await resumption.wait()
        yield b"b"

    async with open_source(pieces(), length=2, timeout=BRIEF) as source:
        await source.available(0, 1)
        await anyio.sleep(3 * BRIEF)
        resumption.set()
        assert await read_span(source, 2) == b"ab"


async def test_silence_is_limited_over_several_reads():
    async with open_source(silent_after(7), length=100, timeout=10 * BRIEF) as source:
        with anyio.fail_after(30), pytest.raises(errors.SourceTimedOut):
            while True:
                with anyio.move_on_after(BRIEF):
                    await source.available(0, 100)


async def test_stream_that_pauses_briefly_is_read():
    async def pieces():
        for _ in range(4):
            await anyio.sleep(BRIEF)
            yield b"x"

    async with open_source(pieces(), timeout=20 * BRIEF) as source:
        assert source.length == 4


async def test_generator_with_a_scope_of_its_own_is_read():
    async def pieces():
        with anyio.fail_after(30):
            async with anyio.create_task_group():
                yield b"a"
                yield b"b"

    async with open_source(pieces(), length=2, timeout=30) as source:
        assert await read_span(source, 2) == b"ab"


@pytest.mark.parametrize("length", [100, None])
async def test_error_of_a_stream_is_the_cause(length):
    cause = ConnectionResetError("the visitor has gone")

    async def broken():
        yield b"abc"
        raise cause

    with pytest.raises(errors.SourceNotReadable, match=r"talk\.mp4 broke off") as caught:
        async with open_source(broken(), length=length, name="talk.mp4") as source:
            await source.available(0, 100)
    assert caught.value.__cause__ is cause


async def test_stream_without_an_end_is_not_spooled_beyond_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 64 * KIB
            yield bytes(64 * KIB)

    with pytest.raises(errors.SourceTooLarge) as caught:
        async with open_source(endless(), max_length=3_000_000):
            pass
    assert caught.value.limit == 3_000_000
    assert taken < 3_000_000 + 2 * 2**20


@pytest.mark.parametrize(
    "source",
    [bytes(11), io.BytesIO(bytes(11)), stream(bytes(11)), stream(b"x" * 6, b"x" * 5)],
    ids=["bytes", "file object", "one piece", "two pieces"],
)
async def test_source_above_max_length_is_refused(source):
    with pytest.raises(errors.SourceTooLarge, match="at most 10"):
        async with open_source(source, max_length=10):
            pass


async def test_announced_length_above_max_length_reads_nothing():
    read = []

    async def pieces():
        read.append(1)
        yield b""

    with pytest.raises(errors.SourceTooLarge):
        async with open_source(pieces(), length=11, max_length=10):
            pass
    assert not read


async def test_memory_of_a_long_stream_is_bounded():
    mib, total = 2**20, 64 * 2**20

    async def pieces():
        for _ in range(total // (64 * KIB)):
            yield bytes(64 * KIB)

    async with open_source(pieces(), length=total) as source:
        tracemalloc.start()
        try:
            for start in range(0, total, 8 * mib):
                async with read_ahead(source, Span(start, start + 8 * mib)) as reader:
                    async for _ in reader:
                        pass
                source.release(start + 8 * mib)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 10 * mib


async def test_chunk_of_a_slow_stream_is_read_before_it_is_sent():
    async def pieces():
        for _ in range(10):
            await anyio.sleep(0.01)
            yield b"x" * 10

    async with open_source(pieces(), length=100) as source:
        await source.wait_for_chunk(Span(0, 100), max_seconds=0.001)
        assert source.end == 100


async def test_chunk_of_a_fast_stream_is_sent_while_it_is_read():
    more = anyio.Event()

    async def pieces():
        yield b"x" * 10
        await more.wait()
        yield b"x" * 90

    async with open_source(pieces(), length=100) as source:
        await source.wait_for_chunk(Span(0, 100), max_seconds=1000)
        assert source.end == 10
        more.set()
        await source.wait_for_chunk(Span(0, 100), max_seconds=1000)
        assert source.end == 100
