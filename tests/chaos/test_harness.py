"""That the harness notices: a client without the rules, one that gives up, one that hangs."""

import re

import pytest

from chaos.cases import PLAIN_LIMITS, Case, Source, draw_case
from chaos.judge import judge_amounts, judge_order, judge_ready
from chaos.kinds import KINDS, TARGETS
from chaos.running import NEVER_RIGHT, judge_error, run_case
from chaos.tally import lay_out, rows_of, sum_up
from livepeer_async import errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.sandbox import Fault, SeenRequest, Stall
from support.constants import KIB
from support.sandbox import PART, SMALL_LIMITS, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
SOURCE = Source("clip", 6 * PART + 99, "bytes", 7)
CALM = Case(0, "s3", SMALL_LIMITS, None, [SOURCE], [], [])
UPLOAD = "/api/asset/upload/tus/directUpload%2Fabcd"


async def complaints(case, folder, **options):
    return "\n".join((await run_case(case, folder, **options)).problems)


async def test_without_a_fault_nothing_is_wrong(tmp_path):
    outcome = await run_case(CALM, tmp_path)
    assert (outcome.ends, outcome.problems) == (["ready"], [])


async def test_a_client_without_the_upload_rule_is_seen_to_store_wrong_bytes(tmp_path):
    reckless = CALM._replace(limits=PLAIN_LIMITS)
    assert "success with wrong bytes" in await complaints(reckless, tmp_path)
    unaligned = PLAIN_LIMITS.__class__(first_chunk=100 * KIB, max_chunk=100 * KIB)
    found = await complaints(CALM._replace(limits=unaligned), tmp_path)
    assert "no whole number of parts" in found


async def test_wrong_bytes_are_seen_by_size_and_by_content(tmp_path):
    async with sandbox_and_client() as (sandbox, livepeer):
        await livepeer.upload(make_bytes(100), "clip")
        assert list(judge_ready(sandbox, {"clip": make_bytes(100)})) == []
        for other in (make_bytes(99), make_bytes(100, seed=8)):
            assert re.search("wrong bytes: clip", "".join(judge_ready(sandbox, {"clip": other})))


async def test_a_client_that_gives_up_is_seen(tmp_path):
    cases = [case for case in map(draw_case, range(20)) if case.must_survive]
    assert len(cases) > 7
    found = [
        await complaints(case, tmp_path, retry=RetryPolicy(attempts=0, restarts=0))
        for case in cases
    ]
    assert sum("should have become ready" in text for text in found) > len(cases) / 2


async def test_a_client_that_hangs_is_seen(tmp_path):
    case = CALM._replace(companions=[Fault(TARGETS["patch"], Stall(30))])
    found = await complaints(case, tmp_path, timeouts=Timeouts(stall=30), bound=0.5)
    assert "clip took longer than the bound" in found


@pytest.mark.parametrize("kind", [ValueError, *NEVER_RIGHT])
async def test_an_error_that_no_server_can_cause_is_seen(kind):
    options = {"source": "x"} if kind is errors.SourceError else {}
    async with sandbox_and_client() as (sandbox, _):
        assert len(list(judge_error(sandbox, CALM, SOURCE, kind("x", **options)))) == 1


async def test_a_key_in_an_error_is_seen():
    async with sandbox_and_client() as (sandbox, _):
        error = errors.LivepeerError(f"no token {sandbox.api_key} found")
        assert "the key stands in an error of clip" in judge_error(sandbox, CALM, SOURCE, error)


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
def test_a_chunk_after_a_doubt_is_seen(status):
    head = seen("HEAD", 200)
    assert list(judge_order([seen("PATCH", status), head, seen("PATCH", 204)])) == []
    assert len(list(judge_order([seen("PATCH", status), seen("PATCH", 204)]))) == 1


def test_bytes_and_requests_without_a_bound_are_seen():
    chunk = seen("PATCH", 204, received=PART)
    assert list(judge_amounts([chunk] * 6, CALM)) == []
    assert "bytes were sent" in "".join(judge_amounts([chunk] * 8, CALM))
    assert "requests were sent" in "".join(judge_amounts([seen("HEAD", 200)] * 70, CALM))


async def test_the_table_has_a_line_for_each_kind_that_ran(tmp_path):
    seed = next(seed for seed in range(1000) if len(draw_case(seed).strikes) == 1)
    case = draw_case(seed)
    rows = rows_of(case, await run_case(case, tmp_path))
    head, line = lay_out(rows)
    assert head.split()[:3] == ["kind", "of", "fault"]
    assert line.startswith(case.strikes[0].kind.name)
    assert sum_up(rows).startswith("1 cases; ")


def test_a_seed_draws_the_same_case_each_time():
    seeds = range(50)
    assert [repr(draw_case(s)) for s in seeds] == [repr(draw_case(s)) for s in seeds]


def test_each_kind_has_a_name_of_its_own_and_a_place_where_it_strikes():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        assert kind.targets
        assert set(kind.targets) <= set(TARGETS)
        assert not set(kind.survives) & set(kind.may_end)
