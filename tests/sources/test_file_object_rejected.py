"""File objects that can't be read from their first byte are rejected; a pipe is a stream."""

import gzip
import io
import os
import tempfile
from contextlib import asynccontextmanager
from functools import partial

import aiofiles
import anyio
import pytest
from starlette.datastructures import UploadFile

from livepeer_async import errors
from livepeer_async.sources.opening import open_source, open_unspooled
from uploads.file_kinds import CONTENT, ReadOnly, Seeks, Tells, read_all, tus_storage

pytestmark = pytest.mark.anyio


class Fails(ReadOnly):
    """Can't seek, and raises the given error."""

    def __init__(self, error, *, position=None):
        super().__init__(at=4)
        self.error = error
        if position is not None:
            self.tell = lambda: position

    def seek(self, offset, whence=os.SEEK_SET):
        raise self.error


UNSUPPORTED = [
    io.UnsupportedOperation("seek"),
    OSError("not seekable"),
    NotImplementedError(),
    AttributeError("seek"),
]


class OnlyTells(ReadOnly):
    def tell(self):
        return self.inner.tell()


class TellsAsync(ReadOnly):
    async def tell(self):
        return self.inner.tell()


class WrapsUnseekable(UploadFile):
    """A form's file around one that can't seek."""

    def __init__(self, at):
        super().__init__(Fails(OSError("not seekable"), position=at))


class SeeksForward(Tells):
    def seek(self, offset, whence=os.SEEK_SET):
        if whence == os.SEEK_SET and offset < self.inner.tell():
            raise OSError("can't go back")
        self.inner.seek(offset, whence)


class SeeksForwardWithoutTell(ReadOnly):
    seek = SeeksForward.seek


class SeeksNowhere(ReadOnly):
    """Its `seek` returns the requested position without moving."""

    def seek(self, offset, whence=os.SEEK_SET):
        return offset + len(CONTENT) * (whence == os.SEEK_END)


class SeeksNowhereSilently(ReadOnly):
    def seek(self, offset):
        pass


class HasWrongSize(SeeksNowhereSilently):
    size = 6


class SeeksElsewhere(Seeks):
    def seek(self, offset, whence=os.SEEK_SET):
        return super().seek(offset if whence else max(offset, 4), whence)


MIDDLES = {
    **{f"{error!r}": partial(Fails, error, position=4) for error in UNSUPPORTED},
    "other error": partial(Fails, RuntimeError("no"), position=4),
    "other error, no tell": partial(Fails, RuntimeError("no")),
    "no seek": partial(OnlyTells, 4),
    "async tell": partial(TellsAsync, 4),
    "form": partial(WrapsUnseekable, 4),
    "forward": partial(SeeksForward, 4),
    "forward, no tell": partial(SeeksForwardWithoutTell, 4),
    "seeks nowhere": partial(SeeksNowhere, 4),
    "seeks nowhere, at its end": partial(SeeksNowhere, len(CONTENT)),
    "seeks nowhere silently": partial(SeeksNowhereSilently, 4),
    "wrong size": partial(HasWrongSize, len(CONTENT) - 3),
    "seeks elsewhere": partial(SeeksElsewhere, 9),
}


@pytest.mark.parametrize("make", MIDDLES.values(), ids=MIDDLES)
@pytest.mark.parametrize("open_it", [open_source, open_unspooled])
@pytest.mark.parametrize("length", [None, len(CONTENT) - 4])
async def test_file_object_in_its_middle_is_rejected(make, open_it, length):
    with pytest.raises(errors.SourceNotReadable, match="can't be rewound to its first byte"):
        async with open_it(make(), length=length):
            pass


@pytest.mark.parametrize(
    "file",
    [
        *(Fails(error) for error in UNSUPPORTED),
        *(Fails(error, position=0) for error in [*UNSUPPORTED, RuntimeError("no")]),
        ReadOnly(4),
        WrapsUnseekable(0),
    ],
    ids=lambda file: type(file).__name__,
)
async def test_file_object_without_position_is_a_stream(file):
    rest = CONTENT[4:]
    async with open_source(file) as source:
        assert (source.length, await read_all(source)) == (len(rest), rest)


