"""Uploads whose tasks the client owns."""

import asyncio

import pytest

from livepeer_async import LivepeerError
from livepeer_async.sandbox import Answer, Fault, On
from support.resource_leaks import no_asyncio_logs
from support.sandbox import (
    PART,
    SMALL_S3,
    is_stored,
    make_bytes,
    sandbox_and_client,
)

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(6 * PART + 100)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


async def follow(upload):
    return [progress async for progress in upload.progress()]


async def test_upload_outlives_the_task_that_starts_it(path):
    async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
        upload = await asyncio.create_task(livepeer.start_upload(path, "Talk"))
        assert upload.asset.name == "Talk"
        result = await upload.wait()
        assert is_stored(sandbox, result.asset, VIDEO)
        assert upload.latest.stage == "ready"
        assert upload.error is None


async def test_many_tasks_wait_and_follow(path):
    async with sandbox_and_client(**SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)

        results = await asyncio.gather(*(upload.wait() for _ in range(3)))
        followed = await asyncio.gather(*(follow(upload) for _ in range(3)))
        assert [progress[-1].stage for progress in followed] == ["ready"] * 3
        assert len({id(result) for result in results}) == 1


async def test_failure_is_raised_by_all_that_wait(path):
    refused = Fault(On(method="PATCH", nth=2), Answer(403))
    with no_asyncio_logs():
        async with sandbox_and_client(refused, **SMALL_S3) as (_, livepeer):
            upload = await livepeer.start_upload(path)
            ends = [upload.wait(), upload.wait(), follow(upload), follow(upload)]
            errors = await asyncio.gather(*ends, return_exceptions=True)
            assert {type(error).__name__ for error in errors} == {"UploadRefused"}
            assert upload.error is errors[0]


async def test_failure_before_the_asset_is_raised_by_the_call(tmp_path):
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(LivepeerError, match=r"missing\.mp4"):
            await livepeer.start_upload(tmp_path / "missing.mp4")
