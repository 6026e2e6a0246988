from itertools import pairwise

import anyio
import pytest

from livepeer_async import errors
from livepeer_async.api.requests import check_account
from livepeer_async.api.session import Session
from livepeer_async.http.messages import Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset

pytestmark = pytest.mark.anyio


class Studio:
    """A Studio in which time passes only while somebody sleeps, and assets follow a plan.

    The plan of an asset lists (second, phase); the asset is in the last phase whose second came.
    """

    def __init__(self, **plans):
        self.plans = plans
        self.now = 0.0
        self.looks = []
        account = check_account("https://studio.example/api", "key-1")
        self.session = Session(account, self, retry=RetryPolicy(attempts=0))
        self.waiter = Waiter(
            self.session,
            sleep=self.sleep,
            clock=lambda: self.now,
            jitter=lambda: 0.5,
        )

    async def sleep(self, seconds):
        self.now += seconds

    async def send(self, request):
        asset_id = request.url.rpartition("/")[2]
        self.looks.append((self.now, asset_id))
        phases = [entry for entry in self.plans.get(asset_id, ()) if entry[0] <= self.now]
        if not phases:
            return Response(status=404, body=b'{"errors":["Asset not found"]}')
        since, phase, *rest = phases[-1]
        etag = f'"{since}"'
        if request.headers.get("If-None-Match") == etag:
            return Response(status=304, headers={"etag": etag})
        extra = rest[0] if rest else ""
        body = f'{{"id":"{asset_id}","status":{{"phase":"{phase}"{extra}}}}}'
        return Response(status=200, headers={"etag": etag}, body=body.encode())

    async def wait(self, asset_id, timeout=1000.0, **options):
        return await self.waiter.wait_until(
            WatchedAsset(asset_id), is_ready, timeout=timeout, **options
        )


async def test_it_waits_through_all_phases():
    studio = Studio(a=[(0, "uploading"), (2, "waiting"), (5, "processing"), (60, "ready")])
    seen = []
    asset = await studio.wait("a", on_change=lambda asset: seen.append(asset.phase))
    assert asset.phase == "ready"
    assert seen == ["uploading", "waiting", "processing", "ready"]
    assert studio.now < 60 * 1.25
    assert len(studio.looks) < 30


async def test_the_looks_grow_rarer():
    studio = Studio(a=[(0, "waiting"), (3000, "ready")])
    await studio.wait("a", timeout=5000)
    # The first looks also keep to two a second.
    times = [when for when, _ in studio.looks if when > 5]
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(times)]
    assert gaps == sorted(gaps)
    assert max(gaps) <= 30 * 1.25


async def test_a_failed_asset_says_why_and_whether_a_retry_may_help():
    studio = Studio(
        a=[(1, "failed", ',"errorMessage":"Video is not supported: no video track"')],
        b=[(0, "failed", ',"errorMessage":"internal error processing file"')],
        c=[(0, "failed")],
    )
    studio.now = 1.0
    for asset_id, can_retry in {"a": False, "b": True, "c": False}.items():
        with pytest.raises(errors.AssetFailed, match=f"asset {asset_id} failed") as caught:
            await studio.wait(asset_id)
        assert caught.value.is_retryable is can_retry


@pytest.mark.parametrize(
    "plan", [[(0, "deleting")], [(0, "deleted")], [(0, "waiting"), (5, "deleting")]]
)
async def test_a_deleted_asset_is_not_waited_for(plan):
    with pytest.raises(errors.AssetDeleted):
        await Studio(a=plan).wait("a")


async def test_an_asset_that_vanishes_was_deleted_and_one_that_never_was_is_not_found():
    with pytest.raises(errors.NotFound):
        await Studio().wait("a")
    studio = Studio(a=[(0, "waiting")])

    def vanish(asset):
        studio.plans.clear()

    with pytest.raises(errors.AssetDeleted):
        await studio.wait("a", on_change=vanish)


@pytest.mark.parametrize("phase", ["uploading", "a phase of tomorrow"])
async def test_what_never_ends_ends_with_the_timeout(phase):
    studio = Studio(a=[(0, phase)])
    with pytest.raises(errors.AssetTimeout, match=phase) as caught:
        await studio.wait("a", timeout=100)
    assert isinstance(caught.value, TimeoutError)
    assert 100 <= studio.now <= 101


async def test_many_come_as_they_end_each_once_and_failures_too():
    studio = Studio(
        slow=[(0, "waiting"), (50, "ready")],
        quick=[(0, "waiting"), (5, "ready")],
        bad=[(0, "waiting"), (20, "failed")],
        never=[(0, "uploading")],
    )
    ids = ["slow", "quick", "none", "quick", "bad", "never"]
    results = [result async for result in studio.waiter.wait_each(ids, timeout=100)]
    assert [result.asset_id for result in results] == ["none", "quick", "bad", "slow", "never"]
    assert [type(result.error).__name__ for result in results] == [
        "NotFound",
        "NoneType",
        "AssetFailed",
        "NoneType",
        "AssetTimeout",
    ]


async def test_waiting_for_nothing_ends_at_once():
    assert [result async for result in Studio().waiter.wait_each([], timeout=1)] == []


async def test_the_timeout_holds_while_the_server_fails():
    studio = Studio(a=[(0, "waiting")])

    async def fail(request):
        return Response(status=500)

    studio.send = fail
    studio.session.retry = RetryPolicy(attempts=10**6, first_delay=3, max_delay=3)
    results = [result async for result in studio.waiter.wait_each(["a", "b"], timeout=20)]
    assert {type(result.error) for result in results} == {errors.AssetTimeout}
    assert studio.now < 30


async def test_one_that_fails_holds_up_no_other():
    studio = Studio(good=[(0, "ready")])
    right = studio.send

    async def sometimes(request):
        return Response(status=503) if request.url.endswith("bad") else await right(request)

    studio.send = sometimes
    studio.session.retry = RetryPolicy(attempts=3)
    results = [result async for result in studio.waiter.wait_each(["bad", "good"], timeout=500)]
    assert [result.asset_id for result in results] == ["good", "bad"]
    assert isinstance(results[1].error, errors.ServerError)


async def test_a_look_that_takes_too_long_ends_with_the_timeout():
    studio = Studio(a=[(0, "waiting")])

    async def never(request):
        await anyio.sleep_forever()

    studio.send = never
    with pytest.raises(errors.AssetTimeout):
        await studio.wait("a", timeout=0.05)
