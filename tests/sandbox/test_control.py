"""What a test does to a sandbox: reset, finish, deliver, and its speed."""

import asyncio
import threading

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from livepeer_async import AsyncLivepeer, ConfigurationError, errors, webhooks
from livepeer_async.sandbox import Answer, CutConnection, Fault, On, Sandbox, Stall
from livepeer_async.sandbox.state import ServerState
from support.clock import until
from support.constants import VERY_LONG
from support.sandbox import client_for

SLOW = {"waiting_seconds": VERY_LONG, "processing_seconds": VERY_LONG}


@pytest.fixture
def slow():
    """A sandbox in which processing never ends by itself."""
    with Sandbox(**SLOW) as sandbox:
        yield sandbox


@pytest.fixture
def livepeer(slow):
    """A fast client of it."""
    client = client_for(slow, speed=100)
    yield client
    client.close()


@pytest.fixture
def app():
    """An application that checks events; `app.state.events` has them."""

    async def receive(request):
        body = await request.body()
        try:
            event = webhooks.unwrap(body, request.headers, "secret")
        except errors.LivepeerError as error:
            return Response(type(error).__name__, status_code=400)
        app.state.events.append(event)
        return Response(status_code=204)

    app = Starlette(routes=[Route("/hook", receive, methods=["POST"])])
    app.state.events = []
    return app


def test_sync_block_starts_and_stops_the_server():
    # Other tests may have sandboxes of their own.
    before = set(threading.enumerate())
    sandbox = Sandbox()
    with sandbox as entered:
        assert set(threading.enumerate()) - before
        assert entered is sandbox
        assert sandbox.is_running
        asyncio.run(client_for(sandbox).ping())
    assert not sandbox.is_running
    assert not {it.name for it in set(threading.enumerate()) - before} & {"livepeer-sandbox"}
    with pytest.raises(RuntimeError, match="started already"), sandbox:
        pass
    with pytest.raises(RuntimeError, match="not running any more"):
        sandbox.reset()


def test_sync_block_works_inside_a_running_loop():
    async def use():
        with Sandbox() as sandbox:
            await client_for(sandbox).ping()

    asyncio.run(use())


def test_sync_block_raises_an_error_of_the_server(monkeypatch):
    def fail(self, *_):
        raise ZeroDivisionError

    monkeypatch.setattr(ServerState, "check_queue", fail)
    with pytest.raises(ZeroDivisionError), Sandbox() as sandbox:
        with pytest.raises(errors.LivepeerError):
            asyncio.run(client_for(sandbox, speed=1000).assets.request_upload("video"))
        sandbox.reset()


@pytest.mark.parametrize("storage", ["file", "s3"])
def test_reset_forgets_everything(storage, tmp_path):
    fault = Fault(On(path="/nothing"), Answer(500))
    with Sandbox(storage=storage, faults=[fault], directory=tmp_path) as sandbox:
        livepeer = client_for(sandbox, speed=100)
        key = sandbox.add_user()
        sandbox.add_fault(Fault(On(path="/asset"), Answer(404)))
        sandbox.add_webhook("http://127.0.0.1:9/")
        sandbox.faults.pop()
        ticket = asyncio.run(livepeer.assets.request_upload("ticket"))
        asset = asyncio.run(livepeer.upload(b"bytes", "video"))
        sandbox.reset()
        assert (sandbox.assets, sandbox.requests, sandbox.violations) == ([], [], [])
        assert (sandbox.faults, sandbox.deliveries) == ([fault], [])
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(errors.NotFound):
            asyncio.run(livepeer.assets.get(asset.id))
        with pytest.raises(errors.NotAuthenticated):
            asyncio.run(client_for(sandbox, api_key=key).ping())
        assert ticket.asset.id != asyncio.run(livepeer.upload(b"bytes", "video")).id
        livepeer.close()


def test_fault_added_before_the_start_fires_until_a_reset():
    sandbox = Sandbox(speed=100)
    fault = sandbox.add_fault(Fault(On(path="request-upload", times=1), Answer(503)))
    with sandbox:
        livepeer = client_for(sandbox, speed=100)
        asyncio.run(livepeer.upload(b"bytes"))
        assert (fault.fired, sandbox.faults) == (1, [fault])
        sandbox.reset()
        assert sandbox.faults == []


