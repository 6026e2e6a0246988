"""SIGINT in a real process: it ends soon, without a traceback, and the upload can be resumed."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

import anyio
import pytest

from cancellation.cases import COUNT
from livepeer_async.sandbox import Fault, On, Slow, Stall
from livepeer_async.tus import TusClient
from support.clock import until
from support.constants import FAST_RETRY, TIMEOUT, VERY_LONG
from support.resource_leaks import settled
from support.sandbox import PART, SMALL_LIMITS, SMALL_S3, is_stored, make_bytes, sandbox_and_client

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT"),
]
PROGRAM = Path(__file__).with_name("upload_program.py")
VIDEO = make_bytes(5 * PART + 1000)
# A process takes a second to start: one for 20 of the cases in one process.
PROCESSES = max(1, COUNT // 20)
# An upload takes about 2 s: each is interrupted.
BYTES_PER_SECOND = 200_000
LATEST = 1.5


async def interrupt_after(wait, path, sandbox):
    """Start the program, and interrupt it when `wait()` returns.

    Returns:
        The program's report, and the seconds from the signal to its end.
    """
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(PROGRAM.parents[1]), os.environ.get("PYTHONPATH", "")])
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        PROGRAM,
        path,
        sandbox.api_key,
        sandbox.base_url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )
    try:
        with anyio.fail_after(TIMEOUT):
            assert await process.stdout.readline() == b"begin\n"
            await wait()
        with anyio.fail_after(TIMEOUT):
            process.send_signal(signal.SIGINT)
            started = time.monotonic()
            output, error_output = await process.communicate()
        assert error_output == b""
        report = json.loads(output)
        return report, report["ended_at"] - started
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def resume(sandbox, report, known):
    """Resume the new asset, unless there is none or it is deleted."""
    created = [asset for asset in sandbox.assets[known:] if not asset.is_deleted]
    if not created:
        return "deleted"
    (asset,) = created
    assert asset.id == report["asset_id"]
    # A request that a fault holds is still the writer of its upload.
    await settled(lambda: all(seen.is_over for seen in sandbox.requests))
    faults, sandbox.faults[:] = list(sandbox.faults), []
    async with TusClient(limits=SMALL_LIMITS, retry=FAST_RETRY) as tus:
        await tus.upload(VIDEO, upload_url=report["upload_url"])
    sandbox.faults[:] = faults
    assert is_stored(sandbox, asset, VIDEO)
    return "resumed"


@pytest.mark.timeout(110 + 10 * PROCESSES)
async def test_sigint_at_any_time_leaves_a_resumable_upload(tmp_path):
    path, rng = tmp_path / "video.mp4", random.Random(1)
    path.write_bytes(VIDEO)
    longest, ends = 0.0, []
    async with sandbox_and_client(
        Fault(On(method="PATCH"), Slow(BYTES_PER_SECOND)), **SMALL_S3
    ) as served:
        sandbox = served[0]
        for _ in range(PROCESSES):
            known = len(sandbox.assets)
            wait = partial(anyio.sleep, rng.uniform(0, LATEST))
            report, seconds = await interrupt_after(wait, path, sandbox)
            assert report["interrupted"]
            assert report["tasks"] == 0
            assert "is_closed" not in report
            longest = max(longest, seconds)
            ends.append(await resume(sandbox, report, known))
    print({"longest_seconds": round(longest, 3)} | {it: ends.count(it) for it in set(ends)})  # noqa: T201 - the result of `nox -s cancellation`


async def test_sigint_while_the_server_is_silent_ends_soon(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(VIDEO)
    silent = Fault(On(method="PATCH"), Stall(VERY_LONG))
    async with sandbox_and_client(silent, **SMALL_S3) as (sandbox, _):
        report, _ = await interrupt_after(lambda: until(lambda: silent.fired), path, sandbox)
        assert report["upload_url"]
