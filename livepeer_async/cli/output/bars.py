"""Progress bars for a terminal: one for each running file and one for the total.

Rich draws the bars several times a second. Columns that don't fit the terminal are omitted, the
least useful one first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from livepeer_async.cli.output.console import messages, print_message
from livepeer_async.cli.output.formatting import (
    MAX_NAME_WIDTH,
    format_clock,
    format_countdown,
    format_percent,
    format_size,
    pluralize,
    shorten,
)
from livepeer_async.cli.output.ingest_status import IngestStatus
from livepeer_async.cli.output.names import RecentNames
from livepeer_async.cli.output.plain import describe_resumption
from livepeer_async.cli.output.progress import (
    BatchProgress,
    FileProgress,
    TotalRate,
    TransferTasks,
    label_files,
    seconds_left,
)
from livepeer_async.cli.output.transfer_bar import TransferBar
from livepeer_async.ingest.events import RowState

REFRESH_SECONDS = 1 / 8
# Lines of the terminal that stay free for the output above the bars.
RESERVED_LINES = 4
STATUS_LINES = 2
# Files in processing are only shown while fewer lines than this are in use.
MAX_IDLE_FILES = 8
# A terminal echoes `^C` after the last line; if that wrapped the line, the next frame would shift.
ECHO_WIDTH = 4
# Columns for the remaining time, the speed and the size are shown from these widths on.
TIME_FROM, SPEED_FROM, SIZE_FROM = 56, 84, 94
TOTAL = "total"
# Cells that stay of the beginning of a shortened message.
_MIN_HEAD = 30
# Cells of a reason that are worth showing beside the time of a retry.
_MIN_REASON = 40
_STYLES = {
    str(RowState.READY): "green",
    str(RowState.UPLOADED): "green",
    str(RowState.FAILED): "red",
    "waiting": "dim",
}


class Bars:
    """Progress display for a terminal; the status of an ingestion is printed below the bars."""

    def __init__(
        self,
        batch: BatchProgress,
        console: Console,
        status: IngestStatus | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batch = batch
        self._console = console
        self._status = status
        self._clock = clock
        self._tasks = TransferTasks(console=console, get_time=clock, expand=True)
        self._total = self._tasks.add_task(TOTAL)
        self._rate = TotalRate(clock)
        self._ids: dict[FileProgress, TaskID] = {}
        self._names = RecentNames()
        self._resumed: set[FileProgress] = set()
        self.live = Live(
            self.render(),
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
            transient=status is not None,
        )

    def tick(self) -> None:
        """Draw the next frame."""
        self.live.update(self.render(), refresh=True)

    def update(self, file: FileProgress) -> None:
        """Print that an upload is resumed; the next frame shows all other changes."""
        if file.resumed_at and file not in self._resumed:
            self._resumed.add(file)
            name = shorten(file.name, MAX_NAME_WIDTH)
            self.print(f"{name}: {describe_resumption(file)}")

    def print(self, message: str) -> None:
        """Print a message above the bars."""
        print_message(self._console, message)

    def print_problem(self, message: str) -> None:
        """Print a message about an error above the bars."""
        self.print(message)

    def log(self, message: str) -> None:
        """Do nothing: the bars show it."""

    def render(self) -> Group:
        """Draw a frame from the current state."""
        width = max(1, self._console.width - ECHO_WIDTH)
        layout = Layout(width)
        self._tasks.columns = layout.columns
        labels = label_files(self._batch.files)
        names = self._names.shorten(list(labels.values()), layout.name_width)
        shown = self._select_files()
        rows = [self._track_file(file, names[labels[file]], layout) for file in shown]
        # Until the manifest is checked, the total is unknown.
        is_known = self._status is None or self._status.stats.checked is not None
        total = [self._track_total(layout)] if is_known else []
        table = self._tasks.make_tasks_table([*rows, *total])
        table.width = width
        self._forget_finished()
        return Group(table, *self._status_lines(layout, shown))

    def _select_files(self) -> list[FileProgress]:
        """Choose the files to show: those being uploaded, then a few in processing."""
        files = self._batch.files
        max_lines = max(1, self._console.height - RESERVED_LINES)
        if self._status is not None:
            max_lines = max(1, max_lines - STATUS_LINES)
        elif len(files) <= min(MAX_IDLE_FILES, max_lines):
            return files
        uploading = [
            file
            for file in files
            if file.is_uploading or file.is_held_up or file.status == "reading"
        ]
        processing = [file for file in files if file.is_processing and not file.is_held_up]
        shown = [*uploading, *processing[: max(0, MAX_IDLE_FILES - len(uploading))]][:max_lines]
        # The order doesn't change with the stages.
        return sorted(shown, key=files.index)

    def _track_file(self, file: FileProgress, name: str, layout: Layout) -> Task:
        if file not in self._ids:
            self._ids[file] = self._tasks.add_task("")
        return self._tasks.sync(
            self._ids[file],
            # While a source of unknown length is read, its bar pulses.
            total=file.length or (None if file.status == "reading" else 1),
            sent=file.sent if file.length else 0,
            in_flight=file.in_flight if file.length else 0,
            rate=file.rate if file.is_uploading and not file.is_held_up else None,
            is_measured=bool(file.length),
            description=name,
            status=layout.choose_status(describe_file(file, self._clock())),
            style=_STYLES.get(file.status, ""),
        )

    def _track_total(self, layout: Layout) -> Task:
        batch = self._batch
        is_measured = batch.is_measured and batch.length > 0
        return self._tasks.sync(
            self._total,
            # If lengths are unknown, the total counts files.
            total=batch.length if is_measured else batch.number,
            sent=batch.sent if is_measured else batch.succeeded,
            in_flight=batch.in_flight if is_measured else 0,
            rate=self._rate.measure(batch),
            is_measured=is_measured,
            status=self._describe_total(layout),
            style="bold",
        )

    def _describe_total(self, layout: Layout) -> str:
        """Return the counts of uploads, unless they are below the bars."""
        summary = self._batch.summarize()
        return summary if self._status is None and layout.has_room(summary) else ""

    def _forget_finished(self) -> None:
        for file in self._ids.keys() - set(self._batch.files):
            self._tasks.remove_task(self._ids.pop(file))

    def _status_lines(self, layout: Layout, shown: Sequence[FileProgress]) -> list[Text]:
        """Return the lines below the bars: counts, and what keeps uploads waiting."""
        status, counts, obstacle = self._status, self._batch.summarize(), ""
        if status is not None:
            sent = "" if layout.has_size else self._describe_bytes()
            counts = join_counts(status.counts(), sent, layout.width)
            obstacle = status.obstacle(self._clock())
        elif layout.has_room(counts):
            counts = ""  # in the line of the total
        # The beginning says what happens next, and the end why.
        obstacle = obstacle or self._describe_hold_ups(layout, shown)
        tail = max(0, min(layout.width // 3, layout.width - _MIN_HEAD))
        lines = [Text(counts), Text(shorten(obstacle, layout.width, tail=tail), style="yellow")]
        lines[0].truncate(layout.width, overflow="ellipsis")
        lines[0].highlight_regex(r"[\d,]+ (failed|bad rows?)", "red")
        return [line for line in lines if line]

    def _describe_hold_ups(self, layout: Layout, shown: Sequence[FileProgress]) -> str:
        """Return the most frequent reason that the rows have no room for; "" if there is none."""
        now = self._clock()
        held_up = [
            file
            for file in shown
            if file.is_held_up and not layout.has_room(describe_file(file, now)[0])
        ]
        for reason, number in Counter(map(describe_hold_up, held_up)).most_common(1):
            files = [file for file in held_up if describe_hold_up(file) == reason]
            known = [file.retry for file in files if file.retry]
            last = max(known, key=lambda retry: retry.attempt, default=None)
            attempt = ""
            if last is not None and not layout.has_room(describe_file(files[0], now)[1]):
                attempt = f"retry {last.attempt} of {last.attempts}"
            place = files[0].waiting.place if number == 1 and files[0].waiting else ""
            uploads = pluralize(number, "upload") if number > 1 else ""
            start = ", ".join(filter(None, [uploads, attempt]))
            return f"{start}: " * bool(start) + reason + f" ({place})" * bool(place)
        return ""

    def _describe_bytes(self) -> str:
        batch = self._batch
        if batch.length and batch.is_measured:
            return f"{format_size(batch.sent)} of {format_size(batch.length)}"
        return format_size(batch.sent) if batch.sent else ""


class Layout:
    """Columns for a width in cells; their own widths are fixed, which keeps them from jumping."""

    def __init__(self, width: int) -> None:
        is_narrow = width < TIME_FROM
        self.width = width
        self.has_size = width >= SIZE_FROM
        self.name_width = 12 if is_narrow else 22 if self.has_size else 16
        self._status_width = 15 if is_narrow else 22 + max(0, width - SIZE_FROM) // 2
        name = TextColumn("{task.description}", markup=False, table_column=_fixed(self.name_width))
        bar = _TransferColumn(bar_width=None, complete_style="cyan", finished_style="green")
        percent = TaskProgressColumn("{task.percentage:>3.0f}%", table_column=_fixed(4))
        columns: list[ProgressColumn] = [name, bar, percent]
        if self.has_size:
            columns.append(_SizeColumn(binary_units=True, table_column=_fixed(15, "right")))
        if width >= SPEED_FROM:
            columns.append(_SpeedColumn(table_column=_fixed(11, "right")))
        if not is_narrow:
            columns.append(_TimeColumn(table_column=_fixed(7, "right")))
        self.columns = (*columns, _StatusColumn(table_column=_fixed(self._status_width)))

    def has_room(self, status: str) -> bool:
        """Whether a status fits its column."""
        return cell_len(status) <= self._status_width

    def choose_status(self, statuses: Sequence[str]) -> str:
        """Return the first status that fits its column; the longest may be cut in a wide one."""
        if len(statuses) > 1 and cell_len(statuses[1]) + _MIN_REASON <= self._status_width:
            return shorten(statuses[0], self._status_width)
        return next(filter(self.has_room, statuses), statuses[-1])


class _SizeColumn(DownloadColumn):
    """Bytes sent and total; empty if the total is unknown, or 0 because all uploads failed."""

    def render(self, task: Task) -> Text:
        is_shown = task.fields["is_measured"] and task.total
        return super().render(task) if is_shown else Text("")


class _TransferColumn(BarColumn):
    """The bar of a task with a known total, or a pulsing one."""

    def render(self, task: Task) -> Any:
        if task.total is None:
            return super().render(task)
        if not task.total:
            return TransferBar(0, 0)  # all uploads failed
        return TransferBar(task.completed / task.total, task.fields["in_flight"] / task.total)


class _SpeedColumn(ProgressColumn):
    """The speed in binary units; empty while it is unknown."""

    def render(self, task: Task) -> Text:
        rate = task.fields["rate"]
        is_shown = rate and not task.finished
        return Text(f"{format_size(rate)}/s" if is_shown else "", style="cyan")


class _TimeColumn(ProgressColumn):
    """The remaining time; empty while it is unknown."""

    def render(self, task: Task) -> Text:
        left = seconds_left(task.completed, task.total or 0, task.fields["rate"])
        is_known = task.fields["is_measured"] and left
        return Text(format_clock(left) if is_known and left else "", style="cyan")


class _StatusColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields["status"], style=task.fields["style"])


def _fixed(width: int, justify: JustifyMethod = "left") -> Column:
    return Column(width=width, no_wrap=True, justify=justify)


def join_counts(counts: Sequence[str], sent: str, width: int) -> str:
    """Join counts, and the bytes sent, to a line; what doesn't fit is omitted as a whole."""
    first, *others = counts
    # Bad rows come last, and are more important than the states of running rows.
    parts = [first, sent, *others] if sent else [first, *others]
    omitted = [sent, *others[:-1][::-1], *others[-1:]]
    for part in filter(None, omitted):
        if cell_len(", ".join(parts)) > width:
            parts.remove(part)
    return ", ".join(parts)


