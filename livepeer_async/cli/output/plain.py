"""Progress as plain lines on standard error, for pipes and logs.

Each change of a file's stage gets a line, and the total gets one periodically. Rows of an ingestion
get lines only when something goes wrong, and its lines begin with the time of day.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from livepeer_async.cli.output.console import print_note, print_problem
from livepeer_async.cli.output.formatting import (
    MAX_NAME_WIDTH,
    format_clock,
    format_countdown,
    format_elapsed,
    format_percent,
    format_size,
    shorten,
)
from livepeer_async.cli.output.ingest_status import IngestStatus
from livepeer_async.cli.output.names import shorten_names
from livepeer_async.cli.output.progress import (
    BatchProgress,
    FileProgress,
    TotalRate,
    seconds_left,
)
from livepeer_async.http.retry import RetryEvent
from livepeer_async.uploads.progress import Stage

# Seconds between two lines for the total, and between two lines if nothing changes.
PERIOD = 10.0
MAX_PERIOD = 60.0


class PlainLines:
    """Progress display for pipes and files."""

    def __init__(
        self,
        batch: BatchProgress,
        status: IngestStatus | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batch = batch
        self._status = status
        self._clock = clock
        self._rate = TotalRate(clock)
        self._printed_at = clock()
        self._printed_state: tuple[object, ...] = ()
        self._quiet_seconds = 0.0
        self._names = shorten_names([file.name for file in batch.files], MAX_NAME_WIDTH)
        self._statuses: dict[FileProgress, str] = {}
        self._sent: dict[FileProgress, int] = {}
        self._interrupted: set[FileProgress] = set()
        self._retries: dict[FileProgress, RetryEvent | None] = {}
        # Seconds of the last wait that was printed, doubled for the next one.
        self._waits: dict[FileProgress, float] = {}

    def update(self, file: FileProgress) -> None:
        """Print what has changed for a file."""
        name = self._names.get(file.name) or shorten(file.name, MAX_NAME_WIDTH)
        before = self._retries.get(file)
        if before is not None or file.sent < self._sent.get(file, 0):
            self._interrupted.add(file)
        # The retried request may have been one that gives the upload up.
        is_moving = file.is_uploading and not file.retry and file.in_flight > 0
        self._sent[file] = file.sent
        if file.stage is Stage.READY and file.outcome is None:
            return  # the content is still to be verified
        if file.is_processing and not self._batch.waits:
            return  # it has arrived, which the result says
        if self._statuses.get(file) != file.status:
            self._statuses[file] = file.status
            self._interrupted.discard(file)
            self.print(f"{name}: {_describe_change(file)}")
        elif is_moving and file in self._interrupted:
            self._interrupted.remove(file)
            offset = f"from {format_size(file.sent)}" if file.sent else "from the beginning"
            self.print(f"{name}: continuing {offset}")
        if file.retry is not None and file.retry is not before:
            self.print(f"{name}: {describe_retry(file.retry)}")
        self._retries[file] = file.retry
        self._print_wait(file, name)

    def _print_wait(self, file: FileProgress, name: str) -> None:
        waiting = file.waiting
        if waiting is None:
            self._waits.pop(file, None)
        elif waiting.seconds >= self._waits.get(file, 0.0):
            self._waits[file] = 2 * waiting.seconds
            self.print(f"{name}: {waiting}")

    def print(self, message: str) -> None:
        """Print a line."""
        print_note(self._add_time(message))

    def print_problem(self, message: str) -> None:
        """Print a line about an error, also if the command is quiet."""
        print_problem(self._add_time(message))

    def log(self, message: str) -> None:
        """Print a line."""
        self.print(message)

    def tick(self) -> None:
        """Print the total if it is due; called once a second."""
        now, batch, status = self._clock(), self._batch, self._status
        if status is not None:
            self._report_silence(status)
        summary = self.summarize()
        counts = (status.counts(), status.is_paused()) if status else batch.summarize()
        state = (counts, batch.sent, batch.transferred)
        if now - self._printed_at >= (PERIOD if state != self._printed_state else MAX_PERIOD):
            self._printed_at, self._printed_state = now, state
            self.print(summary)

    def summarize(self) -> str:
        """Describe the state of all uploads in one line."""
        batch, status = self._batch, self._status
        sent, length = batch.sent, batch.length
        rate = self._rate.measure(batch)
        left = seconds_left(sent, length, rate)
        summary = ", ".join(status.counts()) if status else batch.summarize()
        if length:
            summary += f"; {format_size(sent)} of {format_size(length)} sent"
        if length:
            summary += f" ({format_percent(sent / length)})"
        if batch.in_flight:
            summary += f", {format_size(batch.in_flight)} in flight"
        if rate and left:
            summary += f", {format_size(rate)}/s, {format_clock(left)} left"
        obstacle = status.obstacle(self._clock()) if status else ""
        return f"{summary}; {obstacle}" if obstacle else summary

    def _add_time(self, message: str) -> str:
        return f"{time.strftime('%H:%M:%S')} {message}" if self._status else message

    def _report_silence(self, status: IngestStatus) -> None:
        # An outage has its own messages.
        if status.outage is not None:
            self._quiet_seconds = 0.0
            return
        seconds = status.quiet_seconds
        if seconds and not self._quiet_seconds:
            self.print(f"no progress for {format_countdown(int(seconds))}; waiting for the server")
        elif self._quiet_seconds and not seconds:
            waited = format_countdown(self._quiet_seconds)
            self.print(f"the server responds again after {waited}")
        self._quiet_seconds = seconds


def describe_retry(retry: RetryEvent) -> str:
    """Describe a retry in one line."""
    delay = format_countdown(retry.delay)
    return f"{retry.failure}; retry {retry.attempt} of {retry.attempts} in {delay}"


def describe_resumption(file: FileProgress) -> str:
    """Describe how an upload of an earlier run goes on."""
    return f"continuing from {format_size(file.resumed_at)} of {format_size(file.length or 0)}"


def _describe_change(file: FileProgress) -> str:
    result = file.result
    if result is None:
        if file.is_uploading and file.resumed_at:
            return describe_resumption(file)
        is_sized = file.is_uploading and file.length
        return f"{file.status} {format_size(file.length or 0)}" if is_sized else file.status
    if result.error is not None:
        return "failed"  # the summary has the reason
    asset = f", asset {result.asset.id}" if result.asset else ""
    return f"{file.status} after {format_elapsed(result.seconds)}{asset}"
