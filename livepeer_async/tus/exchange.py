"""Single tus requests (HEAD, DELETE), retried until the server answers; and what HEAD proves.

An upload is more than one request and has its own retries: see `driver`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable

import anyio

from livepeer_async.errors import (
    DecodeError,
    NetworkError,
    ProtocolError,
    RetriesExhausted,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.retry import RetryEvent, RetryPolicy, next_delay
from livepeer_async.redaction import redact_upload_url
from livepeer_async.tus import requests
from livepeer_async.tus.events import Event, Gone, Interrupted, OffsetKnown, Refused

_log = logging.getLogger("livepeer_async")

# HEAD requests for the end of an upload that isn't complete yet: some servers finish it after
# they have answered the last PATCH.
MAX_COMPLETION_CHECKS = 3

Send = Callable[[Request], Awaitable[Response]]


async def send_until_answered(
    send: Send, request: Request, read: Callable[[Response], Event], *, retry: RetryPolicy
) -> Event:
    """Send a request as often as the policy allows, until it gets an answer that isn't transient.

    Args:
        send: sends one request.
        request: one that may be repeated.
        read: reads its answer.
        retry: how many setbacks are borne.

    Raises:
        UploadRefused: the answer is final.
        RetriesExhausted: no such answer came in so many attempts.
    """
    failures = 0
    while True:
        cause: NetworkError | DecodeError | None = None
        try:
            event = read(await send(request))
        except (NetworkError, DecodeError) as error:
            cause, event = error, Interrupted(reason=str(error), request_id=error.request_id)
        if isinstance(event, Refused):
            raise UploadRefused(event.reason, status=event.status, request_id=event.request_id)
        if not isinstance(event, Interrupted):
            return event
        failures += 1
        if not await _back_off(retry, failures, event.reason, retry_after=event.retry_after):
            raise RetriesExhausted(
                f"{request.place} failed {failures} times; the last: {event.reason}",
                attempts=failures,
                request_id=event.request_id,
            ) from cause


async def check_complete(
    send: Send, upload_url: str, length: int, *, retry: RetryPolicy, may_forget: bool
) -> None:
    """Ask HEAD whether an upload is complete whose length was deferred.

    Servers without the extension creation-defer-length may acknowledge all bytes and ignore the
    length that came with the last of them; such an upload never completes. Some servers that have
    the extension move finished uploads elsewhere, and no longer know them (404, 410).

    Args:
        send: sends one request.
        upload_url: of the upload.
        length: bytes, as declared.
        retry: how many setbacks are borne.
        may_forget: whether an upload that the server no longer knows counts as complete.

    Raises:
        UploadGone: the server doesn't know the upload, and may have discarded it.
        ProtocolError: the server has less than all bytes, or another length, or none.
        UploadRefused: HEAD got a final answer.
        RetriesExhausted: HEAD got no usable answer.

    Source: tus 1.0, core protocol, HEAD; Creation, Upload-Defer-Length.
    """
    request = requests.offset_request(upload_url)
    looks = 0
    while True:
        event = await send_until_answered(send, request, requests.read_offset, retry=retry)
        if isinstance(event, Gone) and not may_forget:
            raise UploadGone(
                f"the server has acknowledged {length} bytes, but no longer knows the upload: "
                f"{event.reason}"
            )
        if isinstance(event, Gone) or event == OffsetKnown(length, length):
            return
        looks += 1
        reason = _name_lack(event, upload_url, length)
        if looks == MAX_COMPLETION_CHECKS or not await _back_off(retry, looks, reason):
            raise ProtocolError(reason)


async def is_unknown(send: Send, upload_url: str) -> bool:
    """Ask HEAD once whether the server doesn't know an upload; False if that can't be told."""
    try:
        response = await send(requests.offset_request(upload_url))
    except (NetworkError, DecodeError):
        return False
    return isinstance(requests.read_offset(response), Gone)


def _name_lack(event: Event, upload_url: str, length: int) -> str:
    where = f"(HEAD {redact_upload_url(upload_url)})"
    if not isinstance(event, OffsetKnown) or event.length is None:
        return (
            f"the server has acknowledged {length} bytes, but doesn't know that these are all "
            f"{where}: it ignores the length that creation-defer-length declares at the end"
        )
    if event.length != length:
        return f"Upload-Length is {event.length}; wanted {length}, as declared {where}"
    return f"Upload-Offset is {event.offset}; wanted {length}, as acknowledged before {where}"


async def _back_off(
    retry: RetryPolicy, failures: int, reason: str, *, retry_after: float | None = None
) -> bool:
    """Wait before the next attempt; return False if there is none."""
    delay = next_delay(
        retry,
        failures=failures,
        jitter=random.random(),  # noqa: S311 - spreads clients, hides nothing
        retry_after=retry_after,
    )
    if delay is None:
        return False
    retry_event = RetryEvent(reason=reason, attempt=failures, attempts=retry.attempts, delay=delay)
    _log.warning("%s", retry_event)
    await anyio.sleep(delay)
    return True
