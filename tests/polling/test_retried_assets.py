"""Waits for assets that a retry processes again; until it ends, the server says `failed`."""

from functools import partial

import anyio
import anyio.to_thread
import pytest
from msgspec.structs import replace

from livepeer_async import (
    AmbiguousRequest,
    AssetDeleted,
    AssetFailed,
    AssetTimeout,
    BadRequest,
    SourceChanged,
)
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.polling.waiter import MAX_RETRIED
from livepeer_async.sandbox import Answer, FailProcessing, Fault, Garbage, LoseAnswer, On
from livepeer_async.sandbox.lifecycle import Status, Step, make_final_step
from support.command_line import run
from support.polling import add_asset, delete_asset, virtual_waiter
from support.sandbox import client_for, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(5000)
FIRST = "internal error processing file"
SECOND = "file format unsupported, must be a valid MP4"
SECONDS = 0.8


def fails(message):
    return Fault(On(times=1), FailProcessing(message))


async def failed_asset(livepeer, key=None):
    with pytest.raises(AssetFailed, match=FIRST) as caught:
        await livepeer.upload(VIDEO, "a.mp4", key=key)
    return caught.value.asset_id


def task_lists(sandbox):
    return [r for r in sandbox.requests if r.path.startswith("/api/task?")]


async def test_wait_after_a_retry_returns_the_ready_asset():
    async with sandbox_and_client(fails(FIRST), processing_seconds=1.0) as (sandbox, livepeer):
        asset_id = await failed_asset(livepeer)
        assert not task_lists(sandbox)
        await livepeer.assets.retry(asset_id)
        assert (await livepeer.assets.get(asset_id)).phase == "failed"
        assert (await livepeer.assets.wait(asset_id)).phase == "ready"
        assert len(task_lists(sandbox)) == 1


