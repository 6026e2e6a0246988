"""Adaptive slots on a simulated link; only run by `nox -s line`, because it takes real time."""

import itertools
import os
import sys

import anyio
import pytest

from livepeer_async import AsyncLivepeer, UploadJob
from livepeer_async.sandbox import Sandbox
from support.constants import MIB
from support.proxy import ThrottledProxy, run_proxy
from support.sandbox import make_bytes

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif("LIVEPEER_ASYNC_LINE" not in os.environ, reason="`nox -s line` runs it"),
]

MBIT = 125_000


async def measure(rate, connection_rate, *, seconds, length):
    """Upload over a link; return its utilisation and the slots for each second."""
    utilisation, slots = [], []
    quick = {"waiting_seconds": 0.0, "processing_seconds": 0.0}
    async with Sandbox(**quick) as sandbox:
        port = int(sandbox.base_url.rpartition(":")[2].removesuffix("/api"))
        rates = {"rate": rate, "connection_rate": connection_rate, "round_trip": 0.08}
        async with run_proxy(ThrottledProxy(port, **rates)) as link:
            url = f"http://127.0.0.1:{link.port}/api"
            async with AsyncLivepeer(sandbox.api_key, base_url=url) as livepeer:
                data = make_bytes(length)
                jobs = (UploadJob(data, f"{number}.mp4") for number in itertools.count())
                async with livepeer.upload_many(jobs) as results:
                    with anyio.move_on_after(seconds):
                        async with anyio.create_task_group() as tasks:
                            tasks.start_soon(drain, results)
                            while True:
                                forwarded = link.forwarded
                                await anyio.sleep(1)
                                utilisation.append((link.forwarded - forwarded) / rate)
                                slots.append(livepeer.throttle.slots)
    sys.stdout.write(f"utilisation {[round(part, 2) for part in utilisation]}, slots {slots}\n")
    return utilisation, slots


async def drain(results):
    async for result in results:
        assert result.error is None


async def test_link_with_connection_limits_saturates_in_15_seconds():
    utilisation, slots = await measure(200 * MBIT, 25 * MBIT, seconds=25, length=40 * MIB)
    assert sum(utilisation[15:24]) / 9 >= 0.85
    assert max(utilisation[:15]) >= 0.85
    assert slots[-1] <= 16


async def test_link_saturated_by_one_upload_keeps_few_slots():
    utilisation, slots = await measure(50 * MBIT, 1000 * MBIT, seconds=20, length=20 * MIB)
    assert sum(utilisation[5:]) / len(utilisation[5:]) >= 0.85
    assert max(slots[6:]) <= 4


async def test_small_files_start_concurrently():
    """Sequentially, each would take four round trips: 3 files per second."""
    utilisation, _ = await measure(200 * MBIT, 25 * MBIT, seconds=10, length=64 * 1024)
    rates = [part * 200 * MBIT / (64 * 1024) for part in utilisation]
    sys.stdout.write(f"files per second {[round(rate) for rate in rates]}\n")
    assert min(rates[1:]) >= 8 * 3
