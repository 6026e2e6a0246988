"""Applies the events of an ingestion to its status, its display and its report.

Running rows are tracked individually, finished ones only as totals.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from livepeer_async.cli.output.display import Display
from livepeer_async.cli.output.error_messages import Scope, describe, format_error
from livepeer_async.cli.output.formatting import format_elapsed, pluralize
from livepeer_async.cli.output.ingest_status import IngestStatus, Outage
from livepeer_async.cli.output.plain import PlainLines, describe_resumption, describe_retry
from livepeer_async.cli.output.progress import FileProgress
from livepeer_async.cli.output.report import bad_row_document, row_document
from livepeer_async.ingest.events import (
    Checked,
    Event,
    Halted,
    Notice,
    Resumed,
    RowDeferred,
    RowEnded,
    RowStarted,
    RowState,
)
from livepeer_async.ingest.rows import BadRow, RepeatedRow, Row
from livepeer_async.sources.source import source_name
from livepeer_async.uploads.progress import Progress

# In a file that isn't a manifest, every row is bad.
MAX_BAD_ROWS_PRINTED = 50


class _ActiveRow(Struct, frozen=True):
    row: Row
    file: FileProgress
    started: float


class IngestEvents:
    """Keeps the status of an ingestion up to date.

    Args:
        status: the status to update.
        write: writes a document for each row that ends.
        clock: returns monotonic seconds.

    Attributes:
        display: where messages go.
        has_report: whether there is a report.
    """

    def __init__(
        self,
        status: IngestStatus,
        *,
        write: Callable[[dict[str, Any]], None],
        has_report: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.display: Display = PlainLines(status.batch)
        self._status = status
        self._write = write
        self.has_report = has_report
        self._clock = clock
        self._running: dict[str, _ActiveRow] = {}
        self._deferred: dict[str, _ActiveRow] = {}
        self._first_repeated: RepeatedRow | None = None

    def apply(self, event: Event) -> None:  # noqa: C901 - a case for each event
        """Apply an event."""
        match event:
            case BadRow():
                self._reject(event)
            case RepeatedRow():
                self._first_repeated = self._first_repeated or event
            case Checked():
                self._start_batch(event)
            case RowStarted():
                self._start_row(event.row)
            case RowDeferred():
                self._defer_row(event)
            case Halted():
                self._start_outage(event)
            case Resumed():
                self._end_outage(event)
            case Notice():
                self.display.print_problem(event.message)
            case RowEnded():
                self._finish_row(event)
        self._status.deferred = len(self._deferred)

    def update(self, row: Row, progress: Progress) -> None:
        """Apply the progress of a row."""
        if row.key not in self._running:
            return
        file = self._running[row.key].file
        is_first, waited = not file.has_retried, file.waiting is not None
        was_resumed = bool(file.resumed_at)
        file.update(progress, self._clock())
        # A row that is retried after the others is resumed in this run.
        if file.resumed_at and not was_resumed and not file.has_retried:
            self.display.log(f"{row.location}: {describe_resumption(file)}")
        # Chunks wait for slow storage all the time.
        if file.waiting is not None and file.is_starting and not waited:
            self.display.log(f"{row.location}: {file.waiting}")
        if file.retry is not None and is_first:
            self.display.log(f"{row.location}: {describe_retry(file.retry)}")

    def abort(self) -> None:
        """Record all running rows as unfinished; no more events follow."""
        now = self._clock()
        for active in [*self._running.values(), *self._deferred.values()]:
            ended = RowEnded(
                row=active.row,
                state=RowState.UNFINISHED,
                asset_id=active.file.asset_id,
                length=active.row.length,
                seconds=now - active.started,
            )
            self.apply(ended)

    def _reject(self, bad: BadRow) -> None:
        stats = self._status.stats
        stats.bad += 1
        stats.unsupported += bad.error is not None
        self._write(bad_row_document(bad))
        if stats.bad <= MAX_BAD_ROWS_PRINTED:
            self._print_at(bad.location, bad.message)
        if stats.checked is None:
            return
        self._status.batch.reject(length=bad.length)
        if stats.bad == MAX_BAD_ROWS_PRINTED + 1:
            self._print_hidden("more bad rows aren't printed")

    def _start_batch(self, checked: Checked) -> None:
        stats, batch = self._status.stats, self._status.batch
        stats.checked = checked
        batch.started = self._clock()
        batch.expect(checked.rows, length=checked.length, is_measured=not checked.urls)
        if self._first_repeated is not None:
            self.display.print(_describe_repeated(self._first_repeated, checked.repeated))
        more = stats.bad - MAX_BAD_ROWS_PRINTED
        if more > 0:
            self._print_hidden(f"and {pluralize(more, 'more bad row')}")

    def _print_hidden(self, what: str) -> None:
        hint = "the report lists them all" if self.has_report else "--report lists them all"
        self.display.print_problem(f"{what}: {hint}")

    def _start_row(self, row: Row) -> None:
        name = row.asset_name or source_name(row.source)
        file = FileProgress(row.location, name, row.length)
        before = self._deferred.pop(row.key, None)
        # The first retry of a row is logged, before or after it is deferred.
        file.has_retried = before is not None
        started = before.started if before else self._clock()
        self._running[row.key] = _ActiveRow(row, file, started)
        self._status.batch.add(file)

    def _defer_row(self, event: RowDeferred) -> None:
        active = self._running.pop(event.row.key, None)
        if active is None:
            return
        if not active.file.has_retried:
            reason = describe(event.error)
            self.display.log(f"{event.row.location}: {reason}; retrying it after the other rows")
        self._deferred[event.row.key] = active
        self._status.batch.defer(active.file)

    def _start_outage(self, halted: Halted) -> None:
        reason = describe(halted.error)
        # An outage of hours has hundreds of probes; only the display shows the time of the next.
        before = self._status.outage
        if before is None:
            self.display.print_problem(f"halted: {reason}; rows continue when the server responds")
        checks = before.checks + 1 if before else 1
        self._status.outage = Outage(reason, self._clock() + halted.delay, checks)

    def _end_outage(self, resumed: Resumed) -> None:
        self._status.outage = None
        elapsed = format_elapsed(resumed.seconds)
        self.display.print_problem(f"the server responds again after {elapsed}")

    def _finish_row(self, ended: RowEnded) -> None:
        row, batch = ended.row, self._status.batch
        message = ""
        if ended.error is not None:
            scope = Scope(row=row, journal_option=self._status.journal_option)
            message = format_error(ended.error, scope)
            self._print_at(row.location, message)
        self._status.stats.record(ended, message)
        self._write(row_document(ended, message))
        active = self._running.pop(row.key, None)
        self._deferred.pop(row.key, None)
        if ended.state is not RowState.UNFINISHED:
            file = active.file if active else FileProgress(row.location, "", row.length)
            file.is_earlier = ended.is_earlier
            file.finish(ended.state, length=ended.length)
            batch.retire(file)
        elif active is not None:
            batch.abandon(active.file)

    def _print_at(self, location: str, message: str) -> None:
        """Print a message with its location; one about a file in a folder begins with the path."""
        is_located = message.startswith(repr(location))
        self.display.print_problem(message if is_located else f"{location}: {message}")


def _describe_repeated(first: RepeatedRow, number: int) -> str:
    line = f"line {first.first_line}" if first.first_line else "an earlier row"
    if number == 1:
        return f"{first.location}: repeats {line}; both are one upload"
    return f"{number:,} rows repeat earlier ones and are no uploads; the first is {first.location}"
