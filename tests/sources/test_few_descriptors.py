"""Sources that find no free file descriptor."""

import os
from contextlib import ExitStack

import pytest

from livepeer_async import errors
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.sources.opening import MAX_SPOOL_IN_MEMORY, open_source
from support.clock import VirtualClock
from support.descriptors import low_limit, no_free_descriptors
from support.streams import stream

pytestmark = pytest.mark.anyio
CONTENT = bytes(range(100)) * 100
SIZE = len(CONTENT)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def waiting(clock):
    return Descriptors(clock.as_clock())


def open_files(path):
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return sum(os.path.realpath(link) == str(path) for link in links)


async def read(source, position=0, size=SIZE):
    buffer = bytearray(size)
    return bytes(buffer[: await source.read_into(position, memoryview(buffer))])


async def test_file_is_closed_after_its_last_byte(path, waiting):
    async with open_source(path, descriptors=waiting) as source:
        assert open_files(path) == 1
        await read(source, 0, 10)
        assert open_files(path) == 1
        assert await read(source) == CONTENT
        assert open_files(path) == 0
        assert await read(source, 10, 20) == CONTENT[10:30]
    assert open_files(path) == 0


async def test_file_replaced_while_it_was_closed_has_changed(path, waiting, tmp_path):
    async with open_source(path, descriptors=waiting) as source:
        await read(source)
        (tmp_path / "other").write_bytes(CONTENT)
        os.replace(tmp_path / "other", path)
        with pytest.raises(errors.SourceChanged):
            await read(source)
        assert open_files(path) == 0


async def test_file_is_not_held_while_descriptors_are_scarce(path, waiting):
    with low_limit(32), ExitStack() as held:
        while (descriptor := os.dup(0)) < 20:
            held.callback(os.close, descriptor)
        held.callback(os.close, descriptor)
        async with open_source(path, descriptors=waiting) as source:
            assert open_files(path) == 0
            assert await read(source, 0, 10) == CONTENT[:10]
            assert open_files(path) == 0


async def test_file_is_opened_once_a_descriptor_is_free(path, waiting, clock):
    with no_free_descriptors() as limited:

        async def free_later():
            if len(clock.sleeps) == 3:
                limited.close()

        async with open_source(path, descriptors=waiting, after_wait=free_later) as source:
            assert await read(source) == CONTENT
    assert len(clock.sleeps) == 3


async def test_lasting_shortage_is_one_typed_error(path, waiting):
    with no_free_descriptors(), pytest.raises(errors.TooManyOpenFiles) as raised:
        async with open_source(path, descriptors=waiting):
            pass
    assert "'" + str(path) + "' can't be opened" in str(raised.value)
    assert errors.is_transient(raised.value)


async def test_stream_waits_for_its_temporary_file(waiting, clock):
    block = os.urandom(MAX_SPOOL_IN_MEMORY // 4)
    with no_free_descriptors() as limited:
        waiting.on_shortage = lambda _: limited.close()
        async with open_source(stream(*[block] * 6), descriptors=waiting) as source:
            assert source.length == 6 * len(block)
            assert await read(source, 5 * len(block), len(block)) == block
    assert len(clock.sleeps) == 1