def test_reset_leaves_requests_in_flight_without_effect():
    stall = Fault(On(method="POST", path="/tus"), Stall(VERY_LONG))

    async def use(livepeer):
        upload = asyncio.ensure_future(livepeer.upload(bytes(100), "video"))
        await until(lambda: stall.fired)
        sandbox.reset()
        sandbox.faults.clear()
        assert (await livepeer.upload(bytes(10), "other")).size == 10
        assert [asset.name for asset in sandbox.assets] == ["other"]
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload

    with Sandbox(faults=[stall], speed=100) as sandbox:
        asyncio.run(use(client_for(sandbox, speed=100)))


def test_finish_ends_a_wait(slow, livepeer):
    async def use():
        ready = await livepeer.upload(b"12345", "ready", wait=False)
        failed = await livepeer.upload(b"123", "failed", wait=False)
        deleted = await livepeer.upload(b"123", "deleted", wait=False)
        slow.finish(ready.id)
        slow.finish(failed.id, "failed", error="no video track")
        slow.finish(deleted.id, "deleted")
        asset = await livepeer.assets.wait(ready.id)
        assert (asset.size, asset.phase) == (5, "ready")
        with pytest.raises(errors.AssetFailed, match="no video track"):
            await livepeer.assets.wait(failed.id)
        with pytest.raises(errors.NotFound):
            await livepeer.assets.get(deleted.id)

    asyncio.run(use())


@pytest.mark.parametrize("phase", ["uploading", "waiting", "processing", "ready", "failed"])
def test_finish_moves_an_asset_without_an_upload(slow, livepeer, phase):
    async def use():
        ticket = await livepeer.assets.request_upload("video")
        slow.finish(ticket.asset.id, phase)
        asset = await livepeer.assets.get(ticket.asset.id)
        assert asset.phase == phase == slow.assets[0].phase
        if phase == "failed":
            await livepeer.assets.retry(asset.id)

    asyncio.run(use())


def test_finish_names_what_is_wrong(slow, livepeer):
    ticket = asyncio.run(livepeer.assets.request_upload("video"))
    with pytest.raises(ValueError, match="'gone'; wanted one of uploading"):
        slow.finish(ticket.asset.id, "gone")
    with pytest.raises(ValueError, match="no asset 'x' in the sandbox"):
        slow.finish("x")


@pytest.mark.anyio
async def test_finish_sends_the_events():
    async with Sandbox(**SLOW) as sandbox, Sandbox() as receiver, client_for(sandbox) as livepeer:
        # Any server will do; the log of deliveries has the names.
        sandbox.add_webhook(f"{receiver.origin}/hook", events=["asset.ready", "asset.failed"])
        first = await livepeer.upload(b"123", "first", wait=False)
        ticket = await livepeer.assets.request_upload("second")
        sandbox.finish(ticket.asset.id, "failed")
        sandbox.finish(first.id)
        await until(lambda: len(sandbox.deliveries) == 2)
        names = {delivery.event for delivery in sandbox.deliveries}
    assert names == {"asset.ready", "asset.failed"}


def test_deliver_sends_an_event_by_name(slow, livepeer, app):
    async def use():
        asset = await livepeer.upload(b"12345", "video", wait=False)
        slow.finish(asset.id)
        for name in ("asset.ready", "task.completed"):
            arguments = {"to": app, "path": "/hook", "secret": "secret"}
            assert await slow.deliver(name, asset.id, **arguments) == 204
        ready, completed = app.state.events
        assert (ready.asset.id, ready.asset.size, ready.event) == (asset.id, 5, "asset.ready")
        assert completed.success
        assert completed.task.output_asset_id == asset.id
        # An application does this with the event; it ends the wait without a poll.
        livepeer.notice(ready)

    asyncio.run(use())


def test_deliver_sends_a_document_and_a_struct(slow, app):
    asset = {"asset": {"id": "1", "snapshot": {"id": "1", "name": "a", "playbackId": "p"}}}
    document = {"event": "asset.updated", "payload": asset, "id": "event"}
    recording = {"event": "recording.ready", "payload": {"session": {"id": "s"}, "mp4Url": "u"}}

    async def use():
        for event in (document, document, recording, {"event": "new.event", "payload": [1]}):
            assert await slow.deliver(event, to=app, path="/hook", secret="secret") == 204
        given = list(app.state.events)
        app.state.events.clear()
        for event in given:
            assert await slow.deliver(event, to=app, path="/hook", secret="secret") == 204
        # Only the timestamp is new.
        for event, again in zip(given, app.state.events, strict=True):
            assert (again.id, again.event) == (event.id, event.event)
            assert type(again) is type(event)
        assert app.state.events[0].asset == given[0].asset
        assert app.state.events[2].mp4_url == "u"
        assert app.state.events[3].payload == [1]
        assert given[0].id == given[1].id == "event"

    asyncio.run(use())


