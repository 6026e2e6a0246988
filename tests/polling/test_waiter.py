from itertools import pairwise

import anyio
import pytest

from livepeer_async import errors
from livepeer_async.api.calls import check_account
from livepeer_async.api.session import Session
from livepeer_async.concurrency import Clock
from livepeer_async.http.messages import Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset

pytestmark = pytest.mark.anyio


class FakeServer:
    """A server in virtual time whose assets follow a plan.

    A plan lists (second, phase); the asset is in the last phase whose second has passed.
    """

    def __init__(self, **plans):
        self.plans = plans
        self.now = 0.0
        self.polls = []
        account = check_account("https://studio.example/api", "key-1")
        self.session = Session(account, self, retry=RetryPolicy(attempts=0))
        clock = Clock(now=lambda: self.now, sleep=self.sleep, random=lambda: 0.5)
        self.waiter = Waiter(self.session, clock=clock)

    async def sleep(self, seconds):
        self.now += seconds

    async def send(self, request):
        asset_id = request.url.rpartition("/")[2]
        self.polls.append((self.now, asset_id))
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


async def test_wait_reports_each_phase():
    server = FakeServer(a=[(0, "uploading"), (2, "waiting"), (5, "processing"), (60, "ready")])
    seen = []
    asset = await server.wait("a", on_change=lambda asset: seen.append(asset.phase))
    assert asset.phase == "ready"
    assert seen == ["uploading", "waiting", "processing", "ready"]
    assert server.now < 60 * 1.25
    assert len(server.polls) < 30


async def test_delays_between_polls_grow():
    server = FakeServer(a=[(0, "waiting"), (3000, "ready")])
    await server.wait("a", timeout=5000)
    # The rate limit shapes the first polls.
    times = [when for when, _ in server.polls if when > 5]
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(times)]
    assert gaps == sorted(gaps)
    assert max(gaps) <= 30 * 1.25


async def test_failure_has_its_message_and_whether_to_retry():
    server = FakeServer(
        a=[(1, "failed", ',"errorMessage":"Video is not supported: no video track"')],
        b=[(0, "failed", ',"errorMessage":"internal error processing file"')],
        c=[(0, "failed")],
    )
    server.now = 1.0
    for asset_id, can_retry in {"a": False, "b": True, "c": False}.items():
        with pytest.raises(errors.AssetFailed, match=f"asset {asset_id} failed") as caught:
            await server.wait(asset_id)
        assert caught.value.is_retryable is can_retry


@pytest.mark.parametrize(
    "plan", [[(0, "deleting")], [(0, "deleted")], [(0, "waiting"), (5, "deleting")]]
)
async def test_deleted_asset_ends_the_wait(plan):
    with pytest.raises(errors.AssetDeleted):
        await FakeServer(a=plan).wait("a")


async def test_vanished_asset_is_deleted_and_unknown_one_not_found():
    with pytest.raises(errors.NotFound):
        await FakeServer().wait("a")
    server = FakeServer(a=[(0, "waiting")])

    def vanish(asset):
        server.plans.clear()

    with pytest.raises(errors.AssetDeleted):
        await server.wait("a", on_change=vanish)


@pytest.mark.parametrize("phase", ["uploading", "an unknown phase"])
async def test_stuck_phase_ends_with_the_timeout(phase):
    server = FakeServer(a=[(0, phase)])
    with pytest.raises(errors.AssetTimeout, match=phase) as caught:
        await server.wait("a", timeout=100)
    assert isinstance(caught.value, TimeoutError)
    assert 100 <= server.now <= 101


async def test_results_arrive_once_in_the_order_of_their_ends():
    server = FakeServer(
        slow=[(0, "waiting"), (50, "ready")],
        quick=[(0, "waiting"), (5, "ready")],
        bad=[(0, "waiting"), (20, "failed")],
        never=[(0, "uploading")],
    )
    ids = ["slow", "quick", "none", "quick", "bad", "never"]
    results = [result async for result in server.waiter.wait_each(ids, timeout=100)]
    assert [result.asset_id for result in results] == ["none", "quick", "bad", "slow", "never"]
    assert [type(result.error).__name__ for result in results] == [
        "NotFound",
        "NoneType",
        "AssetFailed",
        "NoneType",
        "AssetTimeout",
    ]


async def test_waiting_for_no_asset_ends_at_once():
    assert [result async for result in FakeServer().waiter.wait_each([], timeout=1)] == []


async def test_timeout_ends_waits_while_the_server_fails():
    server = FakeServer(a=[(0, "waiting")])

    async def fail(request):
        return Response(status=500)

    server.send = fail
    server.session.retry = RetryPolicy(attempts=10**6, first_delay=3, max_delay=3)
    results = [result async for result in server.waiter.wait_each(["a", "b"], timeout=20)]
    assert {type(result.error) for result in results} == {errors.AssetTimeout}
    assert server.now < 30


async def test_failing_asset_does_not_delay_others():
    server = FakeServer(good=[(0, "ready")])
    send = server.send

    async def send_or_fail(request):
        return Response(status=503) if request.url.endswith("bad") else await send(request)

    server.send = send_or_fail
    server.session.retry = RetryPolicy(attempts=3)
    results = [result async for result in server.waiter.wait_each(["bad", "good"], timeout=500)]
    assert [result.asset_id for result in results] == ["good", "bad"]
    assert isinstance(results[1].error, errors.ServerError)


async def test_hanging_poll_ends_with_the_timeout():
    server = FakeServer(a=[(0, "waiting")])

    async def never(request):
        await anyio.sleep_forever()

    server.send = never
    with pytest.raises(errors.AssetTimeout):
        await server.wait("a", timeout=0.05)
