"""The sandbox's webhooks: subscriptions, and deliveries as the real server was recorded."""

import contextlib
import hashlib
import hmac
import json

import httpx
import pytest

from livepeer_async.sandbox import FailProcessing, Fault, On, Sandbox
from sandbox.client import TUS
from support.clock import until
from support.servers import serve_raw
from support.webhooks import SECRET, receiver

pytestmark = pytest.mark.anyio

QUICK = {"waiting_seconds": 0.0, "processing_seconds": 0.0, "webhook_retry_seconds": 0.01}
HOOK = {"name": "app", "url": "http://127.0.0.1:9/", "events": ["asset.ready"]}
CREATED = ["asset.created", "task.spawned"]
PROCESSED = ["task.updated", *["task.updated", "asset.updated"] * 4]
READY = ["asset.updated", "asset.ready", "task.updated", "task.completed"]
FAILED = ["task.updated", "task.failed", "asset.updated", "asset.failed"]


@contextlib.asynccontextmanager
async def sandbox_and_http(*faults, **options):
    async with Sandbox(faults=faults, **{**QUICK, **options}) as sandbox:
        headers = {"Authorization": f"Bearer {sandbox.api_key}"}
        async with httpx.AsyncClient(base_url=sandbox.base_url, headers=headers) as http:
            yield sandbox, http


async def upload(http, name="talk.mp4", **fields):
    ticket = (await http.post("/asset/request-upload", json={"name": name, **fields})).json()
    headers = {**TUS, "Upload-Length": "5", "Content-Type": "application/offset+octet-stream"}
    async with httpx.AsyncClient() as tus:
        response = await tus.post(ticket["tusEndpoint"], headers=headers, content=b"video")
    assert response.status_code == 201
    return ticket["asset"]["id"]


async def test_events_of_an_upload_arrive_in_order():
    async with sandbox_and_http() as (sandbox, http), receiver() as received:
        sandbox.add_webhook(received.url, secret=SECRET)
        await upload(http)
        await until(lambda: "task.completed" in received.names)
        assert received.names == [*CREATED, *PROCESSED, *READY]
        phases = [
            it["task"]["snapshot"]["status"]["phase"] for it in received.payloads("task.updated")
        ]
        assert phases == ["waiting", *["running"] * 4, "completed"]
        (ready,) = received.payloads("asset.ready")
        snapshot = ready["asset"]["snapshot"]
        assert (snapshot["status"]["phase"], snapshot["size"]) == ("ready", 5)
        assert {"tracks", "duration"} <= snapshot["videoSpec"].keys()
        assert {"hash", "playbackUrl", "downloadUrl"} <= snapshot.keys()
        (created,) = received.payloads("asset.created")
        assert "objectStoreId" in created["asset"]["snapshot"]


async def test_events_of_a_failure_and_a_retry():
    fault = Fault(On(asset="talk", nth=1), FailProcessing("internal error processing file"))
    async with sandbox_and_http(fault) as (sandbox, http), receiver() as received:
        sandbox.add_webhook(received.url)
        asset_id = await upload(http)
        await until(lambda: "asset.failed" in received.names)
        assert received.names == [*CREATED, *PROCESSED, *FAILED]
        received.deliveries.clear()
        assert (await http.post(f"/asset/{asset_id}/retry")).status_code == 204
        await until(lambda: "task.completed" in received.names)
        # No event of the asset until it is ready.
        assert received.names == [*["task.updated"] * 5, *READY]


async def test_deletion_shows_the_asset_as_it_was():
    async with sandbox_and_http() as (sandbox, http), receiver() as received:
        sandbox.add_webhook(received.url, events=["asset.updated", "asset.deleted"])
        ticket = (await http.post("/asset/request-upload", json={"name": "a"})).json()
        assert (await http.delete(f"/asset/{ticket['asset']['id']}")).status_code == 204
        await until(lambda: received.deliveries)
        assert received.names == ["asset.deleted"]
        (payload,) = received.payloads("asset.deleted")
        assert payload["asset"]["snapshot"]["status"]["phase"] == "uploading"