async def test_wait_of_another_client_sees_the_retry():
    async with sandbox_and_client(fails(FIRST), processing_seconds=SECONDS) as (sandbox, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        async with client_for(sandbox) as other:
            assert (await other.assets.wait(asset_id)).phase == "ready"


async def test_command_waits_for_the_retry():
    async with sandbox_and_client(fails(FIRST), processing_seconds=1.5) as (sandbox, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        wait = partial(run, "assets", "wait", asset_id, sandbox=sandbox)
        done = await anyio.to_thread.run_sync(wait)
        assert done.returncode == 0
        assert b"ready" in done.stdout


async def test_second_failure_is_raised_with_its_own_message():
    faults = (fails(FIRST), fails(SECOND))
    async with sandbox_and_client(*faults, processing_seconds=SECONDS) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        with pytest.raises(AssetFailed, match=SECOND):
            await livepeer.assets.wait(asset_id)


async def test_same_failure_twice_ends_the_wait():
    faults = (fails(FIRST), fails(FIRST))
    async with sandbox_and_client(*faults, processing_seconds=SECONDS) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        with pytest.raises(AssetFailed, match=FIRST):
            await livepeer.assets.wait(asset_id)


async def test_failure_without_a_retry_is_raised_after_one_look():
    async with sandbox_and_client(fails(FIRST)) as (sandbox, livepeer):
        asset_id = await failed_asset(livepeer)
        with pytest.raises(AssetFailed, match=FIRST):
            await livepeer.assets.wait(asset_id)
        assert len(task_lists(sandbox)) == 1


async def test_many_waits_distinguish_retried_assets():
    faults = [fails(FIRST) for _ in range(4)]
    async with sandbox_and_client(*faults, processing_seconds=SECONDS) as (_, livepeer):
        ids = [await failed_asset(livepeer) for _ in range(4)]
        for asset_id in ids[:2]:
            await livepeer.assets.retry(asset_id)
        results = [result async for result in livepeer.assets.wait_many(ids)]
        ready = {result.asset_id for result in results if result.error is None}
        assert ready == set(ids[:2])


async def test_retry_of_other_assets_is_refused():
    async with sandbox_and_client(fails(FIRST), processing_seconds=SECONDS) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        with pytest.raises(BadRequest, match="not in a retryable state"):
            await livepeer.assets.retry(asset_id)
        await livepeer.assets.wait(asset_id)
        with pytest.raises(BadRequest, match="not failed"):
            await livepeer.assets.retry(asset_id)


async def test_lost_response_to_a_retry_is_no_error():
    lost = Fault(On(method="POST", path="/retry$"), LoseAnswer())
    options = {"processing_seconds": SECONDS}
    async with sandbox_and_client(fails(FIRST), lost, **options) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        assert (await livepeer.assets.wait(asset_id)).phase == "ready"


async def test_retry_that_the_server_did_not_get_is_ambiguous():
    lost = Fault(On(method="POST", path="/retry$"), Garbage())
    async with sandbox_and_client(fails(FIRST), lost) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        with pytest.raises(AmbiguousRequest):
            await livepeer.assets.retry(asset_id)


async def test_deletion_during_a_retry_ends_the_wait():
    async with sandbox_and_client(fails(FIRST), processing_seconds=30.0) as (sandbox, livepeer):
        asset_id = add_asset(sandbox, ready_after=0, failure=FailProcessing(FIRST))
        await livepeer.assets.retry(asset_id)
        seen = []

        def delete(asset):
            seen.append(asset.phase)
            delete_asset(sandbox, asset_id)

        with pytest.raises(AssetDeleted):
            await livepeer.assets.wait(asset_id, on_change=delete)
        assert set(seen) == {"failed"}


async def test_timeout_says_that_the_asset_is_processed_again():
    async with sandbox_and_client(processing_seconds=30.0) as (sandbox, livepeer):
        asset_id = add_asset(sandbox, ready_after=0, failure=FailProcessing(FIRST))
        await livepeer.assets.retry(asset_id)
        with pytest.raises(AssetTimeout, match="is being processed again"):
            await livepeer.assets.wait(asset_id, timeout=1.5)


async def test_key_without_access_to_tasks_gets_the_failure():
    refused = Fault(On(method="GET", path="/task$", times=9), Answer(403, b'{"errors":["no"]}'))
    async with sandbox_and_client(fails(FIRST), refused) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        with pytest.raises(AssetFailed, match=FIRST):
            await livepeer.assets.wait(asset_id)


async def test_key_without_access_to_tasks_waits_after_its_own_retry():
    refused = Fault(On(method="GET", path="/task$", times=9), Answer(403, b'{"errors":["no"]}'))
    faults = (fails(FIRST), fails(SECOND), refused)
    async with sandbox_and_client(*faults, processing_seconds=SECONDS) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        with pytest.raises(AssetFailed, match=SECOND):
            await livepeer.assets.wait(asset_id)


async def test_failing_look_at_the_task_is_repeated():
    broken = Fault(On(method="GET", path="/task$", times=2), Answer(502, b"bad gateway"))
    options = {"processing_seconds": SECONDS}
    async with sandbox_and_client(fails(FIRST), broken, **options) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        assert (await livepeer.assets.wait(asset_id)).phase == "ready"


@pytest.mark.parametrize("wait", [True, False])
async def test_upload_of_the_same_key_waits_for_the_retry(tmp_path, wait):
    async with sandbox_and_client(fails(FIRST), processing_seconds=SECONDS) as (sandbox, _):
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            asset_id = await failed_asset(livepeer, key="k")
            await livepeer.assets.retry(asset_id)
            again = await livepeer.upload(VIDEO, "a.mp4", key="k", wait=wait)
            assert again.id == asset_id
            assert (await livepeer.assets.wait(asset_id)).phase == "ready"
        assert len(sandbox.assets) == 1


async def test_lists_find_retried_assets_without_a_flood_of_requests():
    async with virtual_waiter() as harness:
        ids = harness.add_failed_assets(20)
        harness.clock.advance(1.0)
        harness.retry(*ids, seconds=60)
        await harness.wait_many(ids)
        assert all(error is None for _, error in harness.ended.values())
        assert harness.log.busiest_second() <= 2
        assert len(harness.log.requests) < 20 * 3


async def test_second_wait_still_knows_of_the_retry():
    refused = Fault(On(method="GET", path="/task$", times=9), Answer(403, b'{"errors":["no"]}'))
    options = {"processing_seconds": 2.0}
    async with sandbox_and_client(fails(FIRST), refused, **options) as (_, livepeer):
        asset_id = await failed_asset(livepeer)
        await livepeer.assets.retry(asset_id)
        with pytest.raises(AssetTimeout):
            await livepeer.assets.wait(asset_id, timeout=0.5)
        assert (await livepeer.assets.wait(asset_id)).phase == "ready"


async def test_number_of_remembered_retries_is_limited():
    async with virtual_waiter() as harness:
        failed = Asset(id="0", name="a", status=AssetStatus(phase="failed", updated_at=1))
        for number in range(MAX_RETRIED + 10):
            harness.waiter.note_retry(replace(failed, id=str(number)))
        assert len(harness.waiter._retried) == MAX_RETRIED  # noqa: SLF001 - has no effect to see


async def test_changed_source_keeps_an_asset_whose_task_has_just_ended(tmp_path):
    options = {"client": {"journal": tmp_path / "journal"}, "processing_seconds": SECONDS}
    async with sandbox_and_client(fails(FIRST), **options) as (sandbox, livepeer):
        asset_id = await failed_asset(livepeer, key="k")
        state = sandbox._server  # noqa: SLF001 - the moment is too short to meet
        asset, now = state.assets[asset_id], state.now()
        asset.steps.append(Step(now, asset.status(now), Status("completed", now)))
        asset.steps.append(make_final_step(now + SECONDS, None))
        with pytest.raises(SourceChanged):
            await livepeer.upload(make_bytes(5001), "a.mp4", key="k")
        assert (await livepeer.assets.wait(asset_id)).phase == "ready"


@pytest.mark.parametrize("others", [0, 1500])
async def test_one_list_of_tasks_serves_many_failed_assets(others):
    async with virtual_waiter() as harness:
        ids = harness.add_failed_assets(1000)
        harness.add_assets(*[0.0] * others)
        retried = ids[::2]
        harness.clock.advance(1.0)
        harness.retry(*retried, seconds=60)
        await harness.wait_many(ids)
        ready = [asset_id for asset_id, (_, error) in harness.ended.items() if error is None]
        assert sorted(ready) == sorted(retried)
        failures = [when for when, error in harness.ended.values() if error is not None]
        assert max(failures) <= 10
        assert harness.log.busiest_second() <= 2
        assert len(harness.log.requests) < 60


REFUSED = Answer(403, b'{"errors":["no"]}')
BROKEN = Answer(500, b'{"errors":["no"]}')


@pytest.mark.parametrize(("answer", "times"), [(REFUSED, 1), (BROKEN, 1), (BROKEN, 3)])
async def test_failing_list_of_tasks_ends_no_wait_too_early(answer, times):
    broken = Fault(On(method="GET", path="/task$", times=times), answer)
    async with virtual_waiter(broken) as harness:
        ids = harness.add_failed_assets(8)
        harness.clock.advance(1.0)
        harness.retry(ids[0], seconds=5)
        await harness.wait_many(ids)
        # Without access to tasks, the failure is all that is known.
        assert (harness.ended[ids[0]][1] is None) == (answer is BROKEN)
        assert all(isinstance(harness.ended[it][1], AssetFailed) for it in ids[1:])
        assert broken.fired == times
        assert len(harness.log.requests) <= 8 + 20
