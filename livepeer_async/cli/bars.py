"""Progress for a terminal: a bar for each running file, and one for all.

In comes a board; out comes a picture of it, drawn anew several times a second. What doesn't fit
into the width is left out, the less needed first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import contextmanager

from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from livepeer_async.cli.board import Board, Item, Stage
from livepeer_async.cli.screen import messages
from livepeer_async.cli.text import (
    LONGEST_SENTENCE,
    shorten,
    show_clock,
    show_countdown,
    show_part,
    show_percent,
    show_size,
)
from livepeer_async.uploads.retry import Setback

PICTURES_PER_SECOND = 8
# Up to so many files, those that have ended stay in the picture.
FEW = 8
# Lines that the picture leaves to what stands above it.
SPARE_LINES = 4


class Layout(Struct, frozen=True):
    """What there is room for; the widths are fixed, so that nothing jumps.

    Attributes:
        from_width: cells of the terminal from which on it is used.
        name: cells of a name at the most.
        status: cells of the last column.
        has_amounts: whether bytes and rate are shown.
        has_details: whether the time left and the server's progress are shown.
    """

    from_width: int
    name: int
    status: int
    has_amounts: bool = False
    has_details: bool = False


LAYOUTS = (
    Layout(110, 22, 36, has_amounts=True, has_details=True),
    Layout(94, 22, 26, has_amounts=True, has_details=True),
    Layout(60, 16, 24, has_details=True),
    Layout(0, 10, 14),
)
PERCENT_CELLS = 5
SIZE_CELLS = 15
RATE_CELLS = 11
GAP = 2
# The terminal's own `^C` behind the last row must not break it: the next picture would be drawn a
# row too low, and leave the first row of this one above it. Twice, for who is in a hurry.
ECHO_CELLS = 4
# What a reason says first; where, and who said it, is for a log.
_REASON_ENDS = re.compile(r" (?:to|from) (?:[A-Z]+ )?https?://| for [A-Z]+ https?://| \(|: |; | \[")

TOTAL = "total"
_STYLES = {
    Stage.READY: "green",
    Stage.HANDED_OVER: "green",
    Stage.FAILED: "red",
    Stage.WAITING: "dim",
}


class Bars:
    """A display for a terminal."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console

    def changed(self, item: Item) -> None:
        """Do nothing: the next picture shows it."""

    def note(self, sentence: str) -> None:
        """Write a line above the bars."""
        self._console.print(Text(shorten(sentence, LONGEST_SENTENCE)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = time.monotonic()
        self._board.tick(now)
        layout = next(it for it in LAYOUTS if options.max_width >= it.from_width)
        items = self._shown(max(1, console.size.height - SPARE_LINES))
        names = [shorten(item.name, layout.name) for item in items]
        table = _make_grid(layout, [TOTAL, *names])
        table.width = max(1, options.max_width - ECHO_CELLS)
        for item, name in zip(items, names, strict=True):
            table.add_row(name, *_draw_item(item, now, layout))
        table.add_row(Text(TOTAL, style="bold"), *self._draw_total(now, layout))
        yield table

    def _shown(self, room: int) -> list[Item]:
        items = list(self._board.items)
        if len(items) <= min(FEW, room):
            return items
        running = [item for item in items if not item.is_over and item.stage is not Stage.WAITING]
        return running[:room]

    def _draw_total(self, now: float, layout: Layout) -> list[Text | ProgressBar]:
        board = self._board
        is_sending = board.sent < board.length
        rate = board.per_second(now) if is_sending else None
        left = board.seconds_left(now) if is_sending and layout.has_details else None
        says = board.summary()
        if (
            left is not None
            and len(with_left := f"{says}, {show_clock(left)} left") <= layout.status
        ):
            says = with_left
        amounts = _draw_amounts(board.sent, board.length, rate, layout)
        return [_draw_bar(board.sent, board.length, None), *amounts, Text(says)]


@contextmanager
def show_bars(board: Board) -> Generator[Bars]:
    """Draw bars while the block runs; the last picture stays."""
    console = messages()
    bars = Bars(board, console)
    live = Live(
        bars,
        console=console,
        refresh_per_second=PICTURES_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )
    with live:
        yield bars
    console.print()


def _make_grid(layout: Layout, names: list[str]) -> Table:
    table = Table.grid(padding=(0, GAP, 0, 0), expand=True)
    table.add_column(no_wrap=True, width=max(map(cell_len, names)))
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, width=PERCENT_CELLS, justify="right")
    if layout.has_amounts:
        table.add_column(no_wrap=True, width=SIZE_CELLS, justify="right")
        table.add_column(no_wrap=True, width=RATE_CELLS, justify="right", style="cyan")
    table.add_column(no_wrap=True, width=layout.status)
    return table


def _draw_item(item: Item, now: float, layout: Layout) -> list[Text | ProgressBar]:
    is_moving = item.stage in {Stage.UPLOADING, Stage.READING}
    rate = item.rate.per_second(now) if is_moving else None
    says = Text(_tell_stage(item, now, layout), style=_STYLES.get(item.stage, ""))
    length = None if item.stage is Stage.FAILED else item.length
    amounts = _draw_amounts(item.sent, length, rate, layout)
    return [_draw_bar(item.sent, item.length, item.stage), *amounts, says]


def _draw_bar(sent: int, length: int | None, stage: Stage | None) -> ProgressBar:
    style = "red" if stage is Stage.FAILED else "cyan"
    return ProgressBar(
        total=length or 1,
        completed=sent if length else 0,
        pulse=stage is Stage.READING,
        complete_style=style,
        finished_style="red" if stage is Stage.FAILED else "green",
    )


def _draw_amounts(sent: int, length: int | None, rate: float | None, layout: Layout) -> list[Text]:
    percent = Text(show_percent(sent / length) if length else "")
    if not layout.has_amounts:
        return [percent]
    amount = show_part(sent, length) if length else show_size(sent) if sent else ""
    return [percent, Text(amount), Text(f"{show_size(int(rate))}/s" if rate else "")]


def _tell_stage(item: Item, now: float, layout: Layout) -> str:
    if item.setback is not None:
        return _tell_setback(item.setback, item.seconds_until_next(now), layout.status)
    if not layout.has_details:
        return str(item.stage)
    if item.stage is Stage.PROCESSING and item.processed is not None:
        return f"{item.stage} {show_percent(item.processed)}"
    left = item.seconds_left(now) if item.stage is Stage.UPLOADING else None
    return str(item.stage) if left is None else f"{item.stage}, {show_clock(left)} left"


def _tell_setback(setback: Setback, seconds: float, width: int) -> str:
    """Say what came between and when it goes on, the most that fits."""
    when = f" in {show_countdown(seconds)}" if seconds else ""
    reason = _name_reason(setback.reason)
    attempt = f"try {setback.attempt} of {setback.attempts}{when}"
    candidates = (f"{reason}, {attempt}", f"{reason}, try{when}", attempt, f"next try{when}")
    return next((it for it in candidates if cell_len(it) <= width), f"try{when}")


def _name_reason(reason: str) -> str:
    said = _REASON_ENDS.split(reason, maxsplit=1)[0]
    if said.isdecimal():
        return f"answer {said}"
    # The name of a class stands where the network gave no words.
    return "connection lost" if said.endswith("Error") else shorten(said, LONGEST_SENTENCE)
