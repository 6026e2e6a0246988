"""The checks themselves: they detect clients that break the rules, give up or hang."""

import re

import pytest

from chaos.cases import PLAIN_LIMITS, Case, Source, draw_case
from chaos.checks import check_amounts, check_order, check_stored_bytes
from chaos.fault_kinds import KINDS, TARGETS
from chaos.runner import CALLER_ERRORS, check_error, run_case
from chaos.summary import format_table, format_totals, make_rows
from livepeer_async import errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.sandbox import Fault, SeenRequest, Stall
from support.constants import KIB
from support.sandbox import PART, SMALL_LIMITS, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
SOURCE = Source("clip", 6 * PART + 99, "bytes", 7)
NO_FAULTS = Case(0, "s3", SMALL_LIMITS, None, [SOURCE], [], [])
UPLOAD = "/api/asset/upload/tus/directUpload%2Fabcd"


async def failures(case, folder, **options):
    return "\n".join((await run_case(case, folder, **options)).problems)


async def test_case_without_faults_has_no_problems(tmp_path):
    outcome = await run_case(NO_FAULTS, tmp_path)
    assert (outcome.results, outcome.problems) == (["ready"], [])


async def test_wrong_limits_are_detected_by_wrong_bytes(tmp_path):
    unaligned_limits = NO_FAULTS._replace(limits=PLAIN_LIMITS)
    assert "success with wrong bytes" in await failures(unaligned_limits, tmp_path)
    unaligned = PLAIN_LIMITS.__class__(first_chunk=100 * KIB, max_chunk=100 * KIB)
    found = await failures(NO_FAULTS._replace(limits=unaligned), tmp_path)
    assert "not a whole number of parts" in found


async def test_wrong_bytes_are_detected(tmp_path):
    async with sandbox_and_client() as (sandbox, livepeer):
        await livepeer.upload(make_bytes(100), "clip")
        assert list(check_stored_bytes(sandbox, {"clip": make_bytes(100)})) == []
        for other in (make_bytes(99), make_bytes(100, seed=8)):
            assert re.search(
                "wrong bytes: clip", "".join(check_stored_bytes(sandbox, {"clip": other}))
            )


async def test_client_that_gives_up_is_detected(tmp_path):
    cases = [case for case in map(draw_case, range(10)) if case.must_recover]
    assert len(cases) > 3
    found = [
        await failures(case, tmp_path, retry=RetryPolicy(attempts=0, restarts=0)) for case in cases
    ]
    assert sum("should have become ready" in text for text in found) > len(cases) / 2


async def test_client_that_hangs_is_detected(tmp_path):
    case = NO_FAULTS._replace(companions=[Fault(TARGETS["patch"], Stall(30))])
    found = await failures(case, tmp_path, timeouts=Timeouts(stall=30), max_seconds=0.5)
    assert "clip exceeded the time limit" in found


@pytest.mark.parametrize("kind", [ValueError, *CALLER_ERRORS])
async def test_error_of_the_caller_is_detected(kind):
    options = {"source": "x"} if kind is errors.SourceError else {}
    async with sandbox_and_client() as (sandbox, _):
        assert len(list(check_error(sandbox, NO_FAULTS, SOURCE, kind("x", **options)))) == 1


async def test_api_key_in_an_error_is_detected():
    async with sandbox_and_client() as (sandbox, _):
        error = errors.LivepeerError(f"no token {sandbox.api_key} found")
        assert "the API key is in the error of clip" in check_error(
            sandbox, NO_FAULTS, SOURCE, error
        )


def seen(method, status, *, received=0):
    return SeenRequest(
        at=0.0,
        method=method,
        path=UPLOAD,
        headers={},
        is_authorized=False,
        connection=1,
        received=received,
        status=status,
    )


@pytest.mark.parametrize("status", [None, 409, 500])
def test_chunk_after_a_failed_one_is_detected(status):
    head = seen("HEAD", 200)
    assert list(check_order([seen("PATCH", status), head, seen("PATCH", 204)])) == []
    assert len(list(check_order([seen("PATCH", status), seen("PATCH", 204)]))) == 1


def test_unbounded_bytes_and_requests_are_detected():
    chunk = seen("PATCH", 204, received=PART)
    assert list(check_amounts([chunk] * 6, NO_FAULTS)) == []
    assert "bytes were sent" in "".join(check_amounts([chunk] * 8, NO_FAULTS))
    assert "requests were sent" in "".join(check_amounts([seen("HEAD", 200)] * 70, NO_FAULTS))


async def test_table_has_a_line_for_each_kind(tmp_path):
    seed = next(seed for seed in range(1000) if len(draw_case(seed).injections) == 1)
    case = draw_case(seed)
    rows = make_rows(case, await run_case(case, tmp_path))
    head, line = format_table(rows)
    assert head.split()[:3] == ["kind", "of", "fault"]
    assert line.startswith(case.injections[0].kind.name)
    assert format_totals(rows).startswith("1 cases; ")


def test_seed_determines_the_case():
    seeds = range(50)
    assert [repr(draw_case(s)) for s in seeds] == [repr(draw_case(s)) for s in seeds]


def test_kinds_have_unique_names_and_targets():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        assert kind.targets
        assert set(kind.targets) <= set(TARGETS)
        assert not set(kind.recovers_at) & set(kind.may_fail_at)