def test_deliver_signs_with_the_secret_of_the_sandbox(slow, app):
    async def use():
        event = {"event": "asset.ready", "payload": {}}
        assert await slow.deliver(event, to=app, path="/hook") == 400
        assert await slow.deliver(event, to=app, path="/other") == 404
        slow.webhook_secret = "secret"
        event = {"event": "some.event"}
        assert await slow.deliver(event, to=app, path="/hook") == 204

    asyncio.run(use())


def test_deliver_posts_to_a_url(slow):
    async def use():
        with Sandbox() as receiver:
            status = await slow.deliver({"event": "x"}, to=f"{receiver.origin}/hook?a=1")
            assert status == 404
            assert [(r.method, r.path) for r in receiver.requests] == [("POST", "/hook?a=1")]
        with pytest.raises(ConnectionRefusedError):
            await slow.deliver({"event": "x"}, to=f"{receiver.origin}/hook")

    asyncio.run(use())


async def crash(scope, receive, send):
    raise ZeroDivisionError


async def return_nothing(scope, receive, send):
    assert (await receive())["body"]


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("asset.ready", "x"), {"to": crash}, ValueError),
        (("asset.ready",), {"to": crash}, ValueError),
        (({"payload": {}},), {"to": crash}, ValueError),
        (({"event": "x"},), {"to": crash}, ZeroDivisionError),
        (({"event": "x"},), {"to": return_nothing}, RuntimeError),
    ],
)
def test_deliver_raises_what_is_wrong(slow, arguments, options, error):
    with pytest.raises(error):
        asyncio.run(slow.deliver(*arguments, **options))


def test_deliver_needs_an_event_of_an_asset_or_task(slow, livepeer):
    ticket = asyncio.run(livepeer.assets.request_upload("video"))
    with pytest.raises(ValueError, match=r"stream\.idle"):
        asyncio.run(slow.deliver("stream.idle", ticket.asset.id, to=crash))


def test_speed_shortens_each_delay():
    faults = [
        Fault(On(path="request-upload", nth=1), Answer(503, headers={"Retry-After": "30"})),
        Fault(On(method="POST", path="/tus", nth=1), CutConnection(after_bytes=1000)),
        Fault(On(method="PATCH", nth=1), CutConnection(after_bytes=1_000_000)),
    ]
    seconds = 60.0
    options = {"waiting_seconds": seconds, "processing_seconds": seconds, "storage": "s3"}

    async def use():
        livepeer = AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url, speed=sandbox.speed)
        async with livepeer, asyncio.timeout(20):
            assert (await livepeer.upload(bytes(9_000_000), "video")).size == 9_000_000

    with Sandbox(faults=faults, speed=1000.0, **options) as sandbox:
        asyncio.run(use())
        assert sandbox.violations == []


def test_time_limit_is_in_real_seconds(slow, livepeer):
    async def use():
        asset = await livepeer.upload(b"123", wait=False)
        began = asyncio.get_running_loop().time()
        with pytest.raises(errors.AssetTimeout, match="isn't ready after 0 s"):
            await livepeer.assets.wait(asset.id, timeout=0.2)
        assert asyncio.get_running_loop().time() - began >= 0.2

    asyncio.run(use())


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_speed_is_a_number_above_0(speed):
    with pytest.raises(ConfigurationError, match="speed is"):
        AsyncLivepeer("key", base_url="http://localhost/api", speed=speed)
    with pytest.raises(ValueError, match="speed is"):
        Sandbox(speed=speed)


def test_livepeer_itself_gets_no_faster_client():
    with pytest.raises(ConfigurationError, match=r"https://livepeer\.studio") as caught:
        AsyncLivepeer("key", base_url="https://livepeer.studio/api", speed=2)
    assert "sandbox" in caught.value.advice
    AsyncLivepeer("key", base_url="https://livepeer.studio/api", speed=1)
