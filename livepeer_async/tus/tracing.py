"""Spans and log records of the tus requests that send bytes."""

from __future__ import annotations

from livepeer_async.http import tracing
from livepeer_async.http.messages import Response
from livepeer_async.telemetry.spans import NO_SPAN, Span
from livepeer_async.tus.states import Command, Step

_NAMES = {Command.CREATE: "creation", Command.SEND_CHUNK: "chunk"}


def start_request_span(step: Step, resend_count: int) -> Span:
    """Return the span of a creation or of a chunk, or `NO_SPAN`.

    Args:
        step: the request.
        resend_count: how often it has failed since the last progress.
    """
    name = _NAMES.get(step.command)
    return tracing.start_request_span(name, step.request, resend_count) if name else NO_SPAN


def log_chunk(step: Step, response: Response, seconds: float | None) -> None:
    """Log an acknowledged chunk, or a creation."""
    if step.command in _NAMES:
        tracing.log_chunk(step.command.value, step.request, response, seconds)
