"""Uploads over failing connections are exact, and the check detects wrong bytes."""

import time
import uuid

import pytest
from msgspec.structs import replace

from livepeer_async import RetryPolicy
from livepeer_async.tus import ServerLimits, livepeer_limits
from support.proxy import FaultKind, RequestFault
from wiring.run import LENGTHS, MIB, PART, Case, plan_cases, summarise, upload_all, upload_one

pytestmark = [pytest.mark.wiring, pytest.mark.anyio]

ROUNDS = 15
NO_LIMITS = ServerLimits(first_chunk=10 * MIB, max_chunk=10 * MIB)
SHORT = [length for length in LENGTHS if length <= PART]


def with_patches(length):
    """Return Livepeer's limits, without the upload in the creation of short files."""
    limits = livepeer_limits(length)
    return limits if length > PART else replace(limits, with_creation=0)


@pytest.mark.timeout(900)
async def test_uploads_over_failing_connections_are_exact(production, report):
    cases, started = plan_cases("rules", rounds=ROUNDS), time.monotonic()
    outcomes = await upload_all(production, cases, with_patches, max_seconds=300)
    report(summarise(outcomes, started=started))
    assert len(outcomes) == len(cases) >= 200
    assert [outcome for outcome in outcomes if outcome.error or not outcome.is_exact] == []
    assert [outcome for outcome in outcomes if not outcome.applied] == []


@pytest.mark.timeout(600)
async def test_uploads_without_limits_report_wrong_bytes_as_success(production, report):
    cases, started = plan_cases("no-rules", rounds=1), time.monotonic()
    outcomes = await upload_all(
        production,
        cases,
        lambda _length: NO_LIMITS,
        max_seconds=60,
        retry=RetryPolicy(attempts=4, first_delay=0.05, max_delay=0.5),
    )
    report(summarise(outcomes, started=started))
    assert any(outcome.is_false_success for outcome in outcomes)


@pytest.mark.parametrize("length", SHORT)
async def test_short_upload_is_one_request(production, length):
    case = Case(uuid.uuid4().hex, length, ())
    outcome = await upload_one(production, case, livepeer_limits(length), 60)
    assert (outcome.error, outcome.is_exact) == ("", True)
    assert outcome.requests == ["POST"]


@pytest.mark.parametrize("kind", FaultKind)
async def test_failed_creation_is_replaced_by_a_new_one(production, kind):
    case = Case(uuid.uuid4().hex, PART, (RequestFault(kind, 0.5),))
    outcome = await upload_one(production, case, livepeer_limits(PART), 60, method="POST")
    assert outcome.applied == {kind: 1}
    assert (outcome.error, outcome.is_exact) == ("", True)
    assert outcome.requests == ["POST", "POST"]
    assert "the creation may have happened" in outcome.lost[0]
