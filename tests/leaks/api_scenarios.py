"""API calls whose responses contain every secret that the server could know."""

import asyncio
from contextlib import aclosing

import msgspec

from leaks.context import (
    API_KEY,
    BEARER,
    ECHO_ALL,
    ENCRYPTED_KEY,
    JWT,
    PASSWORD,
    SECRET_ASSET,
    SHARED_SECRET,
    SIGNED_URL,
    WEBHOOK_DATA,
)
from leaks.scenario import scenario
from livepeer_async import AsyncLivepeer, RetryPolicy, errors, webhooks
from livepeer_async.sandbox import (
    Answer,
    ChangeBody,
    CutConnection,
    Garbage,
    Redirect,
    Stall,
)
from support.clock import until
from support.constants import UNREACHABLE_API
from support.webhooks import envelope, sign

ENDLESS = 1000.0
CHUNKED = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{ECHO_ALL}\r\n"


@scenario(errors.AssetFailed)
async def import_signed_url(context):
    ticket = await context.livepeer.assets.upload_from_url(SIGNED_URL, "talk")
    context.show(ticket, ticket.asset)
    async with aclosing(context.livepeer.tasks.list()) as tasks:
        context.show(*[task async for task in tasks])
    await context.livepeer.assets.wait(ticket.asset.id)


@scenario(errors.InvalidRequest)
async def refused_import(context):
    policy = {"type": "none", "webhookContext": {"token": WEBHOOK_DATA}}
    await context.livepeer.assets.upload_from_url(SIGNED_URL, {"playbackPolicy": policy})


@scenario(errors.ConfigurationError)
async def import_with_an_unknown_field(context):
    await context.livepeer.assets.upload_from_url(SIGNED_URL, {"creatorID": PASSWORD})


@scenario(errors.ConfigurationError)
async def request_with_an_unknown_field(context):
    policy = {"type": "webhook", "contxt": {"token": WEBHOOK_DATA}}
    await context.livepeer.assets.request_upload({"name": "a", "playbackPolicy": policy})


@scenario(errors.NotFound)
async def update_of_an_unknown_asset(context):
    policy = {"type": "jwt", "webhookContext": {"token": WEBHOOK_DATA}}
    await context.livepeer.assets.update("none", {"playbackPolicy": policy})


@scenario(errors.NotAuthenticated, both_libraries=True)
async def wrong_api_key(context):
    async with context.client(api_key=f"{API_KEY}-of-old") as livepeer:
        await livepeer.assets.get("x")


@scenario()
async def raw_response_echoing_key(context):
    async with context.client(api_key=f"{API_KEY}-of-old") as livepeer:
        context.show(
            await livepeer.request("POST", f"/asset?api_key={API_KEY}", json={"pass": WEBHOOK_DATA})
        )


WEBHOOK = {
    "name": "app",
    "url": SIGNED_URL,
    "events": ["asset.ready"],
    "shared_secret": SHARED_SECRET,
}


@scenario(errors.NotFound)
async def changed_and_deleted_webhook(context):
    webhook = await context.livepeer.webhooks.create(WEBHOOK)
    changed = await context.livepeer.webhooks.update(webhook.id, {"shared_secret": SHARED_SECRET})
    async with aclosing(context.livepeer.webhooks.list()) as found:
        context.show(webhook, changed, *[it async for it in found])
    await context.livepeer.webhooks.delete(webhook.id)
    await context.livepeer.webhooks.update(webhook.id, WEBHOOK)


@scenario(errors.ConfigurationError)
async def webhook_with_an_unknown_field(context):
    await context.livepeer.webhooks.create({**WEBHOOK, "secret": SHARED_SECRET})


@scenario(errors.DecodeError)
async def undecodable_webhook(context):
    webhook = await context.livepeer.webhooks.create(WEBHOOK)
    body = msgspec.json.encode({"sharedSecret": SHARED_SECRET, "url": SIGNED_URL, "id": 1})
    context.fault(ChangeBody(body), path="/webhook")
    await context.livepeer.webhooks.get(webhook.id)


def event_body(**more):
    source = {"type": "directUpload", "encryption": {"encryptedKey": ENCRYPTED_KEY}}
    snapshot = {"id": "a1", "source": source, **more}
    return envelope("asset.ready", {"asset": {"id": "a1", "snapshot": snapshot}})


@scenario(errors.SignatureMismatch)
async def event_with_another_secret(context):
    body = event_body()
    headers = {"Livepeer-Signature": sign(body, SHARED_SECRET)}
    context.show(webhooks.unwrap(body, headers, [SHARED_SECRET]))
    webhooks.unwrap(body, headers, ["another", f"{SHARED_SECRET}-of-old"])


@scenario(errors.DecodeError)
async def undecodable_event(context):
    body = event_body(size=ENCRYPTED_KEY)
    headers = {"Livepeer-Signature": sign(body, SHARED_SECRET)}
    webhooks.unwrap(body, headers, SHARED_SECRET)


@scenario(errors.SignatureMissing)
async def event_without_signature(context):
    webhooks.unwrap(event_body(), {"Authorization": BEARER}, SHARED_SECRET)