def describe_file(file: FileProgress, now: float) -> list[str]:
    """Describe the state of a file, in full and in shorter forms."""
    retry, waiting = file.retry, file.waiting
    if waiting is not None:
        elapsed = format_countdown(file.seconds_waiting(now))
        wait = f"{waiting.reason} for {elapsed}"
        attempt = f"attempt {retry.attempt + 1} of {retry.attempts + 1}: " if retry else ""
        return [f"{attempt}{wait}", wait, f"waiting {elapsed}"]
    if retry is not None:
        seconds = file.seconds_to_retry(now)
        when = f"retry in {format_countdown(seconds)}" if seconds else "retrying"
        attempt = f"{when} ({retry.attempt} of {retry.attempts})"
        return [f"{attempt}: {retry.reason}", attempt, when]
    if file.is_uploading and file.is_sent:
        return ["being stored"]
    if file.is_processing and file.processed is not None:
        return [f"{file.status} {format_percent(file.processed)}"]
    return [file.status]


def describe_hold_up(file: FileProgress) -> str:
    """Describe why a file makes no progress."""
    if file.waiting is not None:
        return file.waiting.reason
    return file.retry.reason if file.retry else ""


@contextmanager
def draw_bars(batch: BatchProgress, status: IngestStatus | None) -> Generator[Bars]:
    """Show bars while the block runs; the caller calls `tick` several times a second.

    The last frame stays on the screen, unless it is an ingestion's, which is followed by a summary.
    """
    console = messages()
    bars = Bars(batch, console, status)
    try:
        with bars.live:
            yield bars
            bars.tick()
    finally:
        if status is None:
            console.print()
