"""File objects of many kinds, each with the same content and read up to some byte."""

import array
import bz2
import contextlib
import ctypes
import gzip
import io
import lzma
import mmap
import os
import tarfile
import tempfile
import zipfile
from functools import partial

import aiofiles
import aiofiles.tempfile
import anyio
from starlette.datastructures import UploadFile

from livepeer_async.tus import ServerLimits, TusClient
from support.constants import KIB
from support.sandbox import PART, make_bytes, sandbox_and_client

CONTENT = make_bytes(2 * PART + 777, seed=9)


class ReadOnly:
    """Has `read`, and the methods of a subclass."""

    def __init__(self, at=0, data=CONTENT):
        self.inner = io.BytesIO(data)
        self.inner.seek(at)

    def read(self, size):
        return self.inner.read(size)


class Seeks(ReadOnly):
    def seek(self, offset, whence=os.SEEK_SET):
        return self.inner.seek(offset, whence)


class SeeksFromStartAlone(ReadOnly):
    def seek(self, offset):
        self.inner.seek(offset)


class SeeksSilently(ReadOnly):
    def seek(self, offset, whence=os.SEEK_SET):
        self.inner.seek(offset, whence)


class SeeksWithStatus(ReadOnly):
    def seek(self, offset, whence=os.SEEK_SET):
        self.inner.seek(offset, whence)
        return 0


class IgnoresWhence(ReadOnly):
    def seek(self, offset, whence=os.SEEK_SET):
        return self.inner.seek(offset)


class Tells(SeeksSilently):
    def tell(self):
        return self.inner.tell()


class DeniesSeeking(Tells):
    def seekable(self):
        return False


class WrongSize(SeeksFromStartAlone):
    size = len(CONTENT) - 5


class TooLargeSize(SeeksFromStartAlone):
    size = len(CONTENT) + 5


class RightSize(SeeksFromStartAlone):
    size = len(CONTENT)


class SizeIsMethod(Seeks):
    def size(self):
        return 3


class SizeIsText(SeeksFromStartAlone):
    size = "3"


class SeeksAsync(ReadOnly):
    async def seek(self, offset, whence=os.SEEK_SET):
        return self.inner.seek(offset, whence)


class ReadsAsync(Seeks):
    async def read(self, size):
        return self.inner.read(size)


class ReturnsCoroutines(ReadOnly):
    """Has methods that return coroutines without being coroutine functions."""

    def __getattribute__(self, name):
        if name == "inner" or name.startswith("_"):
            return super().__getattribute__(name)

        def call(*args):
            async def run():
                return getattr(self.inner, name)(*args)

            return run()

        return call


class Forwards:
    """Forwards all attributes to another object."""

    def __init__(self, at=0):
        self._inner = io.BytesIO(CONTENT)
        self._inner.seek(at)

    def __getattr__(self, name):
        return getattr(self._inner, name)


class Iterates(SeeksAsync):
    """Is also an async iterable of its lines."""

    async def __aiter__(self):
        for line in self.inner:
            yield line


class ReadsTooMuch(Seeks):
    def read(self, size):
        return self.inner.read()


class ReadsBuffers(Seeks):
    def read(self, size):
        return array.array("B", self.inner.read(size))


class IteratingUpload(UploadFile):
    async def __aiter__(self):
        yield await self.read(7)


OWN_KINDS = [
    Seeks,
    SeeksFromStartAlone,
    SeeksSilently,
    SeeksWithStatus,
    IgnoresWhence,
    Tells,
    DeniesSeeking,
    WrongSize,
    TooLargeSize,
    RightSize,
    SizeIsMethod,
    SizeIsText,
    SeeksAsync,
    ReadsAsync,
    ReturnsCoroutines,
    Forwards,
    Iterates,
    ReadsTooMuch,
    ReadsBuffers,
]


def buffers():
    """Create objects with the buffer protocol, by name."""
    memory_map = mmap.mmap(-1, len(CONTENT))
    memory_map.write(CONTENT)
    two_rows = memoryview(CONTENT[:64]).cast("B", (8, 8))
    return {
        "bytearray": (bytearray(CONTENT), CONTENT),
        "memoryview": (memoryview(CONTENT), CONTENT),
        "rows": (two_rows, CONTENT[:64]),
        "getbuffer": (io.BytesIO(CONTENT).getbuffer(), CONTENT),
        "array": (array.array("I", CONTENT[:400]), CONTENT[:400]),
        "ctypes": ((ctypes.c_int * 100).from_buffer_copy(CONTENT), CONTENT[:400]),
        "struct": (ctypes.c_double.from_buffer_copy(CONTENT), CONTENT[:8]),
        "mmap": (memory_map, CONTENT),
        "gaps": (memoryview(CONTENT)[::2], CONTENT[::2]),
    }


