"""Deliveries of events to webhooks, with the retries of the server.

Source: `packages/api/src/webhooks/cannon.ts` of Livepeer Studio, and recorded deliveries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio
import h11

from livepeer_async.sandbox.accounts import User
from livepeer_async.sandbox.addresses import is_loopback
from livepeer_async.sandbox.documents import to_milliseconds
from livepeer_async.sandbox.webhooks import Delivery, Event, Webhook, encode_event

MAX_RETRIES = 33
# The longest delay, in multiples of the first: 1 h and 5 s.
MAX_DELAY_FACTOR = 720
MAX_REDIRECTS = 20
MAX_DELIVERIES = 20_000
# Events arrive in order while the receiver responds within this time; the server has no order.
ORDER_SECONDS = 0.5
READ_BLOCK = 65536

REPEATING_REDIRECTS = (307, 308)
REDIRECTS = (301, 302, 303, *REPEATING_REDIRECTS)

Start = Callable[..., None]


class Deliveries:
    """Delivers the events of a sandbox.

    Args:
        start: starts a coroutine function in the server's task group.
        now: the sandbox's time, in seconds since 1970.
        retry_seconds: delay of the first retry, doubled up to 720 times as much.
        timeout_seconds: time limit of a try.

    Attributes:
        webhooks: all webhooks by ID, deleted ones included.
        log: the last tries, oldest first.
    """

    def __init__(
        self,
        start: Start,
        now: Callable[[], float],
        *,
        retry_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self.webhooks: dict[str, Webhook] = {}
        self.log: list[Delivery] = []
        self._start = start
        self._now = now
        self._retry_seconds = retry_seconds
        self._timeout_seconds = timeout_seconds
        self._queues: dict[str, asyncio.Queue[Event]] = {}

    def has_subscriber(self, user: User) -> bool:
        """Whether a user has a webhook, so that events of it have to be made."""
        return any(it.user == user and not it.is_deleted for it in list(self.webhooks.values()))

    def emit(self, user: User, event: Event) -> None:
        """Deliver an event to all webhooks of a user that want it; call in the server's loop."""
        for webhook in list(self.webhooks.values()):
            if webhook.user == user and event.name in webhook.events and not webhook.is_deleted:
                if webhook.id not in self._queues:
                    self._queues[webhook.id] = asyncio.Queue()
                    self._start(self._serve, webhook)
                self._queues[webhook.id].put_nowait(event)

    async def _serve(self, webhook: Webhook) -> None:
        queue = self._queues[webhook.id]
        while True:
            event, ended = await queue.get(), anyio.Event()
            # Retries of a deleted or changed webhook go on with its old URL and secret.
            self._start(self._deliver, event, copy(webhook), webhook, ended)
            with anyio.move_on_after(ORDER_SECONDS):
                await ended.wait()

    async def _deliver(
        self, event: Event, target: Webhook, webhook: Webhook, ended: anyio.Event
    ) -> None:
        """Try until the receiver responds with a status below 500."""
        if not (target.is_trusted or is_loopback(target.url)):
            # The sandbox connects to other machines only if the program asks for it.
            ended.set()
            return
        delay = self._retry_seconds
        for attempt in range(1, MAX_RETRIES + 2):
            status = await self._try(event, target, webhook, attempt)
            ended.set()
            if status is not None and status < 500:  # noqa: PLR2004 - an HTTP status
                return
            await anyio.sleep(delay)
            delay = min(2 * delay, MAX_DELAY_FACTOR * self._retry_seconds)

    async def _try(
        self, event: Event, target: Webhook, webhook: Webhook, attempt: int
    ) -> int | None:
        entry = Delivery(
            event=event.name, event_id=event.id, webhook_id=webhook.id, attempt=attempt
        )
        self.log.append(entry)
        del self.log[:-MAX_DELIVERIES]
        triggered, error = to_milliseconds(self._now()), ""
        headers, body = encode_event(event, target)
        try:
            with anyio.fail_after(self._timeout_seconds):
                entry.status = await post(target.url, headers, body)
        except (OSError, TimeoutError, ValueError, h11.ProtocolError) as caught:
            error = f"{type(caught).__name__}: {caught}"
        webhook.status = {**(webhook.status or {}), "lastTriggeredAt": triggered}
        if entry.status is None or entry.status >= 300:  # noqa: PLR2004 - an HTTP status
            failure = {"timestamp": triggered, "statusCode": entry.status, "error": error}
            webhook.status["lastFailure"] = {k: v for k, v in failure.items() if v}
        return entry.status


async def post(url: str, headers: dict[str, str], body: bytes) -> int:
    """POST a body, follow redirects as node-fetch does, and return the last status.

    Raises:
        OSError: no connection.
        ValueError: the URL can't be used, or there are too many redirects.
        h11.ProtocolError: the response isn't HTTP.
    """
    method = "POST"
    for _ in range(MAX_REDIRECTS + 1):
        status, location = await _send(method, url, headers, body)
        if status not in REDIRECTS or not location:
            return status
        url = urljoin(url, location)
        if status not in REPEATING_REDIRECTS:
            method, body = "GET", b""
    raise ValueError(f"maximum redirect reached at: {url}")


async def _send(method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
    """Send one request on a connection of its own; return the status and the Location."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"only absolute URLs with http or https are supported: {url}")
    is_tls = parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if is_tls else 80), ssl=is_tls or None
    )
    try:
        connection = h11.Connection(h11.CLIENT)
        target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        request = h11.Request(
            method=method,
            target=target if target.startswith("/") else f"/{target}",
            headers=_complete(headers, parts.netloc.rpartition("@")[2], body),
        )
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        return await _read_response(connection, reader)
    finally:
        writer.close()


def _complete(headers: dict[str, str], host: str, body: bytes) -> list[tuple[str, str]]:
    """Return all headers, in the order and with the case of node-fetch."""
    length = {"Content-Length": str(len(body))} if body else {}
    more = {"Accept-Encoding": "gzip,deflate", "Connection": "close", "Host": host}
    return [*headers.items(), ("Accept", "*/*"), *length.items(), *more.items()]


async def _read_response(connection: Any, reader: asyncio.StreamReader) -> tuple[int, str]:
    status, location = 0, ""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BLOCK))
        elif isinstance(event, h11.Response):
            found = {bytes(name): bytes(value) for name, value in event.headers}
            status, location = event.status_code, found.get(b"location", b"").decode("latin-1")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status, location