@pytest.mark.parametrize("open_it", [open_source, open_unspooled])
async def test_file_object_that_only_seeks_forward_is_a_stream(open_it):
    class SeeksForwardFromStart(OnlyTells):
        def seek(self, offset):
            if offset < self.inner.tell():
                raise ValueError("can't go back")
            self.inner.seek(offset)

    async with open_it(SeeksForwardFromStart(0)) as source:
        assert await read_all(source) == CONTENT
    async with open_it(SeeksForwardFromStart(0), length=len(CONTENT)) as source:
        assert await read_all(source) == CONTENT
    with pytest.raises(errors.SourceNotReadable, match="it is at byte 4"):
        async with open_it(SeeksForwardFromStart(4)):
            pass


@pytest.mark.parametrize("buffering", [-1, 0])
async def test_pipe_is_read_from_its_position(buffering):
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(b"0123456789")
    with os.fdopen(reading, "rb", buffering=buffering) as pipe:
        async with tus_storage() as store:
            assert await store(pipe, defer_length=True) == b"0123456789"


async def test_compressed_pipe_in_its_middle_is_rejected():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(gzip.compress(b"0123456789"))
    error = pytest.raises(errors.SourceNotReadable, match="can't be rewound")
    with os.fdopen(reading, "rb") as pipe, gzip.open(pipe) as file, error:
        async with open_source(file):
            pass


async def test_moved_position_is_corrected():
    file = Seeks(4)
    async with open_source(file) as source:
        assert await read_all(source) == CONTENT
        file.inner.seek(99)
        assert await read_all(source) == CONTENT


async def test_wrong_position_after_seek_is_an_error():
    class Clamps(Seeks):
        limit = len(CONTENT)

        def seek(self, offset, whence=os.SEEK_SET):
            return self.inner.seek(min(offset, self.limit), whence)

    file = Clamps()
    async with open_source(file) as source:
        file.limit = 9
        with pytest.raises(errors.SourceNotReadable, match=r"at byte 9 after seek\(10\)"):
            await source.read_into(10, memoryview(bytearray(4)))


@asynccontextmanager
async def text_files(path):
    """Open a file in text mode in several ways."""
    async with aiofiles.open(path) as first, await anyio.open_file(path) as second:
        with path.open() as third, tempfile.SpooledTemporaryFile(mode="w+") as fourth:
            fourth.write("abcdef")
            fourth.seek(0)
            yield first, second, third, fourth, io.StringIO("abcdef")


@pytest.mark.parametrize("open_it", [open_source, open_unspooled])
@pytest.mark.parametrize("at", [0, 2])
async def test_text_file_is_rejected(tmp_path, open_it, at):
    path = tmp_path / "notes.txt"
    path.write_text("abcdef")
    async with text_files(path) as files:
        for file in files:
            result = file.read(at)
            await result if hasattr(result, "__await__") else result
            with pytest.raises(errors.SourceNotReadable, match="binary mode"):
                async with open_it(file):
                    pass


async def test_closed_or_write_only_file_is_rejected(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(CONTENT)
    closed = path.open("rb")
    closed.close()
    detached = path.open("rb")
    raw = detached.detach()
    async with aiofiles.open(path, "rb") as closed_async:
        pass
    with raw, path.open("ab") as write_only:
        for file, reason in (
            (closed, "closed"),
            (closed_async, "closed"),
            (detached, "detached"),
            (write_only, "unsupported operation"),
        ):
            with pytest.raises(errors.SourceNotReadable, match=reason):
                async with open_source(file):
                    pass


async def test_endless_file_object_is_rejected_at_the_limit():
    with io.FileIO("/dev/zero") as file, pytest.raises(errors.SourceTooLarge):
        async with open_source(file, max_length=5_000_000):
            pass


async def test_sync_iterable_of_bytes_is_rejected():
    for source in ([b"a"], iter([b"a"]), (block for block in [b"a"]), {b"a": 1}, object()):
        for open_it in (open_source, open_unspooled):
            with pytest.raises(errors.ConfigurationError, match="wanted a path"):
                async with open_it(source):
                    pass
