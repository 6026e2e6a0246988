"""Webhooks of the sandbox: subscriptions, and events as the server sends and signs them.

Source: `packages/api/src/webhooks/cannon.ts` and `task/scheduler.ts` of Livepeer Studio.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from typing import Any

import msgspec
from msgspec import Struct

from livepeer_async.sandbox.accounts import User
from livepeer_async.sandbox.documents import to_milliseconds
from livepeer_async.sandbox.responses import JsonObject

EVENTS = (
    "stream.started",
    "stream.detection",
    "stream.idle",
    "recording.ready",
    "recording.started",
    "recording.waiting",
    "multistream.connected",
    "multistream.error",
    "multistream.disconnected",
    "playback.user.new",
    "playback.accessControl",
    "asset.created",
    "asset.updated",
    "asset.failed",
    "asset.ready",
    "asset.deleted",
    "task.spawned",
    "task.updated",
    "task.completed",
    "task.failed",
)
# Webhooks that are this old get two events in another shape: 2024-07-28, in milliseconds.
OLD_SHAPE_UNTIL = 1_722_124_800_000
OLD_SHAPE_EVENTS = ("asset.ready", "asset.failed")


class Webhook(Struct, kw_only=True):
    """A subscription of a user to events.

    Attributes:
        created_at: milliseconds since 1970.
        is_trusted: whether the program that runs the sandbox has named the URL, which may then be
            on another machine.
    """

    id: str
    user: User
    created_at: int
    name: str
    url: str
    events: tuple[str, ...]
    shared_secret: str | None = None
    stream_id: str | None = None
    status: JsonObject | None = None
    is_trusted: bool = False
    is_deleted: bool = False

    def describe(self) -> JsonObject:
        """Return the document of the API; the shared secret is readable."""
        document: JsonObject = {
            "id": self.id,
            "userId": self.user.id,
            "projectId": self.user.project_id,
            "createdAt": self.created_at,
            "kind": "webhook",
            "name": self.name,
            "events": self.events,
            "url": self.url,
            "sharedSecret": self.shared_secret,
            "streamId": self.stream_id,
            "status": self.status,
        }
        return {name: value for name, value in document.items() if value is not None}


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened.

    Attributes:
        id: the same at each webhook and in each try.
        created_at: milliseconds since 1970.
    """

    id: str
    name: str
    created_at: int
    payload: JsonObject | None = None
    stream: JsonObject | None = None


class Delivery(Struct, kw_only=True):
    """One try to deliver an event.

    Attributes:
        event: name of the event, such as `asset.ready`.
        event_id: ID of the event, the same in each try and at each webhook.
        webhook_id: ID of the webhook.
        attempt: 1 for the first try.
        status: status of the response; None if there was none, or not yet.
    """

    event: str
    event_id: str
    webhook_id: str
    attempt: int
    status: int | None = None


def make_event(
    name: str, now: float, payload: JsonObject | None, stream: JsonObject | None = None
) -> Event:
    """Return a new event."""
    created_at = to_milliseconds(now)
    return Event(
        id=str(uuid.uuid4()), name=name, created_at=created_at, payload=payload, stream=stream
    )


def asset_payload(snapshot: JsonObject) -> JsonObject:
    """Return the payload of an event of an asset."""
    return {"asset": {"id": snapshot["id"], "snapshot": snapshot}}


def task_payload(snapshot: JsonObject, *, is_over: bool = False) -> JsonObject:
    """Return the payload of an event of a task; `is_over` for its last one."""
    info = {"id": snapshot["id"], "type": snapshot["type"], "snapshot": snapshot}
    if not is_over:
        return {"task": info}
    return {"success": snapshot["status"]["phase"] == "completed", "task": info}


def encode_event(event: Event, webhook: Webhook) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of one try, signed if the webhook has a secret.

    The timestamp is that of this machine, also if the sandbox has a clock of its own: receivers
    compare it with theirs.
    """
    timestamp = time.time_ns() // 1_000_000
    document: JsonObject = {
        "id": event.id,
        "webhookId": webhook.id,
        "createdAt": event.created_at,
        "timestamp": timestamp,
        "event": event.name,
    }
    if event.stream is not None:
        document["stream"] = event.stream
    if event.payload is not None:
        document["payload"] = _shape(event, webhook)
    body = msgspec.json.encode(document)
    headers = {"content-type": "application/json", "user-agent": "livepeer.studio"}
    if webhook.shared_secret:
        headers["Livepeer-Signature"] = sign(body, webhook.shared_secret, timestamp)
    return headers, body


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """Return the signature header of a body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def _shape(event: Event, webhook: Webhook) -> Any:
    payload = event.payload or {}
    if event.name in OLD_SHAPE_EVENTS and webhook.created_at <= OLD_SHAPE_UNTIL:
        return {**payload["asset"], **payload}
    return payload
