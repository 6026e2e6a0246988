"""Telemetry of one upload: the log records and the span of its course."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from livepeer_async.http.observers import RequestEvent, WaitEvent
from livepeer_async.http.tracing import record_retry
from livepeer_async.models import Asset
from livepeer_async.polling.verify import Verified
from livepeer_async.telemetry import events
from livepeer_async.telemetry.events import LogEvent, log_event
from livepeer_async.telemetry.spans import ASSET_ID, ATTEMPTS, NO_SPAN, OUTCOME, start_upload_span
from livepeer_async.telemetry.subjects import Subject, run_subject


class RunningUpload(Protocol):
    """What telemetry reads of an `Upload`."""

    attempts: int
    is_stopped: bool
    is_aborted: bool


class UploadTelemetry:
    """Telemetry of one upload.

    Args:
        source: name of the source.
        length: bytes of the source.
        key: the key of the upload; `None` without one.
    """

    def __init__(self, source: str, length: int, key: str | None) -> None:
        self._subject = Subject(source, key)
        self._length = length
        self._started = time.monotonic()
        self._span = NO_SPAN

    def attach(self, asset_id: str, *, is_found: bool, is_resumed: bool) -> None:
        """Record the asset that the upload has from now on.

        Args:
            asset_id: ID of the asset.
            is_found: whether an earlier run has sent all bytes.
            is_resumed: whether an earlier run has begun to send them.
        """
        previous, length = self._subject.asset_id, self._length
        self.set_asset(asset_id)
        with run_subject(self._subject):
            if is_found:
                log_event(events.UPLOAD_FOUND, "an earlier run has sent all bytes", length=length)
                return
            event = events.UPLOAD_RESUMED if is_resumed else events.UPLOAD_STARTED
            message = "an upload of %d bytes %s"
            verb = "is resumed" if is_resumed else "starts"
            log_event(event, message, length, verb, length=length, previous_asset_id=previous)

    def set_asset(self, asset_id: str) -> None:
        """Record the ID of the asset."""
        self._subject.asset_id = asset_id
        self._span.set(ASSET_ID, asset_id)

    def observe(self, event: RequestEvent) -> None:
        """Record an event of a request of the upload, perhaps in the task of another one."""
        record_retry(self._span, event)
        if isinstance(event, WaitEvent) and event.seconds:
            with run_subject(self._subject):
                log_event(
                    events.UPLOAD_WAITING,
                    "the upload waits: %s",
                    event,
                    reason=event.reason,
                    seconds=event.seconds,
                )

    def log_transferred(self, attempts: int) -> None:
        """Log that the server has all bytes."""
        self._log_end(events.UPLOAD_TRANSFERRED, "the server has all bytes", attempts)

    def log_success(self, asset: Asset | None, verified: Verified | None, attempts: int) -> None:
        """Log that the upload has succeeded."""
        phase = asset.phase if asset else None
        self._span.set(OUTCOME, "succeeded")
        self._log_end(
            events.UPLOAD_SUCCEEDED,
            f"the upload has succeeded, the asset is {phase or 'unknown'}",
            attempts,
            phase=None if phase is None else str(phase),
            verified=None if verified is None else verified.value,
        )

    @contextmanager
    def record(self, upload: RunningUpload) -> Generator[None, None, None]:
        """Record the course of the upload in the block, and how it ends."""
        self._span = start_upload_span(self._subject, self._length)
        with run_subject(self._subject), self._span:
            try:
                yield
            except Exception as error:
                self._span.set(OUTCOME, "failed")
                kind, reason = type(error).__name__, str(error)
                message = f"the upload has failed: {reason}"
                self._log_end(
                    events.UPLOAD_FAILED, message, upload.attempts, error=kind, reason=reason
                )
                raise
            except BaseException:
                event, outcome = _interruption(upload)
                self._span.set(OUTCOME, outcome)
                self._log_end(event, f"the upload is {outcome}", upload.attempts)
                raise
            finally:
                self._span.set(ATTEMPTS, upload.attempts)

    def _log_end(self, event: LogEvent, message: str, attempts: int, **facts: str | None) -> None:
        seconds = time.monotonic() - self._started
        with run_subject(self._subject):
            log_event(
                event,
                "%s; %d bytes, %.1f s",
                message,
                self._length,
                seconds,
                attempts=attempts,
                length=self._length,
                seconds=seconds,
                **facts,
            )


def _interruption(upload: RunningUpload) -> tuple[LogEvent, str]:
    if upload.is_aborted:
        return events.UPLOAD_ABORTED, "aborted"
    if upload.is_stopped:
        return events.UPLOAD_STOPPED, "stopped"
    return events.UPLOAD_CANCELLED, "cancelled"
