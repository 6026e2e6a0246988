"""Slots on a simulated link; in real time, so that `nox -s line` alone runs it."""

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


async def load(rate, connection_rate, *, seconds, length):
    """Upload over a link for so long; give its share of the line and the slots, each second."""
    shares, slots = [], []
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
                            tasks.start_soon(take, results)
                            while True:
                                carried = link.forwarded
                                await anyio.sleep(1)
                                shares.append((link.forwarded - carried) / rate)
                                slots.append(livepeer.throttle.slots)
    sys.stdout.write(f"shares {[round(share, 2) for share in shares]}, slots {slots}\n")
    return shares, slots


async def take(results):
    async for result in results:
        assert result.error is None


async def test_a_line_that_bounds_each_connection_is_filled_within_15_seconds():
    shares, slots = await load(200 * MBIT, 25 * MBIT, seconds=25, length=40 * MIB)
    assert sum(shares[15:24]) / 9 >= 0.85
    assert max(shares[:15]) >= 0.85
    assert slots[-1] <= 16


async def test_a_line_that_one_upload_fills_keeps_few_slots():
    shares, slots = await load(50 * MBIT, 1000 * MBIT, seconds=20, length=20 * MIB)
    assert sum(shares[5:]) / len(shares[5:]) >= 0.85
    assert max(slots[6:]) <= 4


async def test_many_small_files_run_side_by_side_at_once():
    """One after the other each would take four round trips: 3 in a second."""
    shares, _ = await load(200 * MBIT, 25 * MBIT, seconds=10, length=64 * 1024)
    rates = [share * 200 * MBIT / (64 * 1024) for share in shares]
    sys.stdout.write(f"files a second {[round(rate) for rate in rates]}\n")
    assert min(rates[1:]) >= 8 * 3
