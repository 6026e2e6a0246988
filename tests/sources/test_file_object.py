"""File objects: uploaded whole, from any position and with any methods."""

import io

import anyio
import pytest
from starlette.datastructures import UploadFile

from livepeer_async import UploadJob, errors
from livepeer_async.polling.verify import Verified
from livepeer_async.sources.opening import open_source
from support.constants import KIB
from support.sandbox import sandbox_and_client
from uploads.file_kinds import (
    CONTENT,
    ReadOnly,
    Seeks,
    all_kinds,
    buffers,
    read_all,
    tus_storage,
)

pytestmark = pytest.mark.anyio


async def test_partly_read_form_file_is_uploaded_whole():
    file = UploadFile(io.BytesIO(b"ftyp" + bytes(1000)), filename="clip.mp4")
    await file.read(4)
    async with sandbox_and_client() as (sandbox, livepeer):
        async with livepeer.begin_upload(file, verify="hash") as upload:
            pass
        assert sandbox.stored(upload.asset.playback_id).read_bytes() == b"ftyp" + bytes(1000)
        assert (upload.name, upload.result.verified) == ("clip.mp4", Verified.HASH)


async def test_file_object_of_any_kind_is_uploaded_whole(tmp_path):
    async with all_kinds(tmp_path, at=4) as made, sandbox_and_client() as (sandbox, livepeer):
        names = {id(file): name for name, file in made.items()}
        found = {}
        async with livepeer.upload_many(made.values(), verify="hash") as results:
            async for result in results:
                stored = result.asset and sandbox.stored(result.asset.playback_id).read_bytes()
                is_whole = result.verified is Verified.HASH and stored == CONTENT
                found[names[id(result.source)]] = result.error or is_whole
        assert found == dict.fromkeys(made, True)


@pytest.mark.parametrize("at", [0, 7, len(CONTENT)])
@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_file_object_is_opened_at_its_first_byte(tmp_path, at, length):
    async with all_kinds(tmp_path, at) as made:
        found = {}
        for name, file in made.items():
            for _ in range(2):
                async with open_source(file, length=length) as source:
                    found[name] = source.length, await read_all(source) == CONTENT
        assert found == dict.fromkeys(made, (len(CONTENT), True))


@pytest.mark.parametrize("defer_length", [False, True])
async def test_tus_client_uploads_file_objects_whole(tmp_path, defer_length):
    async with all_kinds(tmp_path, at=4) as made, tus_storage() as store:
        found = {
            name: await store(file, defer_length=defer_length) == CONTENT
            for name, file in made.items()
        }
        assert found == dict.fromkeys(made, True)


async def test_buffer_of_any_kind_is_read():
    found = {}
    for name, (buffer, expected) in buffers().items():
        async with open_source(buffer) as source:
            found[name] = (await read_all(source)) == expected
    assert found == dict.fromkeys(found, True)


async def test_memory_map_is_uploaded_whole_and_can_be_closed():
    memory_map, expected = buffers()["mmap"]
    memory_map.seek(9)
    async with sandbox_and_client() as (sandbox, livepeer):
        async with livepeer.begin_upload(memory_map, verify="hash") as upload:
            pass
        assert sandbox.stored(upload.asset.playback_id).read_bytes() == expected
    memory_map.close()
    with pytest.raises(errors.SourceNotReadable, match="closed"):
        async with open_source(memory_map):
            pass


async def test_job_with_a_buffer_needs_no_length():
    buffer, expected = buffers()["array"]
    async with sandbox_and_client() as (sandbox, livepeer):
        async with livepeer.upload_many([UploadJob(buffer, "clip")], verify="hash") as results:
            (result,) = [result async for result in results]
        assert sandbox.stored(result.asset.playback_id).read_bytes() == expected
        assert result.verified is Verified.HASH


class Shared:
    """An async iterator: a second reader gets nothing."""

    def __init__(self):
        self._rest = [CONTENT[start : start + KIB] for start in range(0, len(CONTENT), KIB)]

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self._rest:
            raise StopAsyncIteration
        return self._rest.pop(0)


@pytest.mark.parametrize("make", [Seeks, ReadOnly, Shared])
async def test_source_in_use_is_rejected(make):
    source = make()
    async with sandbox_and_client() as (_, livepeer):
        jobs = [source, source]
        async with livepeer.upload_many(jobs, verify="hash") as results:
            found = [(type(result.error), result.length) async for result in results]
    rejected, whole = (errors.ConfigurationError, None), (type(None), len(CONTENT))
    assert found == [rejected, whole]


@pytest.mark.parametrize("make", [Seeks, ReadOnly, Shared])
async def test_tus_client_rejects_a_source_in_use(make):
    source = make()
    async with tus_storage() as store:
        rejections = []

        async def upload():
            try:
                await store(source)
            except errors.ConfigurationError as error:
                rejections.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upload)
            tasks.start_soon(upload)
    assert len(rejections) == 1
    assert "uploaded already" in rejections[0]


async def test_buffer_can_be_uploaded_twice_concurrently():
    memory_map, expected = buffers()["mmap"]
    async with sandbox_and_client() as (sandbox, livepeer):
        jobs = [memory_map, memory_map]
        async with livepeer.upload_many(jobs, verify="hash") as results:
            async for result in results:
                assert result.verified is Verified.HASH
                assert sandbox.stored(result.asset.playback_id).read_bytes() == expected
