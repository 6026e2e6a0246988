"""Ctrl-C in a real process: it ends soon, without a traceback, and leaves what can be resumed."""

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
from support.constants import FAST_RETRY
from support.leaks import settled
from support.sandbox import PART, SMALL_LIMITS, SMALL_S3, is_stored, make_bytes, sandbox_and_client

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT"),
]
PROGRAM = Path(__file__).with_name("uploader.py")
# Of one who must not be waited for, and when a test that does is over.
FOR_EVER = 1000.0
LIMIT = 45.0
VIDEO = make_bytes(5 * PART + 1000)
# A process takes a second to start: one for twenty of the other cases.
PROCESSES = max(1, COUNT // 20)
# Such an upload takes about 2 s, so that each is interrupted.
BYTES_PER_SECOND = 200_000
LATEST = 1.5


async def interrupt_once(has_come, path, sandbox):
    """Start the program and interrupt it; give what it told and its seconds until the end.

    The moment is that at which the coroutine function `has_come` returns.
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
        with anyio.fail_after(LIMIT):
            assert await process.stdout.readline() == b"begin\n"
            await has_come()
        with anyio.fail_after(LIMIT):
            process.send_signal(signal.SIGINT)
            started = time.monotonic()
            output, complaints = await process.communicate()
        assert complaints == b""
        told = json.loads(output)
        return told, told["ended_at"] - started
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def assert_can_go_on(sandbox, told, known):
    """Look at what was made: resumed where the program had its URL, else deleted or never made."""
    made = [asset for asset in sandbox.assets[known:] if not asset.is_deleted]
    if not made:
        return "deleted"
    (asset,) = made
    assert asset.id == told["asset_id"]
    # A request that a fault holds is still the writer of its upload.
    await settled(lambda: all(seen.is_over for seen in sandbox.requests))
    faults, sandbox.faults[:] = list(sandbox.faults), []
    async with TusClient(limits=SMALL_LIMITS, retry=FAST_RETRY) as tus:
        await tus.upload(VIDEO, upload_url=told["upload_url"])
    sandbox.faults[:] = faults
    assert is_stored(sandbox, asset, VIDEO)
    return "resumed"


@pytest.mark.timeout(110 + 10 * PROCESSES)
async def test_ctrl_c_at_any_time_leaves_what_can_be_resumed(tmp_path):
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
            told, seconds = await interrupt_once(wait, path, sandbox)
            assert told["interrupted"]
            assert told["tasks"] == 0
            assert "is_closed" not in told
            longest = max(longest, seconds)
            ends.append(await assert_can_go_on(sandbox, told, known))
    print({"longest_seconds": round(longest, 3)} | {it: ends.count(it) for it in set(ends)})  # noqa: T201 - what `nox -s cancellation` is asked for


async def test_ctrl_c_while_the_server_is_silent_ends_soon(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(VIDEO)
    silent = Fault(On(method="PATCH"), Stall(FOR_EVER))
    async with sandbox_and_client(silent, **SMALL_S3) as (sandbox, _):
        told, _ = await interrupt_once(lambda: until(lambda: silent.fired), path, sandbox)
        assert told["upload_url"]
