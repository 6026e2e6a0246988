"""Progress bars for a terminal: one for each running file and one for the total.

The picture is redrawn several times a second. What doesn't fit the width is left out, the least
useful column first.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from livepeer_async.cli.output.console import messages
from livepeer_async.cli.output.error_messages import tell_setback
from livepeer_async.cli.output.formatting import (
    LONGEST_SENTENCE,
    join_fitting,
    join_whole,
    shorten,
    show_clock,
    show_part,
    show_percent,
    show_size,
)
from livepeer_async.cli.output.ingest_status import Standing
from livepeer_async.cli.output.progress import MOVING, Board, Item, Stage

PICTURES_PER_SECOND = 8
# Lines that the picture leaves to what stands above it.
SPARE_LINES = 4
# Lines below the bars, where there is a standing.
STANDING_LINES = 2
# Up to so many lines are filled with items whose bytes don't move.
FEW = 8
# More empty lines than these are closed up.
MOST_EMPTY = 2


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

TOTAL = "total"
_TROUBLES = r"[\d,]+ (failed|bad rows?)"
# What an item whose bytes are out is doing, the longest that fits.
_SENT = ("sent, waiting for the answer", "sent, waiting")
_STYLES = {
    Stage.READY: "green",
    Stage.HANDED_OVER: "green",
    Stage.FAILED: "red",
    Stage.WAITING: "dim",
}


class Bars:
    """A display for a terminal.

    Args:
        board: what is drawn.
        console: where.
        standing: of an ingestion, which has more to say of all than fits beside their bar.
    """

    def __init__(self, board: Board, console: Console, standing: Standing | None = None) -> None:
        self._board = board
        self._console = console
        self._standing = standing
        self._lanes = Lanes()

    def changed(self, item: Item) -> None:
        """Do nothing: the next picture shows it."""

    def note(self, sentence: str) -> None:
        """Write a line above the bars."""
        self._console.print(Text(shorten(sentence, LONGEST_SENTENCE)))

    def log(self, sentence: str) -> None:
        """Do nothing: the bars show it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = time.monotonic()
        self._board.tick(now)
        layout = next(it for it in LAYOUTS if options.max_width >= it.from_width)
        lines = self._shown(console.size.height - SPARE_LINES)
        names = [_show_name(item, layout) if item else "" for item in lines]
        widest = layout.name if self._standing else max(map(cell_len, [TOTAL, *names]))
        table = _make_grid(layout, widest)
        table.width = max(1, options.max_width - ECHO_CELLS)
        for item, name in zip(lines, names, strict=True):
            table.add_row(name, *(_draw_item(item, now, layout) if item else ()))
        table.add_row(Text(TOTAL, style="bold"), *self._draw_total(now, layout))
        yield table
        if self._standing is not None:
            yield from _draw_standing(self._standing, now, table.width, layout)

    def _shown(self, room: int) -> list[Item | None]:
        items = self._board.items
        if self._standing is not None:
            room -= STANDING_LINES
        elif len(items) <= min(FEW, room):
            return [*items]
        return self._lanes.arrange(items, max(1, room), is_growing=self._board.has_more)

    def _draw_total(self, now: float, layout: Layout) -> list[Text | ProgressBar]:
        board = self._board
        sent, length = board.sent, board.length
        is_sending = sent < length
        rate = board.per_second(now) if is_sending else None
        is_ending = self._standing is not None and self._standing.is_stopping
        left = board.seconds_left(now) if is_sending and not is_ending else None
        says = self._tell_total(f"{show_clock(left)} left" if left is not None else "", layout)
        if not board.is_measured:
            part = board.done / board.number if board.number else 0.0
            amounts = _draw_amounts(sent, None, rate, layout)
            return [
                _draw_bar(board.done, board.number, None),
                Text(show_percent(part)),
                *amounts[1:],
                Text(says),
            ]
        return [
            _draw_bar(sent, length, None),
            *_draw_amounts(sent, length, rate, layout),
            Text(says),
        ]

    def _tell_total(self, left: str, layout: Layout) -> str:
        if self._standing is not None:
            return left
        says = self._board.summary()
        with_left = f"{says}, {left}"
        has_room = left and layout.has_details and len(with_left) <= layout.status
        return with_left if has_room else says


