"""The failure of an upload interrupts its block, and no cancellation is lost or left over."""

import asyncio

import anyio
import anyio.lowlevel
import pytest

from livepeer_async import errors
from livepeer_async.sandbox import Answer, Fault, On
from support.constants import TIMEOUT
from support.sandbox import PART, SMALL_S3, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(6 * PART + 100)
STEPS = range(6)


@pytest.fixture
async def livepeer():
    refused = Fault(On(method="PATCH", nth=2), Answer(403))
    async with sandbox_and_client(refused, **SMALL_S3) as (_, livepeer):
        yield livepeer


async def after_failure(upload, steps, function):
    """Call a function some iterations of the event loop after an upload has failed."""
    with pytest.raises(errors.UploadRefused):
        await upload.wait()
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    function()


async def test_body_that_swallows_the_interruption(livepeer):
    with pytest.raises(errors.UploadRefused):
        async with livepeer.begin_upload(VIDEO):
            with pytest.raises(asyncio.CancelledError):
                await anyio.sleep_forever()
    assert not asyncio.current_task().cancelling()


async def test_time_limit_counts_after_a_swallowed_interruption(livepeer):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(TIMEOUT) as limit:
            with pytest.raises(errors.UploadRefused):
                async with livepeer.begin_upload(VIDEO):
                    with pytest.raises(asyncio.CancelledError):
                        await anyio.sleep_forever()
            limit.reschedule(0)
            await anyio.sleep_forever()


@pytest.mark.parametrize("steps", STEPS)
async def test_cancellation_beside_a_failure(livepeer, steps):
    async def upload():
        async with livepeer.begin_upload(VIDEO) as upload:
            started.set_result(upload)
            await anyio.sleep_forever()

    started = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(upload())
    await after_failure(await started, steps, task.cancel)
    await asyncio.wait([task])
    assert task.cancelled() or isinstance(task.exception(), errors.UploadRefused)


@pytest.mark.parametrize("steps", STEPS)
async def test_time_limit_beside_a_failure(livepeer, steps):
    async with asyncio.TaskGroup() as tasks:
        with pytest.raises((TimeoutError, errors.UploadRefused)):
            async with asyncio.timeout(TIMEOUT) as limit:

                def expire():
                    if not has_ended:
                        limit.reschedule(0)

                has_ended = False
                try:
                    async with livepeer.begin_upload(VIDEO) as upload:
                        tasks.create_task(after_failure(upload, steps, expire))
                        await anyio.sleep_forever()
                finally:
                    has_ended = True
        assert not asyncio.current_task().cancelling()


@pytest.mark.parametrize("steps", STEPS)
async def test_scope_beside_a_failure(livepeer, steps):
    async with asyncio.TaskGroup() as tasks:
        scope, found = anyio.CancelScope(), None
        with scope:
            try:
                async with livepeer.begin_upload(VIDEO) as upload:
                    tasks.create_task(after_failure(upload, steps, scope.cancel))
                    await anyio.sleep_forever()
            except errors.UploadRefused as error:
                found = error
        assert found is not None or scope.cancelled_caught
        assert not asyncio.current_task().cancelling()
