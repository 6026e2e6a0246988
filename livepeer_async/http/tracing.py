"""Spans of uploads, waits and requests with bytes, and the log records of these requests."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from livepeer_async.http.messages import Request, Response
from livepeer_async.http.observers import RequestEvent, observe_requests
from livepeer_async.http.retry import RetryEvent
from livepeer_async.telemetry.events import CHUNK_SENT, LOGGER, RESPONSE_RECEIVED, log_event
from livepeer_async.telemetry.spans import (
    BODY_SIZE,
    METHOD,
    NO_SPAN,
    OFFSET,
    RESEND_COUNT,
    Span,
    start_span,
    start_upload_span,
    start_wait_span,
)
from livepeer_async.telemetry.subjects import Subject, current_subject, run_subject


def record_retry(span: Span, event: RequestEvent) -> None:
    """Add a failure that is retried to a span; other events aren't added."""
    if span is NO_SPAN or not isinstance(event, RetryEvent):
        return
    facts = {f"livepeer.retry.{name}": value for name, value in event.facts.items()}
    span.add_event("retry", {name: value for name, value in facts.items() if value is not None})


@contextmanager
def trace_retries(span: Span) -> Generator[Span, None, None]:
    """Make a span current in the block, and add the retries of the block's requests."""
    if span is NO_SPAN:
        yield span
        return
    with span, observe_requests(lambda event: record_retry(span, event)):
        yield span


@contextmanager
def trace_upload(subject: Subject, length: int) -> Generator[Span, None, None]:
    """Describe an upload in all records and spans of the block."""
    with run_subject(subject), trace_retries(start_upload_span(subject, length)) as span:
        yield span


@contextmanager
def trace_wait(asset_id: str) -> Generator[None, None, None]:
    """Trace a wait for an asset outside an upload."""
    with trace_retries(start_wait_span(asset_id, "ready")):
        yield


def start_request_span(name: str, request: Request, resend_count: int) -> Span:
    """Return the span of a request with bytes of the current upload, or `NO_SPAN`.

    Args:
        name: name of the span, `creation` or `chunk`.
        request: the request.
        resend_count: how often it has failed since the last progress.
    """
    subject = current_subject()
    if subject is None or subject.tracer is None:
        return NO_SPAN
    return start_span(
        subject,
        name,
        {
            METHOD: request.method,
            BODY_SIZE: request.span.size,
            OFFSET: request.span.start,
            RESEND_COUNT: resend_count,
        },
    )


def log_response(request: Request, request_id: str, status: int, seconds: float) -> None:
    """Log that a request got a response."""
    if not LOGGER.isEnabledFor(logging.DEBUG):
        return
    log_event(
        RESPONSE_RECEIVED,
        "%s: %d in %.2f s",
        request.place,
        status,
        seconds,
        livepeer_request_id=request_id,
        place=request.place,
        seconds=seconds,
        status_code=status,
    )


def log_chunk(command: str, request: Request, response: Response, seconds: float | None) -> None:
    """Log a request with bytes, if the server has accepted it."""
    if not response.is_success or not LOGGER.isEnabledFor(logging.DEBUG):
        return
    span = request.span
    log_event(
        CHUNK_SENT,
        "sent %d bytes at byte %d in %.2f s",
        span.size,
        span.start,
        seconds or 0.0,
        bytes=span.size,
        command=command,
        offset=span.start,
        seconds=seconds or 0.0,
        status_code=response.status,
    )