@contextmanager
def show_bars(board: Board, standing: Standing | None = None) -> Generator[Bars]:
    """Draw bars while the block runs; without a standing the last picture stays.

    What an ingestion came to is told in words below it, once.
    """
    console = messages()
    bars = Bars(board, console, standing)
    live = Live(
        bars,
        console=console,
        refresh_per_second=PICTURES_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
        transient=standing is not None,
    )
    try:
        with live:
            yield bars
    finally:
        if standing is None:
            console.print()


def _make_grid(layout: Layout, widest_name: int) -> Table:
    table = Table.grid(padding=(0, GAP, 0, 0), expand=True)
    table.add_column(no_wrap=True, width=widest_name)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, width=PERCENT_CELLS, justify="right")
    if layout.has_amounts:
        table.add_column(no_wrap=True, width=SIZE_CELLS, justify="right")
        table.add_column(no_wrap=True, width=RATE_CELLS, justify="right", style="cyan")
    table.add_column(no_wrap=True, width=layout.status)
    return table


def _show_name(item: Item, layout: Layout) -> str:
    # Names of one folder often begin alike.
    return shorten(item.name, layout.name, end=layout.name * 3 // 5)


def _draw_item(item: Item, now: float, layout: Layout) -> list[Text | ProgressBar]:
    rate = item.rate.per_second(now) if item.stage in MOVING else None
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


def _draw_standing(standing: Standing, now: float, width: int, layout: Layout) -> Generator[Text]:
    first, *others = standing.counts()
    if not layout.has_amounts:
        others = [*_tell_amounts(standing.board, now), *others]
    counts = Text(join_fitting([first, *others], width))
    counts.highlight_regex(_TROUBLES, "red")
    yield counts
    obstacle = standing.obstacle(now)
    if obstacle is not None:
        yield Text(join_whole(*obstacle, width), style="yellow")


def _tell_amounts(board: Board, now: float) -> Generator[str]:
    """Say what the columns of a wider terminal show of all."""
    sent, length = board.sent, board.length
    if length and board.is_measured:
        yield show_part(sent, length, between=" of ")
    elif sent:
        yield show_size(sent)
    rate = board.per_second(now) if sent < length else None
    if rate:
        yield f"{show_size(int(rate))}/s"


def _tell_stage(item: Item, now: float, layout: Layout) -> str:
    if item.retry is not None:
        return tell_setback(item.retry, item.seconds_until_next(now), layout.status)
    if item.stage is Stage.UPLOADING and item.is_sent:
        return next(it for it in _SENT if cell_len(it) <= layout.status)
    if not layout.has_details:
        return str(item.stage)
    if item.stage is Stage.PROCESSING and item.processed is not None:
        return f"{item.stage} {show_percent(item.processed)}"
    left = item.seconds_left(now) if item.stage is Stage.UPLOADING else None
    return str(item.stage) if left is None else f"{item.stage}, {show_clock(left)} left"


class Lanes:
    """Lines of a picture that items take as they start, and leave as they end."""

    def __init__(self) -> None:
        self._lanes: list[Item | None] = []

    def arrange(
        self, items: Iterable[Item], room: int, *, is_growing: bool = False
    ) -> list[Item | None]:
        """Give the item of each line, `None` for an empty one.

        Args:
            items: all that are on the board.
            room: lines at the most.
            is_growing: whether more are to come, so that empty lines at the end are kept.
        """
        wanted = dict.fromkeys(_choose(items, room))
        lanes: list[Item | None] = [item if item in wanted else None for item in self._lanes[:room]]
        for item in lanes:
            wanted.pop(item, None)
        new = iter(wanted)
        lanes = [next(new, None) if item is None else item for item in lanes]
        lanes += new
        while lanes and lanes[-1] is None and not (is_growing and any(lanes)):
            lanes.pop()
        if lanes.count(None) > MOST_EMPTY:
            lanes = [item for item in lanes if item is not None]
        self._lanes = lanes
        return lanes


def _choose(items: Iterable[Item], room: int) -> list[Item | None]:
    """Choose those that move, and fill up with others that run."""
    moving: list[Item | None] = []
    others: list[Item | None] = []
    for item in items:
        if item.stage in MOVING:
            moving.append(item)
        elif item.stage is Stage.PROCESSING:
            others.append(item)
    return (moving + others[: max(0, FEW - len(moving))])[:room]
