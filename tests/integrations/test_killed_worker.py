"""A worker killed while it passes bodies through; a new process finds what it has left."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from integrations.web import connect
from support.clock import until
from support.sandbox import PART, SMALL_S3, client_for, make_bytes, sandbox_and_client

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL"),
]
PROGRAM = Path(__file__).with_name("killed_app.py")
VIDEO = make_bytes(4 * PART)


@asynccontextmanager
async def worker(sandbox, journal):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, PROGRAM, sandbox.api_key, sandbox.base_url, journal),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(PROGRAM.parents[1])},
    )
    try:
        yield process, int(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_leftovers_of_a_killed_worker_are_found(tmp_path):
    journal, headers = tmp_path / "journal", (f"Content-Length: {len(VIDEO)}",)
    async with sandbox_and_client(**SMALL_S3) as (sandbox, _), AsyncExitStack() as stack:
        process, port = await stack.enter_async_context(worker(sandbox, journal))
        for target in ("/raw/no-key", "/raw/with-key?key=k"):
            _, writer = await stack.enter_async_context(connect(port, target, *headers))
            writer.write(VIDEO[: 2 * PART + 9])
        await until(lambda: [it.method for it in sandbox.requests].count("PATCH") >= 2)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async with client_for(sandbox, journal=journal) as livepeer:
            found = await livepeer.leftovers()
            assert {(it.asset.name, it.key, it.is_ours) for it in found} == {
                ("no-key", "", True),
                ("with-key", "k", True),
            }
            for leftover in found:
                await livepeer.delete_leftover(leftover.asset.id)
            assert await livepeer.leftovers() == []
            assert all(asset.is_deleted for asset in sandbox.assets)
            asset = await livepeer.upload(VIDEO, "with-key", key="k")
            assert sandbox.stored(asset.playback_id).read_bytes() == VIDEO
