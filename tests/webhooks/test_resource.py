"""`livepeer.webhooks` against the sandbox."""

from contextlib import asynccontextmanager

import pytest

from livepeer_async import NewWebhook, Webhook, WebhookPatch, errors, webhooks
from livepeer_async.sandbox import CutAnswer, Fault, LoseAnswer, On
from support.clock import until
from support.sandbox import make_bytes, sandbox_and_client
from support.webhooks import SECRET, receiver

pytestmark = pytest.mark.anyio

HOOK = NewWebhook(name="app", url="https://app.example/hook?s3cret", events=["asset.ready"])


@asynccontextmanager
async def client(*faults):
    async with sandbox_and_client(*faults) as (_, livepeer):
        yield livepeer


async def test_webhook_is_created_changed_and_deleted():
    async with client() as livepeer:
        fields = {"name": "app", "url": HOOK.url, "events": ["asset.ready"]}
        created = await livepeer.webhooks.create({**fields, "sharedSecret": "s3cret"})
        assert isinstance(created, Webhook)
        assert (created.name, created.url, created.events) == ("app", HOOK.url, ("asset.ready",))
        assert created.shared_secret == "s3cret"
        assert "s3cret" not in repr(created)
        assert await livepeer.webhooks.get(created.id) == created
        changed = await livepeer.webhooks.update(created.id, {"events": ["asset.failed"]})
        # What isn't named stays, the secret above all.
        assert (changed.events, changed.shared_secret) == (("asset.failed",), "s3cret")
        changed = await livepeer.webhooks.update(created.id, WebhookPatch(shared_secret="new"))
        assert (changed.events, changed.shared_secret) == (("asset.failed",), "new")
        changed = await livepeer.webhooks.update(created.id, HOOK)
        assert (changed.events, changed.shared_secret) == (("asset.ready",), "new")
        await livepeer.webhooks.delete(created.id)
        for call in (livepeer.webhooks.get, livepeer.webhooks.delete):
            with pytest.raises(errors.NotFound):
                await call(created.id)


async def test_all_pages_of_webhooks_are_listed():
    async with client() as livepeer:
        assert [it async for it in livepeer.webhooks.list()] == []
        ids = [(await livepeer.webhooks.create(HOOK)).id for _ in range(5)]
        # 5 rows in pages of 5: the last page is full, and its Link is followed.
        for size in (2, 5, 100):
            listed = [it.id async for it in livepeer.webhooks.list(page_size=size)]
            assert sorted(listed) == sorted(ids)


async def test_refused_webhook_has_its_violation():
    async with client() as livepeer:
        with pytest.raises(errors.InvalidRequest) as caught:
            await livepeer.webhooks.create({"name": "a", "url": "https://a", "events": ["no"]})
        assert caught.value.violations
        with pytest.raises(errors.NotFound, match="webhook not found"):
            await livepeer.webhooks.update("unknown", {"name": "b"})


async def test_lost_response_to_a_creation_is_ambiguous():
    async with client(Fault(On(path="/api/webhook"), LoseAnswer())) as livepeer:
        with pytest.raises(errors.AmbiguousRequest):
            await livepeer.webhooks.create(HOOK)


async def test_lost_response_to_a_change_is_repeated():
    fault = Fault(On(path="/api/webhook/", method="PATCH", nth=1), LoseAnswer())
    async with client(fault) as livepeer:
        created = await livepeer.webhooks.create(HOOK)
        assert (await livepeer.webhooks.update(created.id, {"name": "b"})).name == "b"
        assert fault.fired


async def test_errors_show_no_secret():
    fault = Fault(On(path="/api/webhook"), CutAnswer(after_bytes=300))
    async with client(fault) as livepeer:
        hook = {"name": "app", "url": HOOK.url, "events": [], "shared_secret": "s3cret"}
        with pytest.raises(errors.LivepeerError) as caught:
            await livepeer.webhooks.create(hook)
        assert "s3cret" not in str(caught.value)


async def test_events_of_a_created_webhook_are_received():
    async with sandbox_and_client() as (_, livepeer), receiver() as received:
        await livepeer.webhooks.create(
            NewWebhook(
                name="app",
                url=received.url,
                events=[f"asset.{it}" for it in ("created", "updated", "ready", "deleted")]
                + [f"task.{it}" for it in ("spawned", "updated", "completed")],
                shared_secret=SECRET,
            )
        )
        asset = await livepeer.upload(make_bytes(1000), "a")
        await livepeer.assets.delete(asset.id)
        await until(lambda: "asset.deleted" in received.names)
        events = [webhooks.unwrap(body, headers, SECRET) for headers, body in received.deliveries]
        assert {it.event: type(it).__name__ for it in events} == {
            **dict.fromkeys(
                ("asset.created", "asset.updated", "asset.ready", "asset.deleted"), "AssetEvent"
            ),
            **dict.fromkeys(("task.spawned", "task.updated", "task.completed"), "TaskEvent"),
        }
        (ready,) = [it.asset for it in events if it.event == "asset.ready"]
        assert (ready.id, ready.size, ready.phase) == (asset.id, 1000, "ready")
