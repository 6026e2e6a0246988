"""Reprocessing of failed assets."""

import anyio
import pytest

from livepeer_async import AssetFailed
from livepeer_async.sandbox import ChangeBody, FailProcessing, Fault, LoseAnswer, On
from livepeer_async.uploads.options import UploadJob, UploadOptions
from support.constants import TIMEOUT
from support.sandbox import client_for, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

TRANSIENT = "internal error processing file"
FINAL = "file format unsupported, must be a valid MP4"
VIDEO = make_bytes(5000)


def fails(message):
    return Fault(On(times=1), FailProcessing(message))


async def upload(livepeer, *, seen_retries=None, key=None, **options):
    def on_progress(progress):
        if progress.retry is not None and seen_retries is not None:
            seen_retries.append(progress.retry)

    job = UploadJob(VIDEO, "a.mp4", key=key)
    return await livepeer.uploads.run(job, UploadOptions(on_progress=on_progress, **options))


def requests_to(sandbox, method, ending):
    return [r for r in sandbox.requests if r.method == method and r.path.endswith(ending)]


async def test_transient_failure_is_reprocessed_without_an_upload():
    seen_retries = []
    async with sandbox_and_client(fails(TRANSIENT)) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=2, seen_retries=seen_retries)
        assert result.error is None
        assert result.asset.phase == "ready"
        assert result.verified == "size"
        assert is_stored(sandbox, result.asset, VIDEO)
        assert len(requests_to(sandbox, "POST", "/retry")) == 1
        assert len(requests_to(sandbox, "POST", "/request-upload")) == 1
    (retry_event,) = seen_retries
    assert TRANSIENT in retry_event.reason
    assert (retry_event.attempt, retry_event.attempts) == (1, 2)


async def test_reprocess_limits_the_attempts():
    faults = [fails(TRANSIENT) for _ in range(3)]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=2)
        assert isinstance(result.error, AssetFailed)
        assert len(requests_to(sandbox, "POST", "/retry")) == 2


async def test_reprocessing_shares_the_request_rate_of_polling():
    fault = Fault(On(times=5), FailProcessing(TRANSIENT))
    async with sandbox_and_client(fault) as (sandbox, livepeer):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(lambda: upload(livepeer, reprocess=2))
        retries = requests_to(sandbox, "POST", "/retry")
        assert len(retries) == 5
        assert {asset.phase for asset in sandbox.assets} == {"ready"}
        last = sandbox.requests[-1].at
        later = [r for r in sandbox.requests if r.at >= retries[0].at]
        # Two in the first second, and in each later one.
        assert len(later) <= 2 * (last - retries[0].at) + 2 + 1


async def test_final_failure_is_not_reprocessed():
    async with sandbox_and_client(fails(FINAL)) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=2)
        assert isinstance(result.error, AssetFailed)
        assert not requests_to(sandbox, "POST", "/retry")


async def test_final_failure_ends_reprocessing():
    async with sandbox_and_client(fails(TRANSIENT), fails(FINAL)) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=5)
        assert result.error.error_message == FINAL
        assert len(requests_to(sandbox, "POST", "/retry")) == 1


async def test_lost_response_to_retry_is_not_repeated():
    lost = Fault(On(method="POST", path="/retry$"), LoseAnswer())
    async with sandbox_and_client(fails(TRANSIENT), lost) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=1)
        assert result.error is None
        assert len(requests_to(sandbox, "POST", "/retry")) == 1


async def test_failure_of_an_earlier_run_is_reprocessed(tmp_path):
    async with sandbox_and_client(fails(TRANSIENT)) as (sandbox, _):
        for reprocess in (0, 1):
            async with client_for(sandbox, tmp_path / "journal") as livepeer:
                result = await upload(livepeer, reprocess=reprocess, key="k")
        assert result.error is None
        assert result.attempts == 0
        assert len(requests_to(sandbox, "POST", "/request-upload")) == 1
        assert len(requests_to(sandbox, "POST", "/retry")) == 1


async def test_endless_reprocessing_ends_with_ready_timeout():
    task = b'{"id": "1", "status": {"phase": "running"}}'
    listed = Fault(On(method="GET", path="/task$"), ChangeBody(b"[%b]" % task))
    faults = (fails(TRANSIENT), listed)
    with anyio.fail_after(TIMEOUT):
        async with sandbox_and_client(*faults, processing_seconds=1.0) as (_, livepeer):
            result = await upload(livepeer, reprocess=1, ready_timeout=1.6)
    assert isinstance(result.error, AssetFailed)


async def test_only_the_task_of_the_failed_asset_is_polled():
    options = {"processing_seconds": 1.0}
    async with sandbox_and_client(fails(TRANSIENT), **options) as (sandbox, livepeer):
        result = await upload(livepeer, reprocess=1)
        assert result.error is None
        (listed,) = (r for r in sandbox.requests if "/task?" in r.path)
        assert result.asset.id in listed.path
