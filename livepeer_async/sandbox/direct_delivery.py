"""Events that a test hands to an application itself, without a subscription."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import anyio
import msgspec
from msgspec import Struct

from livepeer_async.sandbox.accounts import User
from livepeer_async.sandbox.connection import App, Scope
from livepeer_async.sandbox.responses import JsonObject
from livepeer_async.sandbox.webhooks import (
    Event,
    Webhook,
    asset_payload,
    encode_event,
    make_event,
    task_payload,
)

# The fields of an event's Struct that are not in its payload.
ENVELOPE = ("id", "event", "webhook_id", "created_at", "timestamp", "stream", "payload", "success")


def sign_event(event: Event, user: User, secret: str) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of an event, as a webhook with this secret sends them."""
    webhook = Webhook(
        id="sandbox",
        user=user,
        created_at=event.created_at,
        name="sandbox",
        url="",
        events=(event.name,),
        shared_secret=secret,
    )
    return encode_event(event, webhook)


def read_event(given: Mapping[str, Any] | Struct, now: float) -> Event:
    """Return the event that a document or a Struct describes; what is missing is made up.

    Raises:
        ValueError: it has no name.
    """
    document = dict(given) if isinstance(given, Mapping) else _to_document(given)
    name = document.get("event")
    if not isinstance(name, str) or not name:
        raise ValueError(f"the event has the name {name!r}; wanted one such as 'asset.ready'")
    event = make_event(name, now, document.get("payload"), document.get("stream"))
    known = {"id": document.get("id"), "created_at": document.get("createdAt")}
    return msgspec.structs.replace(event, **{k: v for k, v in known.items() if v is not None})


async def call_app(app: App, path: str, headers: Mapping[str, str], body: bytes) -> int:
    """POST a body to an ASGI application, without its lifespan, and return the status.

    Raises:
        RuntimeError: the application has sent no response.
        Exception: the application's own.
    """
    path, _, query = path.partition("?")
    fields = {"host": "testserver", "content-length": str(len(body)), **headers}
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": quote(path).encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in fields.items()],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 123),
    }
    messages: list[Scope] = [{"type": "http.request", "body": body, "more_body": False}]
    statuses: list[int] = []
    has_ended = anyio.Event()

    async def receive() -> Scope:
        if not messages:
            await has_ended.wait()
            return {"type": "http.disconnect"}
        return messages.pop()

    async def send(message: Scope) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            has_ended.set()

    await app(scope, receive, send)
    if not statuses:
        raise RuntimeError(f"the application has sent no response to POST {path}")
    return statuses[0]


def _to_document(struct: Struct) -> JsonObject:
    """Return the document of an event of `livepeer_async.webhooks`."""
    fields: JsonObject = {
        name: msgspec.to_builtins(value)
        for name in struct.__struct_fields__
        if (value := getattr(struct, name)) is not None
    }
    payload = fields.get("payload")
    if "asset" in fields:
        payload = asset_payload(fields["asset"])
    elif "task" in fields:
        payload = task_payload(fields["task"], is_over="success" in fields)
    elif payload is None:
        rest = {_to_camel(name): fields[name] for name in fields if name not in ENVELOPE}
        payload = rest or None
    return {
        "id": fields.get("id"),
        "event": fields.get("event"),
        "createdAt": fields.get("created_at"),
        "stream": fields.get("stream"),
        "payload": payload,
    }


def _to_camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)
