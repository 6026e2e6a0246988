"""Spans of uploads and waits, with the retries of their requests as events."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from livepeer_async.http.observers import RequestEvent, observe_requests
from livepeer_async.http.retry import RetryEvent
from livepeer_async.telemetry.spans import NO_SPAN, Span, start_upload_span, start_wait_span
from livepeer_async.telemetry.subjects import Subject, run_subject


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
