import io
import os
import tempfile

import anyio
import pytest
from starlette.datastructures import UploadFile

from livepeer_async import errors
from livepeer_async.sources import opening
from livepeer_async.sources.files import FileSource, PathSource
from livepeer_async.sources.opening import open_source
from livepeer_async.sources.source import BytesSource, source_name
from livepeer_async.sources.streams import StreamSource
from support.disk_limits import unprivileged
from support.streams import stream

pytestmark = pytest.mark.anyio


async def read_all(source, start=0):
    found = bytearray()
    buffer = memoryview(bytearray(7))
    while count := await source.read_into(start + len(found), buffer):
        found += buffer[:count]
    return bytes(found)


async def test_empty_path_is_not_found():
    with pytest.raises(errors.SourceNotReadable, match="No such file"):
        async with open_source(""):
            pass


async def test_path_is_read(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"0123456789")
    for either in (path, str(path)):
        async with open_source(either) as source:
            assert isinstance(source, PathSource)
            assert (source.name, source.length, source.is_stream) == ("clip.mp4", 10, False)
            assert await read_all(source) == b"0123456789"
            assert await read_all(source, 4) == b"456789"
            await source.check()
            assert repr(source) == "<PathSource 'clip.mp4', 10 bytes>"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_bytes_like_is_read(kind):
    async with open_source(kind(b"0123456789")) as source:
        assert isinstance(source, BytesSource)
        assert (source.name, source.length) == ("untitled", 10)
        assert await read_all(source, 3) == b"3456789"
        await source.check()
        source.release(5)
        assert await read_all(source) == b"0123456789"


async def test_view_of_larger_items_counts_bytes():
    async with open_source(memoryview(bytearray(8)).cast("I")) as source:
        assert source.length == 8


async def test_stream_of_known_length_is_not_spooled():
    async with open_source(stream(b"abc", b"", b"defgh"), length=8) as source:
        assert isinstance(source, StreamSource)
        assert (source.length, source.is_stream) == (8, True)
        assert await read_all(source) == b"abcdefgh"
        assert await read_all(source, 2) == b"cdefgh"
        await source.check()


async def test_stream_of_unknown_length_is_spooled():
    async with open_source(stream(b"abc", b"defgh")) as source:
        assert isinstance(source, FileSource)
        assert source.length == 8
        assert await read_all(source) == b"abcdefgh"


async def test_long_stream_is_spooled_to_a_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MAX_SPOOL_IN_MEMORY", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None
    async with open_source(stream(*[b"x" * 50] * 5)) as source:
        assert await read_all(source) == b"x" * 250
        if before is not None:
            assert len(os.listdir("/proc/self/fd")) == before + 1
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


class Pipe(io.RawIOBase):
    """A binary file object that can't seek, like a pipe."""

    def __init__(self, content):
        self._content = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._content.readinto(buffer)

    def tell(self):
        raise io.UnsupportedOperation("a pipe has no position")


async def test_file_object_is_read_from_its_first_byte(tmp_path):
    file = io.BytesIO(b"0123456789")
    file.seek(6)
    async with open_source(file) as source:
        assert (source.length, await read_all(source)) == (10, b"0123456789")
    assert not file.closed
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        async with open_source(file) as source:
            assert (source.name, await read_all(source)) == ("clip.mp4", b"0123456789")
    async with await anyio.open_file(path, "rb") as file, open_source(file) as source:
        assert (source.length, await read_all(source)) == (10, b"0123456789")


async def test_pipe_is_spooled():
    async with open_source(Pipe(b"0123456789")) as source:
        assert (source.length, await read_all(source)) == (10, b"0123456789")


async def test_form_file_is_read():
    form_file = UploadFile(io.BytesIO(b"0123456789"), size=10, filename="talk.mp4")
    async with open_source(form_file) as source:
        assert (source.name, source.length) == ("talk.mp4", 10)
        assert await read_all(source, 2) == b"23456789"


async def test_path_that_is_no_file_is_rejected(tmp_path):
    for path in (tmp_path / "none.mp4", tmp_path, "a\0b", "/dev/null"):
        with pytest.raises(errors.SourceNotReadable) as caught:
            async with open_source(path):
                pass
        assert caught.value.source == str(path)


async def test_unreadable_file_is_rejected(tmp_path):
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    with (
        unprivileged(),
        pytest.raises(errors.SourceNotReadable, match="Permission denied"),
    ):
        async with open_source(path):
            pass


@pytest.mark.parametrize("empty", [b"", io.BytesIO(), stream()])
async def test_empty_source_is_rejected(empty):
    with pytest.raises(errors.SourceEmpty, match="empty"):
        async with open_source(empty):
            pass


