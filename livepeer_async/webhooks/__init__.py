"""Webhooks: checks and decodes the events that Livepeer sends to an application.

```python
from fastapi import FastAPI, HTTPException, Request

from livepeer_async import AsyncLivepeer, WebhookError, webhooks

app, livepeer = FastAPI(), AsyncLivepeer("the-api-key")


@app.post("/webhook", status_code=204)
async def receive(request: Request) -> None:
    try:
        event = webhooks.unwrap(await request.body(), request.headers, "the shared secret")
    except WebhookError as error:
        raise HTTPException(400, str(error)) from error
    livepeer.notice(event)
    if isinstance(event, webhooks.AssetEvent) and event.event == "asset.ready":
        print(event.asset.playback_id)
```

`livepeer.notice` ends the waits of the client for this asset; it is optional. `livepeer.webhooks`
creates, lists, changes and deletes webhooks:

    await livepeer.webhooks.create({
        "name": "app",
        "url": "https://app.example/webhook",
        "shared_secret": "the shared secret",
        "events": ["asset.ready", "asset.failed", "asset.deleted", "task.updated"],
    })

# Responses

- Respond with 2xx within 30 s, and do slow work afterwards.
- Respond with 5xx if the event can't be handled now: it is sent again after 5 s, then after delays
  that double up to 1 h, 33 times in about 24 h. So are requests without a response.
- 3xx and 4xx are final. 429 is too: an application that is busy responds with 503.
- A `WebhookError` is a wrong request, for 4xx. A `ConfigurationError` is a mistake of the
  application, such as an unset secret, for 5xx; so is a `DecodeError`: the event is signed, but of
  a kind that this version can't decode.
- Limit the length of the body that is read. Events have some kilobytes; `unwrap` takes any length,
  in a time proportional to it.

# Events

    AssetEvent         asset.created, .updated, .ready, .failed, .deleted     .asset
    TaskEvent          task.spawned, .updated, .completed, .failed            .task, .success
    StreamEvent        stream.started, .idle                                  .stream
    DetectionEvent     stream.detection                                       .scene_classification
    RecordingEvent     recording.started, .waiting, .ready                    .session
    MultistreamEvent   multistream.connected, .error, .disconnected           .target
    WebhookEvent       any other                                              .payload

- An event may arrive several times: its `id` stays the same, in retries and at several webhooks.
- Events arrive in any order. Compare `asset.status.updated_at`, and never go back from ready,
  failed or deleted.
- The name counts: the snapshot of `asset.deleted` shows the asset as it was before, and that of
  `asset.created` is a database row, without URLs.
- No event of an asset says that its upload is complete. Its task does: `task.updated`, in another
  phase than `pending`, with `task.output_asset_id`.
- During the retry of a failed asset there is no event of the asset before `asset.ready`.
- Snapshots of assets contain the `encrypted_key` of encrypted uploads; the reprs don't.
- A webhook belongs to a project and gets the events of all its assets, not of one client.

# Signatures

`Livepeer-Signature: t=MILLISECONDS,v1=HEX` has the HMAC-SHA256 of the raw body. A webhook without a
shared secret gets events without it, which `unwrap` refuses with `SignatureMissing`. `t` isn't
signed, but the same time is in the signed body, and is renewed with each try; a difference is a
forgery. After a change of the secret, pass the old one too for a day: `unwrap(body, headers,
[secret, old_secret])`.

# Access control

A `playback.accessControl` call is another protocol with the same header: the status of the response
allows or denies the playback. `unwrap` raises `AccessControlCall`, so that a handler for events
never allows a playback. Use another URL for these calls.
"""

from livepeer_async.errors import (
    AccessControlCall,
    EventTooOld,
    SignatureMismatch,
    SignatureMissing,
    WebhookError,
)
from livepeer_async.webhooks.events import (
    AssetEvent,
    DetectionEvent,
    MultistreamEvent,
    MultistreamTarget,
    RecordingEvent,
    SceneClass,
    StreamEvent,
    TaskEvent,
    WebhookEvent,
)
from livepeer_async.webhooks.receiving import unwrap

__all__ = [
    "AccessControlCall",
    "AssetEvent",
    "DetectionEvent",
    "EventTooOld",
    "MultistreamEvent",
    "MultistreamTarget",
    "RecordingEvent",
    "SceneClass",
    "SignatureMismatch",
    "SignatureMissing",
    "StreamEvent",
    "TaskEvent",
    "WebhookError",
    "WebhookEvent",
    "unwrap",
]
