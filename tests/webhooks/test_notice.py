"""Waits and uploads that end by the events of a real receiver, with fewer requests."""

import asyncio
from contextlib import asynccontextmanager

import anyio
import pytest

from livepeer_async import errors, webhooks
from livepeer_async.sandbox import FailProcessing, Fault, On, WrongSize
from support.clock import until, wait_until
from support.constants import FAST_RETRY
from support.sandbox import make_bytes, sandbox_and_client
from support.webhooks import SECRET, receiver

pytestmark = pytest.mark.anyio

# The second wait of an upload, for `ready`, would poll several times in this time.
SLOW = {"waiting_seconds": 0.4, "processing_seconds": 0.4}
# Usually none; more only if an event takes longer than 0.3 s.
FEW = 3
VIDEO = make_bytes(1000)


def polls(sandbox):
    return [it for it in sandbox.requests if it.method == "GET" and "/api/asset" in it.path]


@asynccontextmanager
async def application(*faults, **options):
    """Run a sandbox, a client, and a receiver that notices each event; yield its URL too."""
    async with sandbox_and_client(*faults, **options) as (sandbox, livepeer):

        def on_delivery(headers, body):
            livepeer.notice(webhooks.unwrap(body, headers, SECRET))

        async with receiver(on_delivery) as received:
            yield sandbox, livepeer, received.url


async def test_upload_ends_by_events():
    async with application(**SLOW) as (sandbox, livepeer, url):
        sandbox.add_webhook(url, secret=SECRET)
        async with livepeer.begin_upload(VIDEO, "a", verify="hash") as upload:
            pass
        assert upload.result.verified == "hash"
        # A poll shows no tracks.
        assert upload.result.asset.video_spec.tracks
        assert len(polls(sandbox)) <= FEW


async def test_wrong_size_is_found_in_the_event():
    fault = Fault(On(asset="a"), WrongSize(by=1))
    async with application(fault, **SLOW) as (sandbox, livepeer, url):
        sandbox.add_webhook(url, secret=SECRET)
        with pytest.raises(errors.IntegrityError):
            await livepeer.upload(VIDEO, "a")
        assert len(polls(sandbox)) <= FEW


async def test_failure_ends_the_upload():
    fault = Fault(On(asset="a"), FailProcessing("Video is not supported"))
    async with application(fault, **SLOW) as (sandbox, livepeer, url):
        sandbox.add_webhook(url, secret=SECRET)
        with pytest.raises(errors.AssetFailed, match="not supported"):
            await livepeer.upload(VIDEO, "a")
        assert len(polls(sandbox)) <= FEW


async def wait_and_count(livepeer, sandbox, act):
    """Wait for a new asset, act once it was polled; return the polls after the first."""
    ticket = await livepeer.assets.request_upload("a")
    async with anyio.create_task_group() as tasks:

        async def wait():
            with pytest.raises(errors.AssetDeleted):
                await livepeer.assets.wait(ticket.asset.id)

        tasks.start_soon(wait)
        await until(lambda: polls(sandbox) and polls(sandbox)[0].status)
        await act(ticket.asset.id)
    return len(polls(sandbox)) - 1


async def test_deletion_ends_the_wait_without_a_request():
    async with application() as (sandbox, livepeer, url):
        sandbox.add_webhook(url, secret=SECRET)
        await wait_and_count(livepeer, sandbox, livepeer.assets.delete)
        statuses = [it.status for it in polls(sandbox)]
        assert 404 not in statuses


async def test_wait_many_ends_by_events():
    async with application(**SLOW) as (sandbox, livepeer, url):
        sandbox.add_webhook(url, secret=SECRET)
        async with livepeer.upload_many([make_bytes(n) for n in range(1, 7)], wait=False) as it:
            ids = [result.asset.id async for result in it]
        sandbox.clear_log()
        results = [result async for result in livepeer.assets.wait_many(ids)]
        assert {result.asset.phase for result in results} == {"ready"}
        assert {result.asset_id for result in results} == set(ids)
        assert len(polls(sandbox)) <= FEW


async def test_event_reaches_waits_in_other_loops_and_threads():
    def wait_in_thread(asset_id):
        return asyncio.run(livepeer.assets.wait(asset_id))

    async with application(**SLOW) as (sandbox, livepeer, url):
        sandbox.add_webhook(url, secret=SECRET, events=["asset.ready"])
        asset = await livepeer.upload(VIDEO, "a", wait=False)
        ready = await anyio.to_thread.run_sync(wait_in_thread, asset.id)
        # A poll would show no tracks.
        assert ready.video_spec.tracks


def test_event_of_a_thread_without_a_loop_ends_the_wait(portal):
    async def start():
        event = anyio.Event()

        async def wait():
            with pytest.raises(errors.AssetDeleted):
                await livepeer.assets.wait(ticket.asset.id)
            event.set()

        ticket = await livepeer.assets.request_upload("a")
        asyncio.get_running_loop().create_task(wait())
        await until(lambda: polls(sandbox) and polls(sandbox)[0].status)
        return ticket.asset, event

    with portal.wrap_async_context_manager(sandbox_and_client(client={"retry": FAST_RETRY})) as (
        sandbox,
        livepeer,
    ):
        asset, event = portal.call(start)
        body = webhooks.AssetEvent(id="1", event="asset.deleted", timestamp=1, asset=asset)
        livepeer.notice(body)
        wait_until(event.is_set)


async def test_notice_wants_an_event():
    async with sandbox_and_client() as (_, livepeer):
        for wrong in (b"{}", {"event": "asset.ready"}, None):
            with pytest.raises(errors.ConfigurationError, match=r"webhooks\.unwrap"):
                livepeer.notice(wrong)