@scenario(errors.EventTooOld)
async def old_event(context):
    body = event_body()
    headers = {"Livepeer-Signature": sign(body, SHARED_SECRET)}
    webhooks.unwrap(body, headers, SHARED_SECRET, now=0.0)


@scenario(errors.AccessControlCall)
async def access_control_call(context):
    call = {"accessKey": BEARER, "context": {"pass": WEBHOOK_DATA}, "timestamp": 5}
    body = msgspec.json.encode(call)
    headers = {"Livepeer-Signature": sign(body, SHARED_SECRET)}
    webhooks.unwrap(body, headers, SHARED_SECRET)


def response_with_status(status, body=ECHO_ALL):
    async def call(context):
        context.fault(Answer(status, body.encode()), path="/asset")
        await context.livepeer.assets.get("x")

    call.__name__ = f"response_with_status_{status}"
    return call


@scenario(errors.NotFound)
async def unknown_asset(context):
    await context.livepeer.assets.get("none")


@scenario(errors.ApiError, both_libraries=True)
async def redirect_with_token(context):
    context.fault(Redirect(f"/login?key={API_KEY}&token={JWT}&next={JWT}"), path="/asset")
    await context.livepeer.assets.get("x")


@scenario(errors.ConnectFailed, both_libraries=True)
async def connection_refused(context):
    base_url = UNREACHABLE_API.replace("//", f"//user:{PASSWORD}@")
    async with context.client(base_url=base_url) as livepeer:
        await livepeer.assets.get("x")


@scenario(errors.ConnectFailed, both_libraries=True)
async def proxy_refused(context):
    proxy = f"http://user:{PASSWORD}@127.0.0.1:9"
    async with context.client(proxy=proxy) as livepeer:
        await livepeer.assets.get("x")


@scenario(errors.NotAuthenticated, both_libraries=True)
async def password_in_base_url(context):
    base_url = context.sandbox.base_url.replace("//", f"//user:{PASSWORD}@")
    async with context.client(base_url=base_url) as livepeer:
        await livepeer.assets.get("x")


@scenario(errors.ConnectionBroken, both_libraries=True)
async def connection_cut(context):
    context.fault(CutConnection(), method="GET")
    await context.livepeer.assets.get("x")


@scenario(errors.ConnectionBroken, both_libraries=True)
async def invalid_response(context):
    context.fault(Garbage(ECHO_ALL.encode()), method="GET")
    await context.livepeer.assets.get("x")


@scenario(errors.ConnectionBroken, both_libraries=True)
async def invalid_chunked_response(context):
    context.fault(Garbage(CHUNKED.encode()), method="GET")
    await context.livepeer.assets.get("x")


@scenario(errors.TimedOut, both_libraries=True)
async def no_response(context):
    context.fault(Stall(ENDLESS), method="GET")
    async with context.client(timeout=0.1, retry=RetryPolicy(attempts=0)) as livepeer:
        await livepeer.assets.get("x")


@scenario(errors.DecodeError)
async def html_response(context):
    context.fault(ChangeBody(f"<p>{ECHO_ALL}</p>".encode(), "text/html"), path="/asset")
    await context.livepeer.assets.request_upload("x")


@scenario(errors.AssetDeleted)
async def asset_deleted(context):
    ticket = await context.livepeer.assets.request_upload(SECRET_ASSET)
    waiting = asyncio.create_task(context.livepeer.assets.wait(ticket.asset.id))
    await until(lambda: context.sandbox.requests[-1].method == "GET")
    await context.livepeer.assets.delete(ticket.asset.id)
    await waiting


@scenario(errors.AssetTimeout)
async def asset_timeout(context):
    ticket = await context.livepeer.assets.request_upload(SECRET_ASSET)
    await context.livepeer.assets.wait(ticket.asset.id, timeout=0.05)


@scenario(errors.ClientClosed)
async def closed_client(context):
    async with AsyncLivepeer(API_KEY, base_url=context.sandbox.base_url) as livepeer:
        await livepeer.aclose()
        await livepeer.assets.get("x")


@scenario(errors.ConfigurationError)
async def password_with_slash(context):
    AsyncLivepeer(API_KEY, base_url=f"http://user:{PASSWORD}/x@127.0.0.1/api")


@scenario(errors.DecodeError)
async def response_not_utf8(context):
    body = f'{{"tusEndpoint": "\xff?token={JWT}&{API_KEY}"}}'
    context.fault(ChangeBody(body.encode("latin-1")), path="request-upload")
    await context.livepeer.assets.request_upload("x")


@scenario(errors.InvalidRequest)
async def violation_echoing_key(context):
    entry = (
        f'{{\\"instancePath\\":\\"/{API_KEY}\\",\\"keyword\\":\\"x\\",\\"message\\":\\"{JWT}\\"}}'
    )
    context.fault(Answer(422, f'{{"errors": ["{entry}"]}}'.encode()), path="/asset")
    await context.livepeer.assets.get("x")


scenario(errors.NotAuthenticated)(response_with_status(401))
scenario(errors.Forbidden)(response_with_status(403))
scenario(errors.InvalidRequest)(response_with_status(422))
scenario(errors.TooManyRequests)(response_with_status(429))
scenario(errors.ServerError)(response_with_status(500, f'{{"errors": ["{ECHO_ALL}"]}}'))
