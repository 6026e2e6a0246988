import anyio
import pytest

from livepeer_async import AssetFailed
from livepeer_async.sandbox import Answer, ChangeBody, FailProcessing, Fault, LoseAnswer, On
from livepeer_async.uploads.options import UploadJob, UploadOptions
from support.constants import TIMEOUT
from support.sandbox import client_for, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

PASSING = "internal error processing file"
FINAL = "file format unsupported, must be a valid MP4"
VIDEO = make_bytes(5000)


def fails(message):
    return Fault(On(times=1), FailProcessing(message))


async def upload(livepeer, *, told=None, key=None, **options):
    follow = (lambda progress: told.append(progress.retry)) if told is not None else None
    job = UploadJob(VIDEO, "a.mp4", key=key)
    return await livepeer.uploads.run(job, UploadOptions(on_progress=follow, **options))


def seen(sandbox, method, ending):
    return [r for r in sandbox.requests if r.method == method and r.path.endswith(ending)]


async def test_a_failure_that_may_pass_is_processed_again_without_a_second_upload():
    told = []
    async with sandbox_and_client(fails(PASSING)) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=2, told=told)
        assert result.error is None
        assert result.asset.phase == "ready"
        assert result.verified == "size"
        assert is_stored(sandbox, result.asset, VIDEO)
        assert len(seen(sandbox, "POST", "/retry")) == 1
        assert len(seen(sandbox, "POST", "/request-upload")) == 1
    (retry_event,) = {retry_event for retry_event in told if retry_event is not None}
    assert PASSING in retry_event.reason
    assert (retry_event.attempt, retry_event.attempts) == (1, 2)


async def test_it_is_asked_for_as_often_as_is_wanted_and_no_more():
    faults = [fails(PASSING) for _ in range(3)]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=2)
        assert isinstance(result.error, AssetFailed)
        assert len(seen(sandbox, "POST", "/retry")) == 2


async def test_second_runs_share_the_few_looks_a_second():
    fault = Fault(On(times=5), FailProcessing(PASSING))
    async with sandbox_and_client(fault) as (sandbox, livepeer):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(lambda: upload(livepeer, reprocess=2))
        retries = seen(sandbox, "POST", "/retry")
        assert len(retries) == 5
        assert {asset.phase for asset in sandbox.assets} == {"ready"}
        last = sandbox.requests[-1].at
        later = [r for r in sandbox.requests if r.at >= retries[0].at]
        # The first second has two, and so has each later one.
        assert len(later) <= 2 * (last - retries[0].at) + 2 + 1


async def test_a_final_failure_isnt_processed_again():
    async with sandbox_and_client(fails(FINAL)) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=2)
        assert isinstance(result.error, AssetFailed)
        assert not seen(sandbox, "POST", "/retry")


async def test_a_failure_that_turns_final_ends_it():
    async with sandbox_and_client(fails(PASSING), fails(FINAL)) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=5)
        assert result.error.error_message == FINAL
        assert len(seen(sandbox, "POST", "/retry")) == 1


async def test_a_lost_answer_to_the_request_for_it_isnt_asked_for_again():
    lost = Fault(On(method="POST", path="/retry$"), LoseAnswer())
    async with sandbox_and_client(fails(PASSING), lost) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=1)
        assert result.error is None
        assert len(seen(sandbox, "POST", "/retry")) == 1


async def test_what_failed_in_an_earlier_run_is_processed_again_without_an_upload(tmp_path):
    async with sandbox_and_client(fails(PASSING)) as (sandbox, _):
        for reprocess in (0, 1):
            async with client_for(sandbox, tmp_path / "journal") as livepeer:
                result = await upload(livepeer, reprocess=reprocess, key="k")
        assert result.error is None
        assert result.attempts == 0
        assert len(seen(sandbox, "POST", "/request-upload")) == 1
        assert len(seen(sandbox, "POST", "/retry")) == 1


async def test_a_second_run_that_never_ends_is_given_up_in_time():
    task = b'{"id": "1", "status": {"phase": "running"}}'
    listed = Fault(On(method="GET", path="/task$"), ChangeBody(b"[%b]" % task))
    endless = Fault(On(method="GET", path="/task/"), Answer(200, task))
    with anyio.fail_after(TIMEOUT):
        async with sandbox_and_client(fails(PASSING), listed, endless) as (_, livepeer):
            result = await upload(livepeer, reprocess=1, ready_timeout=2.5)
    assert isinstance(result.error, AssetFailed)


async def test_only_the_task_of_the_failed_asset_is_followed():
    async with sandbox_and_client(fails(PASSING)) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=1)
        assert result.error is None
        (listed,) = (r for r in sandbox.requests if "/task?" in r.path)
        assert result.asset.id in listed.path