async def test_too_large_source_is_rejected_early():
    async def endless():
        while True:
            yield b"x" * 100

    for source in (b"x" * 11, endless()):
        with pytest.raises(errors.SourceTooLarge) as caught:
            async with open_source(source, max_length=10):
                pass
        assert caught.value.limit == 10


@pytest.mark.parametrize("source", [None, 5, ["a"], object(), iter([b"a"])])
async def test_unsupported_source_is_rejected(source):
    with pytest.raises(errors.ConfigurationError, match="wanted a path"):
        async with open_source(source):
            pass


async def test_text_is_rejected(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("abc")
    with path.open() as file, pytest.raises(errors.SourceNotReadable, match="binary"):
        async with open_source(file) as source:
            await read_all(source)
    with pytest.raises(errors.SourceNotReadable, match="str"):
        async with open_source(stream("text")):
            pass


async def test_closed_file_is_rejected():
    file = io.BytesIO(b"abc")
    file.close()
    with pytest.raises(errors.SourceNotReadable, match="closed"):
        async with open_source(file):
            pass


async def test_failing_read_is_an_error_of_the_source():
    file = io.BytesIO(b"abc")
    async with open_source(file) as source:
        file.close()
        with pytest.raises(errors.SourceNotReadable):
            await read_all(source)


@pytest.mark.parametrize("change", ["grow", "shrink", "touch", "replace", "delete"])
async def test_changed_file_is_detected(tmp_path, change):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"0123456789")
    async with open_source(path) as source:
        if change == "grow":
            path.write_bytes(b"0123456789abc")
        elif change == "shrink":
            path.write_bytes(b"01234")
        elif change == "touch":
            os.utime(path, ns=(0, 12345))
        elif change == "replace":
            (tmp_path / "other").write_bytes(b"9876543210")
            (tmp_path / "other").replace(path)
        else:
            path.unlink()
        with pytest.raises(errors.SourceChanged, match=r"clip\.mp4"):
            await source.check()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/a/b/talk.mp4", "talk.mp4"),
        (b"bytes", "untitled"),
        ("/", "untitled"),
        ("/a/caf\udce9.mp4", "caf?.mp4"),
        ('/a/"quo\nted" 🎬.mp4', '"quo\nted" 🎬.mp4'),
    ],
)
def test_source_name_is_printable_or_untitled(source, name):
    assert source_name(source) == name


async def test_full_disk_while_spooling_is_an_error(monkeypatch):
    monkeypatch.setattr(opening, "MAX_SPOOL_IN_MEMORY", 1)
    monkeypatch.setattr(tempfile, "tempdir", "/dev/full")
    with pytest.raises(errors.SourceNotReadable, match="temporary file"):
        async with open_source(stream(b"abc", b"def")):
            pass


async def test_changed_file_object_is_detected(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        async with open_source(file) as source:
            os.utime(path, ns=(0, 12345))
            with pytest.raises(errors.SourceChanged, match="changed"):
                await source.check()
    memory = io.BytesIO(b"0123456789")
    async with open_source(memory) as source:
        await source.check()
        memory.seek(0, os.SEEK_END)
        memory.write(b"more")
        with pytest.raises(errors.SourceChanged, match="more than the 10 bytes"):
            await source.check()


async def test_form_file_of_a_wrong_size_is_measured():
    form_file = UploadFile(io.BytesIO(b"0123456789"), size=6, filename="talk.mp4")
    async with open_source(form_file) as source:
        assert (source.length, await read_all(source)) == (10, b"0123456789")
        await source.check()


async def test_blocks_of_larger_items_count_bytes():
    wide = memoryview(bytearray(range(8))).cast("I")
    gaps = memoryview(b"0_1_2_")[::2]
    for block, expected in ((wide, bytes(range(8))), (gaps, b"012")):
        for either in (stream(block), block):
            async with open_source(either) as source:
                assert await read_all(source) == expected


async def test_wrong_length_is_rejected():
    with pytest.raises(errors.ConfigurationError, match="omit length"):
        async with open_source(b"0123456789", length=5):
            pass


async def test_read_of_an_idle_pipe_can_be_cancelled():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as pipe, os.fdopen(writing, "wb"):
        with anyio.move_on_after(0.1) as scope:
            async with open_source(pipe):
                pass
        assert scope.cancelled_caught


class Broken(io.RawIOBase):
    """A file object whose reads fail with an error of another library."""

    def read(self, size=-1):
        raise EOFError("the archive is truncated")


@pytest.mark.parametrize("is_seekable", [True, False])
async def test_any_error_of_a_file_object_is_translated(is_seekable):
    broken = Broken()
    broken.seekable = lambda: is_seekable
    broken.seek = lambda *_: 0
    broken.tell = lambda: 5
    with pytest.raises(errors.SourceNotReadable, match="truncated"):
        async with open_source(broken) as source:
            await read_all(source)
