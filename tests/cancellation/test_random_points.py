"""Uploads cancelled at random points: nothing leaks, and every upload can be resumed.

`nox -s cancellation` runs 1,000 cases for each HTTP library.
"""

import time
from collections import Counter

import anyio
import pytest

from cancellation.cases import COUNT, draw_cases
from cancellation.leftovers import Leftovers
from cancellation.sources import LENGTH
from cancellation.trial import run_trial
from support.libraries import LIBRARIES
from support.resource_leaks import assert_no_leaks, no_asyncio_logs, snapshot_resources
from support.sandbox import PART, SMALL_S3, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
SEED = 1
BATCH = 20
# Idle connections, both ends in this process: at most four concurrent uploads, each with a poll and
# a resumption.
IDLE_DESCRIPTORS = 24
# If the bounded pool lost its slots, the uploads at the end would fail.
SLOTS = 10
CONCURRENT_UPLOADS = 40


def bounded_client(library):
    """Create a client to pass, but none of httpx, which loses slots (encode/httpcore#1093)."""
    if library.__name__ == "httpx":
        return None
    return library.AsyncClient(limits=library.Limits(max_connections=SLOTS))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
async def test_cancelled_uploads_leak_nothing_and_can_be_resumed(library, scratch, long_clean_up):
    before = snapshot_resources()
    http_client = bounded_client(library)
    with no_asyncio_logs():
        async with sandbox_and_client(client={"http_client": http_client}, **SMALL_S3) as served:
            report = await run_cases(*served, scratch)
            await upload_at_once(*served)
        if http_client is not None:
            await http_client.aclose()
        await assert_no_leaks(before)
    print(report)  # noqa: T201 - the result of `nox -s cancellation`


async def run_cases(sandbox, livepeer, scratch):
    """Run all cases; after each batch only idle connections may be left."""
    duration = await measure_upload(livepeer)
    before, leftovers = snapshot_resources(), Leftovers(sandbox)
    methods, longest, most_descriptors = Counter(), 0.0, 0
    for number, case in enumerate(draw_cases(COUNT, SEED), start=1):
        trial = await run_trial(case, livepeer, sandbox, duration=duration, folder=scratch)
        # An abort waits for the response to its DELETE, which may be what the fault holds.
        held = case.stall if case.method == "abort" and case.at == "stalled" else 0.0
        leftovers.classify(trial)
        methods[case.method, "cancelled" if trial.was_cancelled else "finished"] += 1
        longest = max(longest, trial.seconds - held)
        if number % BATCH == 0 or number == COUNT:
            await leftovers.resume()
            for path in scratch.iterdir():
                path.unlink()
            await assert_no_leaks(before, idle=IDLE_DESCRIPTORS)
            now = snapshot_resources()
            most_descriptors = max(most_descriptors, len(now.opened_since(before)))
    assert not sandbox.violations
    return {
        "cases": dict(sorted((": ".join(key), count) for key, count in methods.items())),
        "assets": dict(leftovers.found),
        "longest_seconds": round(longest, 3),
        "descriptors": {"before": len(before.descriptors), "most_idle": most_descriptors},
        "threads": {"before": before.threads, "after": now.threads},
    }


async def measure_upload(livepeer):
    """Measure an upload after one that starts threads, imports modules and opens connections."""
    await livepeer.upload(make_bytes(LENGTH))
    started = time.monotonic()
    await livepeer.upload(make_bytes(LENGTH))
    return time.monotonic() - started


async def upload_at_once(sandbox, livepeer):
    """Use every slot of the pool at once."""
    async with anyio.create_task_group() as tasks:

        async def upload_one(number):
            video = make_bytes(2 * PART, seed=number)
            assert is_stored(sandbox, await livepeer.upload(video), video)

        for number in range(CONCURRENT_UPLOADS):
            tasks.start_soon(upload_one, number)
