"""Servers behind a proxy that receives a chunk at once and forwards it slowly, or not at all."""

from urllib.parse import urlsplit

import anyio
import pytest

from livepeer_async import RetryPolicy, Timeouts
from livepeer_async.sandbox import Sandbox
from livepeer_async.tus import ServerLimits, TusClient
from support.constants import KIB, TIMEOUT
from support.proxy import BufferingProxy, run_proxy
from support.sandbox import client_for, make_bytes

pytestmark = pytest.mark.anyio


VIDEO = make_bytes(600 * KIB)
LIMITS = ServerLimits(first_chunk=256 * KIB, max_chunk_seconds=2.0)
RETRY = RetryPolicy(first_delay=0.01, max_delay=0.05)


async def upload_through(storage, *, timeouts, **options):
    """Upload through a buffering proxy; return the stored bytes and the sizes of the bodies."""
    async with Sandbox(storage=storage) as sandbox, client_for(sandbox) as livepeer:
        ticket = await livepeer.assets.request_upload("video")
        port = urlsplit(sandbox.origin).port
        async with run_proxy(BufferingProxy(port, **options)) as proxy:
            endpoint = ticket.tus_endpoint.replace(str(port), str(proxy.port))
            async with TusClient(limits=LIMITS, timeouts=timeouts, retry=RETRY) as tus:
                with anyio.fail_after(TIMEOUT):
                    await tus.upload(VIDEO, endpoint)
        path = sandbox.stored(ticket.asset.playback_id)
        return path.read_bytes() if path else b"", proxy.bodies


async def test_slow_proxy_is_awaited():
    timeouts = Timeouts(stall=0.2)
    stored, bodies = await upload_through("file", timeouts=timeouts, rate=1000 * KIB)
    assert stored == VIDEO
    assert sum(bodies) == len(VIDEO)


async def test_chunks_shrink_behind_a_gateway_with_a_timeout():
    timeouts = Timeouts(stall=0.2)
    stored, bodies = await upload_through(
        "file", timeouts=timeouts, rate=1000 * KIB, gateway_timeout=0.1
    )
    assert stored == VIDEO
    assert min(size for size in bodies if size) < LIMITS.first_chunk


async def test_chunks_shrink_behind_a_proxy_that_resets_long_bodies():
    stored, bodies = await upload_through(
        "file", timeouts=Timeouts(), rate=100_000 * KIB, max_body=100 * KIB
    )
    assert stored == VIDEO
    assert max(bodies) <= 100 * KIB
