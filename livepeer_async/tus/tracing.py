"""Spans and log records of the requests that send bytes."""

from __future__ import annotations

import logging

from livepeer_async.http.messages import Response
from livepeer_async.telemetry.events import CHUNK_SENT, LOGGER, log_event
from livepeer_async.telemetry.spans import (
    BODY_SIZE,
    METHOD,
    NO_SPAN,
    OFFSET,
    RESEND_COUNT,
    Span,
    start_span,
)
from livepeer_async.telemetry.subjects import current_subject
from livepeer_async.tus.states import Command, Step

_NAMES = {Command.CREATE: "creation", Command.SEND_CHUNK: "chunk"}


def start_request_span(step: Step, resend_count: int) -> Span:
    """Return the span of a creation or of a chunk, or `NO_SPAN`.

    Args:
        step: the request.
        resend_count: how often it has failed since the last progress.
    """
    subject = current_subject()
    if subject is None or subject.tracer is None or step.command not in _NAMES:
        return NO_SPAN
    return start_span(
        subject,
        _NAMES[step.command],
        {
            METHOD: step.request.method,
            BODY_SIZE: step.request.span.size,
            OFFSET: step.request.span.start,
            RESEND_COUNT: resend_count,
        },
    )


def log_chunk(step: Step, response: Response, seconds: float | None) -> None:
    """Log an acknowledged chunk, or a creation."""
    is_logged = step.command in _NAMES and response.is_success
    if not is_logged or not LOGGER.isEnabledFor(logging.DEBUG):
        return
    span = step.request.span
    log_event(
        CHUNK_SENT,
        "sent %d bytes at byte %d in %.2f s",
        span.size,
        span.start,
        seconds or 0.0,
        bytes=span.size,
        command=step.command.value,
        offset=span.start,
        seconds=seconds or 0.0,
        status_code=response.status,
    )
