"""Applies the events of an ingestion to the displays and the report.

It keeps the running rows, and only sums of the finished ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct

from livepeer_async.cli.output.error_messages import find_reason, found, name_reason, tell_failure
from livepeer_async.cli.output.formatting import count, show_countdown, show_seconds
from livepeer_async.cli.output.ingest_status import Halt, Standing
from livepeer_async.cli.output.progress import Item, Stage
from livepeer_async.cli.output.report import bad_line, ended_line
from livepeer_async.ingest.events import (
    Checked,
    Event,
    Halted,
    Resumed,
    RowDeferred,
    RowEnded,
    RowStarted,
    RowState,
)
from livepeer_async.ingest.rows import BadRow, Row
from livepeer_async.sources.source import source_name
from livepeer_async.uploads.progress import Progress

# A manifest of the wrong kind has nothing but bad rows.
MOST_BAD_TOLD = 50
_STAGES = {
    RowState.READY: Stage.READY,
    RowState.ARRIVED: Stage.HANDED_OVER,
    RowState.FAILED: Stage.FAILED,
}


class _Run(Struct, frozen=True):
    """A row that has begun.

    Attributes:
        row: the row.
        item: what the displays read.
        began: when it did so for the first time.
    """

    row: Row
    item: Item
    began: float


class Following:
    """Keeps the standing of an ingestion up to date.

    Args:
        standing: what the displays read.
        note: tells a sentence beside the progress.
        log: tells a sentence where no bars show the same.
        write: takes a line for each row that ends.
        has_report: whether somebody finds all bad rows in a report.
        clock: gives seconds that only grow.
    """

    def __init__(  # noqa: PLR0913 - where its words go, and time, come in as arguments
        self,
        standing: Standing,
        *,
        note: Callable[[str], None],
        log: Callable[[str], None] = lambda _: None,
        write: Callable[[str], None],
        has_report: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._standing = standing
        self._note = note
        self._log = log
        self._write = write
        self._has_report = has_report
        self._clock = clock
        self._running: dict[str, _Run] = {}
        # As many as an ingestion lets wait, which has its own bound.
        self._put_off: dict[str, _Run] = {}

    def take(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case BadRow():
                self._refuse(event)
            case Checked():
                self._begin(event)
            case RowStarted():
                self._start(event.row)
            case RowDeferred():
                self._put_back(event)
            case Halted():
                self._halt(event)
            case Resumed():
                self._standing.halt = None
                self._note(f"the server answers again, after {show_seconds(event.seconds)}")
            case RowEnded():
                self._end(event)
        self._standing.put_off = len(self._put_off)

    def follow(self, row: Row, progress: Progress) -> None:
        """Take note of how far a row is."""
        if row.key not in self._running:
            return
        item = self._running[row.key].item
        is_told = item.has_met_setback
        item.follow(progress, self._clock())
        if item.retry is not None and not is_told:
            delay = show_countdown(item.retry.delay)
            self._log(f"{row.place}: {item.retry.reason}; next attempt in {delay}")

    def break_off(self) -> None:
        """Let all that runs be unfinished, where the end of each isn't told any more."""
        now = self._clock()
        for run in [*self._running.values(), *self._put_off.values()]:
            ended = RowEnded(
                row=run.row,
                state=RowState.UNFINISHED,
                asset_id=run.item.asset_id,
                length=run.row.length,
                seconds=now - run.began,
            )
            self.take(ended)

    def _refuse(self, bad: BadRow) -> None:
        tally = self._standing.tally
        tally.bad += 1
        self._write(bad_line(bad))
        if tally.bad <= MOST_BAD_TOLD:
            self._note(_placed(bad.place, bad.sentence))

    def _begin(self, checked: Checked) -> None:
        tally, board = self._standing.tally, self._standing.board
        tally.checked = checked
        board.started = self._clock()
        board.expect(checked.rows, length=checked.length, is_measured=not checked.urls)
        if tally.bad > MOST_BAD_TOLD:
            where = "the report has all of them" if self._has_report else "--report takes them all"
            self._note(f"and {count(tally.bad - MOST_BAD_TOLD, 'more bad row')}: {where}")

    def _start(self, row: Row) -> None:
        name = row.new_asset.name if row.new_asset else source_name(row.source)
        item = Item(row.place, name, row.length)
        before = self._put_off.pop(row.key, None)
        if before is not None:
            item.has_met_setback = True
        self._running[row.key] = _Run(row, item, before.began if before else self._clock())
        self._standing.board.add(item)

    def _put_back(self, event: RowDeferred) -> None:
        run = self._running.pop(event.row.key, None)
        if run is None:
            return
        if not run.item.has_met_setback:
            self._log(f"{event.row.place}: {find_reason(event.error)}; it comes again later")
        self._put_off[event.row.key] = run
        self._standing.board.put_back(run.item)

    def _halt(self, halted: Halted) -> None:
        reason = found(halted.error)
        # An outage of hours has hundreds of questions; the displays tell when the next one is.
        if self._standing.halt is None:
            self._note(f"halted: {reason}; rows start again when the server answers")
        self._standing.halt = Halt(name_reason(reason), self._clock() + halted.delay)

    def _end(self, ended: RowEnded) -> None:
        row, error = ended.row, ended.error
        sentence = ""
        if error is not None:
            sentence = tell_failure(row, error, journal=self._standing.journal)
            self._note(_placed(row.place, sentence))
        self._standing.tally.end(ended, sentence)
        self._write(ended_line(ended, sentence))
        run = self._running.pop(row.key, None)
        item = run.item if run else None
        self._put_off.pop(row.key, None)
        if ended.state in _STAGES:
            item = item or Item(row.place, "", row.length)
            item.finish(_STAGES[ended.state], length=ended.length)
            self._standing.board.retire(item)
        elif item is not None:
            self._standing.board.leave(item)


def _placed(place: str, sentence: str) -> str:
    """Say where something is; a file that was found in a folder is named by its sentence."""
    return sentence if sentence.startswith(repr(place)) else f"{place}: {sentence}"
