"""OpenTelemetry spans, if the application uses OpenTelemetry.

This package never imports OpenTelemetry. An application that records spans has imported
`opentelemetry.trace` before its first upload; one that hasn't pays for a look-up in `sys.modules`.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from livepeer_async.redaction import redact
from livepeer_async.telemetry.subjects import Subject, current_subject
from livepeer_async.version import __version__

Attributes = dict[str, str | int | float | bool]

ASSET_ID = "livepeer.asset.id"
ATTEMPTS = "livepeer.upload.attempts"
KEY = "livepeer.upload.key"
LENGTH = "livepeer.upload.length"
OFFSET = "livepeer.upload.offset"
OUTCOME = "livepeer.upload.outcome"
SOURCE = "livepeer.upload.source"
WAIT_FOR = "livepeer.wait.for"
# Names of the semantic conventions.
BODY_SIZE = "http.request.body.size"
ERROR_TYPE = "error.type"
METHOD = "http.request.method"
RESEND_COUNT = "http.request.resend_count"
STATUS_CODE = "http.response.status_code"
_MIN_ERROR = 400


class Span:
    """A span, current within its block; `NO_SPAN` records nothing.

    An exception that leaves the block is recorded with its type and message. A cancellation isn't
    an error. Messages are redacted; stack traces are left to the application's own spans.

    Args:
        tracer: creates the span; `None` for nothing.
        name: the name.
        attributes: the first attributes.
    """

    __slots__ = ("_attributes", "_current", "_name", "_span", "_tracer")

    def __init__(
        self, tracer: Any = None, name: str = "", attributes: Attributes | None = None
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._attributes = attributes
        self._span: Any = None
        self._current: Any = None

    def __enter__(self) -> Self:
        if self._tracer is not None:
            self._span = self._tracer.start_span(self._name, attributes=self._attributes)
            self._current = sys.modules["opentelemetry.trace"].use_span(
                self._span, record_exception=False, set_status_on_exception=False
            )
            self._current.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._tracer is None:
            return
        self._current.__exit__(None, None, None)
        if isinstance(error, Exception):
            self.record_error(error)
        self._span.end()

    def set(self, name: str, value: str | float | None) -> None:
        """Set an attribute; `None` leaves it out."""
        if self._span is not None and value is not None:
            self._span.set_attribute(name, value)

    def add_event(self, name: str, attributes: Attributes) -> None:
        """Add an event."""
        if self._span is not None:
            self._span.add_event(name, attributes)

    def record_status(self, status: int) -> None:
        """Record the status of a response; 400 and above are errors."""
        self.set(STATUS_CODE, status)
        if self._span is not None and status >= _MIN_ERROR:
            self._set_error(str(status), f"status {status}")

    def record_error(self, error: Exception) -> None:
        """Record an error without its secrets."""
        if self._span is not None:
            kind, message = type(error).__qualname__, redact(str(error))
            exception = {"exception.type": kind, "exception.message": message}
            self._span.add_event("exception", exception)
            self._set_error(kind, message)

    def _set_error(self, kind: str, description: str) -> None:
        self._span.set_attribute(ERROR_TYPE, kind)
        code = sys.modules["opentelemetry.trace"].StatusCode.ERROR
        self._span.set_status(code, description)


NO_SPAN = Span()


def find_tracer() -> Any:
    """Return a tracer; `None` if the application hasn't imported OpenTelemetry."""
    get_tracer = getattr(sys.modules.get("opentelemetry.trace"), "get_tracer", None)
    return None if get_tracer is None else get_tracer("livepeer_async", __version__)


def start_span(subject: Subject, name: str, attributes: Attributes) -> Span:
    """Return a span for a part of an upload that is traced; enter it with `with`."""
    return Span(subject.tracer, name, {**describe_subject(subject), **attributes})


def start_upload_span(subject: Subject, length: int) -> Span:
    """Return the span of an upload, and look whether the application uses OpenTelemetry."""
    subject.tracer = find_tracer()
    if subject.tracer is None:
        return NO_SPAN
    attributes = describe_subject(subject)
    return Span(subject.tracer, "upload", {**attributes, SOURCE: subject.source, LENGTH: length})


def start_wait_span(asset_id: str, wait_for: str) -> Span:
    """Return the span of a wait for an asset, within an upload or without one."""
    subject = current_subject()
    tracer = find_tracer() if subject is None else subject.tracer
    if tracer is None:
        return NO_SPAN
    return Span(tracer, "wait", {ASSET_ID: asset_id, WAIT_FOR: wait_for})


def describe_subject(subject: Subject) -> Attributes:
    """Return the attributes that all spans of an upload have."""
    found = {ASSET_ID: subject.asset_id, KEY: subject.key}
    return {name: value for name, value in found.items() if value is not None}