@pytest.mark.parametrize("secret", [SECRET, None])
async def test_headers_are_those_recorded(secret):
    async with sandbox_and_http() as (sandbox, http):

        async def respond(reader, writer):
            length = int(heads[-1].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            bodies.append(await reader.readexactly(length))
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

        bodies = []
        async with serve_raw(respond) as (url, heads):
            webhook_id = sandbox.add_webhook(url, secret=secret, events=["asset.created"])
            await upload(
                http, encryption={"encryptedKey": "aGVsbG8="}, playbackPolicy={"type": "jwt"}
            )
            await until(lambda: bodies)
            document = json.loads(bodies[0])
            assert list(document) == [
                "id", "webhookId", "createdAt", "timestamp", "event", "payload",
            ]  # fmt: skip
            assert document["webhookId"] == webhook_id
            signed = hmac.new(SECRET.encode(), bodies[0], hashlib.sha256).hexdigest()
            signature = [f"Livepeer-Signature: t={document['timestamp']},v1={signed}"]
            _, *lines = heads[0].decode().rstrip().split("\r\n")
            # h11 sends Host first; the server, last.
            assert sorted(lines) == sorted(
                [
                    "content-type: application/json",
                    "user-agent: livepeer.studio",
                    *(signature if secret else []),
                    "Accept: */*",
                    f"Content-Length: {len(bodies[0])}",
                    "Accept-Encoding: gzip,deflate",
                    "Connection: close",
                    f"Host: {url.removeprefix('http://').partition('/')[0]}",
                ]
            )
            source = document["payload"]["asset"]["snapshot"]["source"]
            assert source["encryption"]["encryptedKey"] == "aGVsbG8="


async def test_server_error_is_retried_with_a_new_timestamp():
    async with sandbox_and_http() as (sandbox, http), receiver() as received:
        received.statuses = [500, 503]
        sandbox.add_webhook(received.url, secret=SECRET, events=["asset.ready"])
        await upload(http)
        await until(lambda: len(received.deliveries) == 3)
        first, second, third = received.events
        assert {first["id"], second["id"], third["id"]} == {first["id"]}
        assert first["timestamp"] < second["timestamp"] < third["timestamp"]
        await until(lambda: sandbox.deliveries[-1].status == 204)
        assert [(it.attempt, it.status) for it in sandbox.deliveries] == [
            (1, 500), (2, 503), (3, 204),
        ]  # fmt: skip


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_client_error_is_not_retried(status):
    async with sandbox_and_http() as (sandbox, http), receiver() as received:
        received.statuses = [status]
        sandbox.add_webhook(received.url, events=["asset.ready", "task.completed"])
        await upload(http)
        await until(lambda: len(sandbox.deliveries) == 2 and sandbox.deliveries[-1].status)
        assert [it.status for it in sandbox.deliveries] == [status, 204]


async def test_silence_and_refused_connections_are_retried():
    async with sandbox_and_http(webhook_timeout_seconds=0.05) as (sandbox, http):

        async def respond(reader, writer):
            if len(heads) > 1:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                await reader.read()

        async with serve_raw(respond) as (url, heads):
            sandbox.add_webhook(url, events=["asset.created"])
            sandbox.add_webhook("http://127.0.0.1:1/", events=["asset.created"])
            await upload(http)
            await until(lambda: any(it.status == 200 for it in sandbox.deliveries))
            await until(lambda: any(it.attempt == 3 for it in sandbox.deliveries))


@pytest.mark.parametrize(("status", "count"), [(307, 2), (301, 2)])
async def test_redirect_is_followed(status, count):
    async with sandbox_and_http() as (sandbox, http), receiver() as received:

        async def respond(reader, writer):
            location = f"Location: {received.url}\r\nContent-Length: 0\r\n"
            writer.write(f"HTTP/1.1 {status} Moved\r\n{location}\r\n".encode())

        async with serve_raw(respond) as (url, _):
            sandbox.add_webhook(url, events=["asset.ready"])
            await upload(http)
            await until(lambda: sandbox.deliveries and sandbox.deliveries[-1].status)
            # A 301 is followed by a GET without the body, which Starlette refuses.
            assert sandbox.deliveries[-1].status == (204 if status == 307 else 405)
            assert len(received.deliveries) == (status == 307)


async def test_old_webhook_gets_the_older_shape():
    async with sandbox_and_http() as (sandbox, http), receiver() as received:
        sandbox.add_webhook(received.url, created_at=1_722_124_800, events=["asset.ready"])
        await upload(http)
        await until(lambda: received.deliveries)
        (payload,) = received.payloads("asset.ready")
        assert payload.keys() == {"id", "snapshot", "asset"}
        assert payload["asset"] == {"id": payload["id"], "snapshot": payload["snapshot"]}


async def test_each_webhook_of_the_account_gets_the_same_event():
    async with sandbox_and_http() as (sandbox, http), receiver() as received:
        sandbox.add_webhook(received.url, events=["asset.ready"])
        sandbox.add_webhook(received.url, events=["asset.ready"])
        other = sandbox.add_user()
        await http.post("/webhook", json={**HOOK, "url": received.url}, headers=bearer(other))
        await upload(http)
        await until(lambda: len(received.deliveries) == 2)
        first, second = received.events
        assert first["id"] == second["id"]
        assert first["webhookId"] != second["webhookId"]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


async def test_webhook_is_created_changed_and_deleted():
    async with sandbox_and_http() as (_, http):
        response = await http.post("/webhook", json={**HOOK, "sharedSecret": "old"})
        created = response.json()
        assert response.status_code == 201
        assert {**HOOK, "sharedSecret": "old", "kind": "webhook"}.items() <= created.items()
        path = f"/webhook/{created['id']}"
        assert (await http.get(path)).json() == created
        response = await http.patch(path, json={"sharedSecret": "new"})
        assert (response.status_code, response.content) == (204, b"")
        assert (await http.get(path)).json() == {**created, "sharedSecret": "new"}
        response = await http.put(path, json={**HOOK, "id": created["id"], "name": "b"})
        assert response.json() == {"id": created["id"]}
        assert "sharedSecret" not in (await http.get(path)).json()
        # Without an ID in the body, PUT finds nothing.
        assert (await http.put(path, json=HOOK)).status_code == 404
        assert (await http.delete(path)).status_code == 204
        for method in ("GET", "DELETE", "PATCH"):
            response = await http.request(method, path, json={} if method == "PATCH" else None)
            assert (response.status_code, response.json()) == (404, {"errors": ["not found"]})


async def test_last_page_of_webhooks_has_a_link():
    async with sandbox_and_http() as (_, http):
        assert (await http.get("/webhook")).headers.get("link") is None
        for number in range(3):
            await http.post("/webhook", json={**HOOK, "name": f"{number}"})
        query = {"limit": 2, "order": "createdAt-false"}
        first = await http.get("/webhook", params=query)
        last = await http.get("/webhook", params={**query, "cursor": "skip2"})
        assert [len(first.json()), len(last.json())] == [2, 1]
        assert "cursor=skip2" in first.headers["link"]
        assert "cursor=undefined" in last.headers["link"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "ftp://a/"}, "must match pattern"),
        ({"url": "http:///a"}, "bad url: http:///a"),
        ({"events": ["asset.exploded"]}, "must be equal to one of the allowed values"),
        ({"secret": "a"}, "must NOT have additional properties"),
        ({"name": 1}, "must be string"),
    ],
)
async def test_bad_webhook_is_refused(fields, message):
    async with sandbox_and_http() as (_, http):
        response = await http.post("/webhook", json={**HOOK, **fields})
        assert response.status_code == 422
        assert message in response.text


async def test_webhook_needs_events():
    async with sandbox_and_http() as (_, http):
        response = await http.post("/webhook", json={"name": "a", "url": "http://a.example"})
        assert response.json() == {"errors": ['must provide "events" field with subscriptions']}


async def test_webhook_of_a_client_reaches_this_machine_only():
    async with sandbox_and_http() as (sandbox, http):
        hook = {**HOOK, "url": "http://192.0.2.1/", "events": ["asset.created", "asset.ready"]}
        await http.post("/webhook", json=hook)
        async with receiver() as received:
            sandbox.add_webhook(received.url, events=["asset.ready"])
            await upload(http)
            await until(lambda: received.deliveries)
        assert {it.webhook_id for it in sandbox.deliveries} != {None}
        assert all(it.status == 204 for it in sandbox.deliveries)