TEMPORARY_FILES = {
    "temporary": tempfile.TemporaryFile,
    "named": tempfile.NamedTemporaryFile,
    "in memory": tempfile.SpooledTemporaryFile,
    "on disk": partial(tempfile.SpooledTemporaryFile, max_size=10),
}


async def libraries(stack: contextlib.AsyncExitStack, folder, at: int):
    """Open file objects of libraries, each read up to byte `at`, by name."""
    path = folder / "clip.mp4"
    path.write_bytes(CONTENT)
    made = {
        "open": stack.enter_context(path.open("rb")),
        "unbuffered": stack.enter_context(path.open("rb", buffering=0)),
        "random": stack.enter_context(path.open("r+b")),
        "bytesio": io.BytesIO(CONTENT),
        **archives(stack, folder),
        **(await async_files(stack, path)),
    }
    for name, make in TEMPORARY_FILES.items():
        made[name] = stack.enter_context(make())
        made[name].write(CONTENT)
        made[name].seek(0)
    for name, file in made.items():
        if name != "aiofiles-spooled":
            result = file.read(at)
            await result if hasattr(result, "__await__") else result
    return made


def archives(stack, folder):
    """Open the content compressed by the modules of the standard library."""
    made = {}
    for library in (gzip, bz2, lzma):
        path = folder / f"clip.{library.__name__}"
        path.write_bytes(library.compress(CONTENT))
        made[library.__name__] = stack.enter_context(library.open(path))
    for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        packed = stack.enter_context(zipfile.ZipFile(io.BytesIO(), "w", method))
        packed.writestr("clip.mp4", CONTENT)
        made[name] = stack.enter_context(packed.open("clip.mp4"))
    with tarfile.open(folder / "clip.tar", "w") as packed:
        packed.add(folder / "clip.mp4", "clip.mp4")
    packed = stack.enter_context(tarfile.TarFile(folder / "clip.tar"))
    made["tar"] = packed.extractfile("clip.mp4")
    return made


async def async_files(stack, path):
    """Open the path with asyncio libraries."""
    spooled = await stack.enter_async_context(aiofiles.tempfile.SpooledTemporaryFile())
    await spooled.write(CONTENT)
    wrapped = stack.enter_context(path.open("rb"))
    return {
        "aiofiles": await stack.enter_async_context(aiofiles.open(path, "rb")),
        "aiofiles-spooled": spooled,
        "anyio": await stack.enter_async_context(await anyio.open_file(path, "rb")),
        "anyio-wrapped": anyio.wrap_file(wrapped),
        "form": UploadFile(io.BytesIO(CONTENT), filename="clip.mp4"),
        "form-sized": UploadFile(io.BytesIO(CONTENT), size=len(CONTENT), filename="clip.mp4"),
        "form-missized": UploadFile(io.BytesIO(CONTENT), size=77, filename="clip.mp4"),
        "form-iterating": IteratingUpload(io.BytesIO(CONTENT), filename="clip.mp4"),
    }


async def read_all(source):
    found = bytearray()
    buffer = memoryview(bytearray(50 * KIB))
    while count := await source.read_into(len(found), buffer):
        found += buffer[:count]
    await source.check()
    return bytes(found)


@contextlib.asynccontextmanager
async def all_kinds(folder, at):
    """Create one file object of each kind, read up to byte `at`."""
    async with contextlib.AsyncExitStack() as stack:
        made = await libraries(stack, folder, at)
        yield {**made, **{kind.__name__: kind(at) for kind in OWN_KINDS}}


@contextlib.asynccontextmanager
async def tus_storage():
    """Yield a function that uploads a source with `TusClient` and returns the stored bytes."""
    limits = ServerLimits(first_chunk=64 * KIB, max_chunk=64 * KIB)
    async with sandbox_and_client() as (sandbox, livepeer), TusClient(limits=limits) as client:

        async def store(source, **options):
            ticket = await livepeer.assets.request_upload("x")
            await client.upload(source, ticket.tus_endpoint, **options)
            return sandbox.stored(ticket.asset.playback_id).read_bytes()

        yield store
