"""Lengths that callers pass: 0 is an empty source, anything but a number of bytes is an error."""

import io

import pytest

from livepeer_async import UploadJob, errors
from livepeer_async.tus import TusClient
from support.constants import UNREACHABLE_API
from support.sandbox import sandbox_and_client
from support.streams import stream

pytestmark = pytest.mark.anyio


class Sized:
    """A stream, as frameworks have them."""

    def __aiter__(self):
        return stream(b"0123456789")


async def upload(livepeer, source, length):
    await livepeer.upload(source, key="k", length=length)


async def begin_upload(livepeer, source, length):
    async with livepeer.begin_upload(source, key="k", length=length):
        pass


async def upload_many(livepeer, source, length):
    async with livepeer.upload_many([UploadJob(source, key="k", length=length)]) as results:
        (result,) = [result async for result in results]
    raise result.error


async def upload_with_tus(_, source, length):
    async with TusClient() as tus:
        await tus.upload(source, UNREACHABLE_API, length=length)


async def upload_deferred(_, source, length):
    async with TusClient() as tus:
        await tus.upload(source, UNREACHABLE_API, length=length, defer_length=True)


CALLS = [upload, begin_upload, upload_many, upload_with_tus, upload_deferred]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_length_of_zero_is_an_empty_source(call, tmp_path):
    async with sandbox_and_client(client={"journal": tmp_path / "journal"}) as (sandbox, livepeer):
        for source in (Sized(), io.BytesIO(b""), stream(), b""):
            with pytest.raises(errors.SourceEmpty, match="is empty: length is 0"):
                await call(livepeer, source, 0)
        assert sandbox.requests == []


@pytest.mark.parametrize("length", [-1, True, 5.0, "5", [5]])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_other_lengths_are_named(call, length):
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(errors.ConfigurationError) as raised:
            await call(livepeer, Sized(), length)
        assert f"length is {length!r}; wanted a number of bytes" in str(raised.value)
        assert sandbox.requests == []


@pytest.mark.parametrize("empty", ["bytes", "file", "path", "stream", "object at its end"])
async def test_empty_source_is_rejected_by_its_class(empty, tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    at_end = io.BytesIO(b"")
    at_end.seek(0, io.SEEK_END)
    source = {
        "bytes": bytearray(),
        "file": io.BytesIO(),
        "path": path,
        "stream": stream(),
        "object at its end": at_end,
    }[empty]
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(errors.SourceEmpty):
            await livepeer.upload(source)
        assert sandbox.requests == []
