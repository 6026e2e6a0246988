"""Uploads cancelled at random points, in each library: nothing leaks, and all of it can go on.

Short here; `nox -s cancellation` has 1,000 cases in each library.
"""

import time
from collections import Counter

import anyio
import pytest

from cancellation.aftermath import Aftermath
from cancellation.cases import COUNT, draw
from cancellation.census import assert_nothing_is_left, no_complaints, take_census
from cancellation.sources import LENGTH
from cancellation.sweep import try_out
from libraries import LIBRARIES
from studio import PART, SMALL_S3, content, is_stored, studio

pytestmark = pytest.mark.anyio
SEED = 1
BATCH = 20
# Of connections that wait for the next request: at most four uploads at a time, of which each may
# ask for its asset and be resumed beside that, with both ends in this process.
IDLE_DESCRIPTORS = 24
# Of a bounded pool no slot may be lost, or the uploads at the end find none.
SLOTS = 10
AT_ONCE = 100


def bounded(library):
    """Make a client to hand in; of httpx none, because it loses slots (encode/httpcore#1093)."""
    if library.__name__ == "httpx":
        return None
    return library.AsyncClient(limits=library.Limits(max_connections=SLOTS))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
async def test_a_cancelled_upload_leaves_nothing_but_what_can_be_resumed(library, scratch, patient):
    before = take_census()
    http_client = bounded(library)
    with no_complaints():
        async with studio(client={"http_client": http_client}, **SMALL_S3) as served:
            report = await scan(*served, scratch)
            await upload_at_once(*served)
        if http_client is not None:
            await http_client.aclose()
        await assert_nothing_is_left(before)
    print(report)  # noqa: T201 - what `nox -s cancellation` is asked for


async def scan(sandbox, livepeer, scratch):
    """Try all cases; after each batch nothing but idle connections may be left."""
    duration = await duration_of_an_upload(livepeer)
    before, aftermath = take_census(), Aftermath(sandbox)
    hows, longest, most_descriptors = Counter(), 0.0, 0
    for number, case in enumerate(draw(COUNT, SEED), start=1):
        trial = await try_out(case, livepeer, sandbox, duration=duration, tmp_path=scratch)
        # Whoever aborts waits for the server's word that all is gone, which may be what is held.
        held = case.stall if case.how == "abort" and case.at == "stalled" else 0.0
        aftermath.look(trial)
        hows[case.how, "cancelled" if trial.was_cancelled else "quicker"] += 1
        longest = max(longest, trial.seconds - held)
        if number % BATCH == 0 or number == COUNT:
            await aftermath.resume()
            for path in scratch.iterdir():
                path.unlink()
            await assert_nothing_is_left(before, spare=IDLE_DESCRIPTORS)
            now = take_census()
            most_descriptors = max(most_descriptors, len(now.more_than(before)))
    assert not sandbox.violations
    return {
        "cases": dict(sorted((": ".join(key), count) for key, count in hows.items())),
        "assets": dict(aftermath.found),
        "longest_seconds": round(longest, 3),
        "descriptors": {"before": len(before.descriptors), "most_idle": most_descriptors},
        "threads": {"before": before.threads, "after": now.threads},
    }


async def duration_of_an_upload(livepeer):
    """Measure it, once all that stays for good is there: threads, modules, connections."""
    await livepeer.upload(content(LENGTH))
    started = time.monotonic()
    await livepeer.upload(content(LENGTH))
    return time.monotonic() - started


async def upload_at_once(sandbox, livepeer):
    """Use every slot of the pool at the same time."""
    async with anyio.create_task_group() as tasks:

        async def upload_one(number):
            has = content(2 * PART, seed=number)
            assert is_stored(sandbox, await livepeer.upload(has), has)

        for number in range(AT_ONCE):
            tasks.start_soon(upload_one, number)
