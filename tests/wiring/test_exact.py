"""What is stored is what was read, whatever the cable does; and the check would see it if not."""

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
RULES_OFF = ServerLimits(first_chunk=10 * MIB, max_chunk=10 * MIB)
SHORT = [length for length in LENGTHS if length <= PART]


def with_patches(length):
    """Give the limits of Livepeer, but for short uploads a PATCH that can be struck."""
    limits = livepeer_limits(length)
    return limits if length > PART else replace(limits, with_creation=0)


@pytest.mark.timeout(900)
async def test_every_upload_is_exact_over_cables_that_are_cut(production, report):
    cases, started = plan_cases("rules", rounds=ROUNDS), time.monotonic()
    outcomes = await upload_all(production, cases, with_patches, most_seconds=300)
    report(summarise(outcomes, started=started))
    assert len(outcomes) == len(cases) >= 200
    assert [outcome for outcome in outcomes if outcome.error or not outcome.is_exact] == []
    assert [outcome for outcome in outcomes if not outcome.applied] == []


@pytest.mark.timeout(600)
async def test_without_the_rules_wrong_bytes_are_reported_as_success(production, report):
    cases, started = plan_cases("no-rules", rounds=1), time.monotonic()
    outcomes = await upload_all(
        production,
        cases,
        lambda _length: RULES_OFF,
        most_seconds=60,
        retry=RetryPolicy(attempts=4, first_delay=0.05, max_delay=0.5),
    )
    report(summarise(outcomes, started=started))
    assert any(outcome.is_false_success for outcome in outcomes)


@pytest.mark.parametrize("length", SHORT)
async def test_a_short_upload_travels_with_its_creation(production, length):
    case = Case(uuid.uuid4().hex, length, ())
    outcome = await upload_one(production, case, livepeer_limits(length), 60)
    assert (outcome.error, outcome.is_exact) == ("", True)
    assert outcome.requests == ["POST"]


@pytest.mark.parametrize("kind", FaultKind)
async def test_a_creation_that_is_struck_is_left_for_a_new_one(production, kind):
    case = Case(uuid.uuid4().hex, PART, (RequestFault(kind, 0.5),))
    outcome = await upload_one(production, case, livepeer_limits(PART), 60, method="POST")
    assert outcome.applied == {kind: 1}
    assert (outcome.error, outcome.is_exact) == ("", True)
    assert outcome.requests == ["POST", "POST"]
    assert "the creation may have happened" in outcome.lost[0]
