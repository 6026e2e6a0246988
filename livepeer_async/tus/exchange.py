"""Single tus requests (HEAD, DELETE) with retries; `driver` retries the requests of an upload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    DecodeError,
    NetworkError,
    ProtocolError,
    RetriesExhausted,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.observers import report_event, report_recovery
from livepeer_async.http.retry import RetryEvent, RetryPolicy, describe_failure, next_delay
from livepeer_async.redaction import redact_upload_url
from livepeer_async.telemetry.events import REQUEST_RETRY, log_event
from livepeer_async.tus import requests
from livepeer_async.tus.events import (
    ChunkTooLarge,
    Event,
    Gone,
    Interrupted,
    OffsetKnown,
    Refused,
)

# HEADs that may report an incomplete upload: some servers complete it after they have responded to
# the last PATCH.
MAX_COMPLETION_CHECKS = 3

SendRequest = Callable[[Request], Awaitable[Response]]


def plan_retry(
    retry: RetryPolicy,
    event: Interrupted | ChunkTooLarge,
    *,
    attempt: int,
    jitter: float,
    status: int | None = None,
) -> RetryEvent | None:
    """Return the event for the next retry, or `None` to give up."""
    retry_after = event.retry_after if isinstance(event, Interrupted) else None
    delay = next_delay(retry, failures=attempt, jitter=jitter, retry_after=retry_after)
    if delay is None:
        return None
    return RetryEvent(
        reason=event.reason,
        attempt=attempt,
        attempts=retry.attempts,
        delay=delay,
        request_id=event.request_id,
        status=status,
    )


async def send_with_retries(
    send: SendRequest, request: Request, read: Callable[[Response], Event], *, retry: RetryPolicy
) -> Event:
    """Send an idempotent request until its response isn't transient; return the event of `read`.

    Raises:
        UploadRefused: the server sent a final error status.
        RetriesExhausted: all attempts failed.
    """
    clock, failures = Clock(), 0
    while True:
        cause: NetworkError | DecodeError | None = None
        try:
            event = read(await send(request))
        except (NetworkError, DecodeError) as error:
            cause = error
            event = Interrupted(reason=describe_failure(error), request_id=error.request_id)
        if isinstance(event, Refused):
            raise UploadRefused(event.reason, status=event.status, request_id=event.request_id)
        if not isinstance(event, Interrupted):
            report_recovery(failures)
            return event
        failures += 1
        retry_event = plan_retry(retry, event, attempt=failures, jitter=clock.random())
        if retry_event is None:
            raise RetriesExhausted(
                f"{request.place} failed {failures} times; the last: {event.reason}",
                attempts=failures,
                request_id=event.request_id,
            ) from cause
        log_event(REQUEST_RETRY, "%s", retry_event, **retry_event.facts)
        report_event(retry_event)
        await clock.sleep(retry_event.delay)


async def check_complete(
    send: SendRequest, upload_url: str, length: int, *, retry: RetryPolicy, accepts_unknown: bool
) -> None:
    """Ask HEAD whether an upload of deferred length is complete.

    Servers without the extension creation-defer-length may acknowledge all bytes and ignore the
    length that is declared with the last of them; such an upload never completes. Some servers with
    the extension move completed uploads elsewhere, and no longer know them (404, 410).

    Raises:
        UploadGone: the server doesn't know the upload, unless `accepts_unknown`.
        ProtocolError: the server has fewer bytes, another length, or no length.
        UploadRefused: the server sent a final error status.
        RetriesExhausted: all attempts failed.

    Source: tus 1.0, core protocol, HEAD; Creation, Upload-Defer-Length.
    """
    checks = 0

    def read(response: Response) -> Event:
        nonlocal checks
        event = requests.read_offset(response)
        if not isinstance(event, OffsetKnown) or event == OffsetKnown(length, length):
            return event
        checks += 1
        reason = f"{_describe(event, length)} (HEAD {redact_upload_url(upload_url)})"
        if checks == min(MAX_COMPLETION_CHECKS, retry.attempts + 1):
            raise ProtocolError(reason)
        return Interrupted(reason=reason)

    event = await send_with_retries(send, requests.offset_request(upload_url), read, retry=retry)
    if isinstance(event, Gone) and not accepts_unknown:
        raise UploadGone(
            f"the server has acknowledged {length} bytes, but no longer knows the upload: "
            f"{event.reason}"
        )


async def is_unknown(send: SendRequest, upload_url: str) -> bool:
    """Ask HEAD once whether the server doesn't know an upload; False without a usable response."""
    try:
        response = await send(requests.offset_request(upload_url))
    except (NetworkError, DecodeError):
        return False
    return isinstance(requests.read_offset(response), Gone)


def _describe(event: OffsetKnown, length: int) -> str:
    if event.length is None:
        return (
            f"the server acknowledged {length} bytes, but ignored the length that "
            "creation-defer-length declares at the end"
        )
    if event.length != length:
        return f"Upload-Length is {event.length}; wanted the declared {length}"
    return f"Upload-Offset is {event.offset}; wanted the acknowledged {length}"
