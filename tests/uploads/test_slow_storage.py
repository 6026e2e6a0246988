"""Storage that is slower than the server: no chunk is sent twice."""

from urllib.parse import urlsplit

import anyio
import msgspec
import pytest

from livepeer_async import Timeouts
from support.proxy import BufferingProxy, run_proxy
from support.sandbox import (
    PART,
    SMALL_LIMITS,
    SMALL_S3,
    client_for,
    is_stored,
    make_bytes,
    sandbox_and_client,
)

pytestmark = pytest.mark.anyio

# The storage takes 0.1 s for a part, and 0.8 s for one part of each of eight uploads.
RATE = 10 * PART
UPLOADS = 8
LIMITS = msgspec.structs.replace(SMALL_LIMITS, max_chunk_seconds=0.2)


async def upload_all(livepeer, sandbox, videos):
    """Upload concurrently; return whether each is stored exactly."""
    exact = []

    async def upload(video):
        asset = await livepeer.upload(video)
        exact.append(is_stored(sandbox, asset, video))

    async with anyio.create_task_group() as tasks:
        for video in videos:
            tasks.start_soon(upload, video)
    return exact


@pytest.mark.parametrize("length", [PART // 2, 2 * PART + 7], ids=["small", "large"])
@pytest.mark.parametrize("chunk_response", [300.0, 0.3], ids=["in time", "too late"])
async def test_uploads_to_slow_storage_are_exact_and_sent_once(length, chunk_response):
    videos = [make_bytes(length, seed) for seed in range(UPLOADS)]
    # The stall timeout is far below the time that the storage takes.
    timeout = Timeouts(stall=0.5, chunk_response=chunk_response)
    client = {"upload_limits": LIMITS, "timeout": timeout}
    async with sandbox_and_client(client=client, storage_rate=RATE, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        assert await upload_all(livepeer, sandbox, videos) == [True] * UPLOADS
        assert sandbox.violations == []
        received = sum(request.received for request in sandbox.requests if "tus" in request.path)
        assert received == UPLOADS * length


async def test_gateway_timeout_does_not_duplicate_chunks():
    video = make_bytes(5 * PART + 7)
    async with sandbox_and_client(storage_rate=RATE / 4, **SMALL_S3) as (sandbox, _):
        port = urlsplit(sandbox.origin).port
        async with run_proxy(BufferingProxy(port, rate=1e9, gateway_timeout=0.15)) as gateway:
            base_url = sandbox.base_url.replace(str(port), str(gateway.port))
            async with client_for(sandbox, base_url=base_url) as livepeer:
                asset = await livepeer.upload(video)
        assert is_stored(sandbox, asset, video)
        assert [it.rule for it in sandbox.violations if "abandoned" in it.rule] == []


async def test_gateway_timeout_of_a_small_upload_makes_one_asset():
    video = make_bytes(PART)
    async with sandbox_and_client(storage_rate=RATE / 4, **SMALL_S3) as (sandbox, _):
        port = urlsplit(sandbox.origin).port
        async with run_proxy(BufferingProxy(port, rate=1e9, gateway_timeout=0.15)) as gateway:
            base_url = sandbox.base_url.replace(str(port), str(gateway.port))
            async with client_for(sandbox, base_url=base_url) as livepeer:
                asset = await livepeer.upload(video)
        assert is_stored(sandbox, asset, video)
        assert len(sandbox.assets) == 1


async def test_slowly_stored_creation_is_not_sent_twice():
    video = make_bytes(PART)
    timeout = Timeouts(chunk_response=0.25)
    async with sandbox_and_client(
        client={"timeout": timeout}, storage_rate=RATE / 4, **SMALL_S3
    ) as (
        sandbox,
        livepeer,
    ):
        asset = await livepeer.upload(video)
        assert is_stored(sandbox, asset, video)
        received = [r.received for r in sandbox.requests if "/upload/tus" in r.path and r.received]
        assert received == [PART]
