"""Uploads in the largest PATCHes that are planned for Livepeer are exact."""

import os
import time
import uuid

import pytest
from msgspec.structs import replace

from livepeer_async.tus import livepeer_limits
from livepeer_async.tus.limits import LIVEPEER_MAX_CHUNK
from wiring.run import MIB, PART, Case, plan_cases, summarise, upload_all

pytestmark = [pytest.mark.wiring, pytest.mark.anyio]

# One PATCH, and others before a rest of one part and a byte, or of less than a part.
LENGTHS = (
    LIVEPEER_MAX_CHUNK,
    LIVEPEER_MAX_CHUNK + PART + 1,
    2 * LIVEPEER_MAX_CHUNK + 5 * MIB,
)
ROUNDS = int(os.environ.get("LIVEPEER_ASYNC_WIRING_LARGEST_ROUNDS", "1"))
# The emulator takes 3 GB of memory with two.
CONCURRENCY = 2
MAX_SECONDS = 300


def with_largest_patches(length):
    """Return Livepeer's limits with the largest PATCHes from the start, however slow they are."""
    limits = livepeer_limits(length)
    return replace(limits, first_chunk=LIVEPEER_MAX_CHUNK, max_chunk_seconds=2.0 * MAX_SECONDS)


async def upload(production, cases, report):
    started = time.monotonic()
    outcomes = await upload_all(
        production, cases, with_largest_patches, max_seconds=MAX_SECONDS, concurrency=CONCURRENCY
    )
    report(summarise(outcomes, started=started, concurrency=CONCURRENCY))
    assert [outcome for outcome in outcomes if outcome.error or not outcome.is_exact] == []
    assert {outcome.longest for outcome in outcomes} == {LIVEPEER_MAX_CHUNK}
    return outcomes


@pytest.mark.timeout(3600)
async def test_uploads_in_the_largest_patches_are_exact(production, report):
    cases = [Case(uuid.uuid4().hex, length, ()) for _ in range(ROUNDS) for length in LENGTHS]
    outcomes = await upload(production, cases, report)
    assert [outcome for outcome in outcomes if outcome.sent != outcome.case.length] == []


@pytest.mark.timeout(3600)
async def test_largest_patches_over_failing_connections_are_exact(production, report):
    rounds = 2 * ROUNDS
    cases = plan_cases("largest", rounds=rounds, lengths=LENGTHS, first_chunk=LIVEPEER_MAX_CHUNK)
    outcomes = await upload(production, cases, report)
    assert [outcome for outcome in outcomes if not outcome.applied] == []
