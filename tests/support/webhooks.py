"""Receivers of webhooks on real sockets, and signed events."""

import contextlib
import hashlib
import hmac
import json
import time
from contextlib import asynccontextmanager
from inspect import isawaitable

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from livepeer_async.concurrency import plain_task_group
from support.clock import until

SECRET = "s3cret of the webhook, with ü"


class Receiver:
    """The deliveries that an application has received.

    Attributes:
        url: URL for webhooks.
        deliveries: headers as received, and body, of each delivery; oldest first.
        statuses: statuses of the next responses; 204 afterwards.
    """

    def __init__(self):
        self.url = ""
        self.deliveries = []
        self.statuses = []

    @property
    def events(self):
        return [json.loads(body) for _, body in self.deliveries]

    @property
    def names(self):
        return [event["event"] for event in self.events]

    def payloads(self, name):
        return [event["payload"] for event in self.events if event["event"] == name]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


@asynccontextmanager
async def serve_app(app):
    """Serve an ASGI application with uvicorn; yield its origin."""
    server = _Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))

    async def serve():
        # A failed test must not leave the listening socket open.
        with anyio.CancelScope(shield=True):
            await server.serve()

    async with plain_task_group() as tasks:
        tasks.start_soon(serve)
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True


@asynccontextmanager
async def receiver(on_delivery=None):
    """Receive webhooks with Starlette.

    Args:
        on_delivery: called with the request's headers and the body.
    """
    received = Receiver()

    async def receive(request):
        body = await request.body()
        received.deliveries.append((request.headers, body))
        if on_delivery is not None:
            result = on_delivery(request.headers, body)
            if isawaitable(result):
                await result
        return Response(status_code=received.statuses.pop(0) if received.statuses else 204)

    app = Starlette(routes=[Route("/webhook", receive, methods=["POST"])])
    async with serve_app(app) as origin:
        received.url = f"{origin}/webhook"
        yield received


def now_ms():
    return time.time_ns() // 1_000_000


def sign(body, secret=SECRET, timestamp=None):
    """Return the signature header of a body, as the server computes it."""
    timestamp = json.loads(body)["timestamp"] if timestamp is None else timestamp
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def envelope(event, payload=None, **more):
    """Return the body of an event."""
    document = {
        "id": "event-1",
        "webhookId": "webhook-1",
        "createdAt": now_ms() - 5,
        "timestamp": now_ms(),
        "event": event,
        **more,
    }
    if payload is not None:
        document["payload"] = payload
    return json.dumps(document).encode()
