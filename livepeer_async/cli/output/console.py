"""Rich consoles: results on standard output, everything else on standard error.

Control sequences are written to terminals only, and colours only if NO_COLOR allows them. Printed
text is never parsed as markup or as an emoji name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from livepeer_async.cli.output.formatting import (
    MAX_MESSAGE_WIDTH,
    MAX_NAME_WIDTH,
    clean,
    json_line,
    shorten,
    wrap_words,
)
from livepeer_async.cli.output.names import shorten_names
from livepeer_async.cli.output.verbosity import VERBOSITY, Verbosity

# Lines in a pipe or a file aren't wrapped.
UNLIMITED_WIDTH = 10_000
GAP = 2
# Columns are omitted rather than names cut below the first width; below the second, a name has a
# line of its own, with the state at its end.
GOOD_NAME_WIDTH = 22
MIN_NAME_WIDTH = 8
PLAYBACK_ID, LINK = "playback ID", "link"
ASSET_ID = "asset ID"
# Widths that decide which columns fit, so that they depend on the terminal and not on the rows. The
# name makes room for a cell that is a little wider.
COLUMN_WIDTHS = {
    ASSET_ID: 36,
    PLAYBACK_ID: 16,
    LINK: 35,
    "size": 9,
    "time": 6,
    "phase": 12,
    "state": 9,
    "created": 16,
    "requested": 16,
    "verified": 8,
    "SHA-256": 9,
    "content": 9,
    "known by": 13,
}
MAX_EXCESS = 4
NUMERIC = frozenset({"size", "time"})


def output() -> Console:
    """Return the console for results."""
    return _console(is_error=False)


def messages() -> Console:
    """Return the console for progress and errors."""
    return _console(is_error=True)


def print_note(message: str) -> None:
    """Print a message to standard error, unless the command is quiet."""
    if VERBOSITY.get() is not Verbosity.QUIET:
        print_message(messages(), message)


def print_problem(message: str) -> None:
    """Print what is wrong to standard error, also if the command is quiet."""
    print_message(messages(), message)


def can_draw(console: Console) -> bool:
    """Whether to draw bars: they need a terminal, on which nothing else is logged."""
    is_normal = VERBOSITY.get() is Verbosity.NORMAL
    return is_normal and console.is_terminal and not console.is_dumb_terminal


def print_error(message: str) -> None:
    """Print an error to standard error."""
    print_message(messages(), message, prefix="Error: ")


def print_message(console: Console, message: str, *, prefix: str = "") -> None:
    """Print a message; a path, a link or an ID is never broken, and can be copied."""
    line = wrap_words(f"{prefix}{shorten(message, MAX_MESSAGE_WIDTH)}", console.width)
    text = Text(line)
    text.stylize("bold red", 0, len(prefix))
    console.print(text, soft_wrap=True)


def print_json(document: Any) -> None:
    """Write a document as one line of JSON to standard output, and flush it."""
    sys.stdout.write(f"{json_line(document)}\n")
    sys.stdout.flush()


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    order: Sequence[str] | None = None,
    state: str | None = None,
) -> list[str]:
    """Print each row on one line, with the columns that the console has room for.

    Only the name, the first column, is shortened; names that differ stay different. The asset ID is
    always shown, below the name if it doesn't fit beside it. Empty columns aren't shown.

    Args:
        headers: names of the columns.
        rows: the cells.
        order: the optional columns, the most useful first; by default all, from left to right.
        state: a column that is always shown, at the end of the name's line if the ID is below it.

    Returns:
        The headers of the columns that were shown.
    """
    console = output()
    rows = [[clean(cell) for cell in row] for row in rows]
    widths = {
        header: max(map(cell_len, column))
        for header, *column in zip(headers, headers, *rows, strict=True)
        if header == headers[0] or any(column[1:])
    }
    always = [header for header in (ASSET_ID, state or "") if header in widths]
    shown = _choose_columns(widths, always, order or headers, console.width)
    room = console.width - sum(GAP + widths[header] for header in shown[1:])
    is_split = room < MIN_NAME_WIDTH
    if is_split:
        room = console.width - (GAP + widths[state] if state in widths else 0)
    names = shorten_names([row[0] for row in rows], max(1, min(MAX_NAME_WIDTH, room)))
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for header in shown:
        table.add_column(header, no_wrap=True, justify="right" if header in NUMERIC else "left")
    for name, *others in rows:
        cells = dict(zip(headers, [names[name], *others], strict=True))
        if is_split:
            below = [f"{' ' * GAP}{cells[header]}" for header in shown[1:] if header != state]
            first = cells[headers[0]]
            if state in shown:
                first += " " * (room + GAP - cell_len(first)) + cells[state]
            console.print(Text("\n".join([first, *below])), soft_wrap=True)
        table.add_row(*(_make_cell(header, cells) for header in shown))
    if not is_split:
        console.print(table)
    return shown


def print_fields(name: str, fields: Sequence[tuple[str, str]]) -> None:
    """Print a name and its labelled fields; a field that is too wide goes below its label."""
    console = output()
    console.print(Text(shorten(name, min(console.width, 2 * MAX_NAME_WIDTH)), style="bold"))
    label_width = max(cell_len(label) for label, _ in fields) + GAP
    for label, field in fields:
        is_wide = GAP + label_width + cell_len(field) > console.width
        line = Text(" " * GAP).append(label.ljust(0 if is_wide else label_width), style="dim")
        line.append(f"\n{' ' * 2 * GAP}" if is_wide else "").append(clean(field))
        console.print(line, soft_wrap=True)


def _choose_columns(
    widths: Mapping[str, int], always: Sequence[str], order: Sequence[str], width: int
) -> list[str]:
    """Return the columns that fit beside a readable name, from left to right."""
    name, *others = widths
    needed = {header: GAP + _typical_width(header, widths[header]) for header in others}
    chosen = set(always)
    room = width - GOOD_NAME_WIDTH - sum(needed[header] for header in chosen)
    for header in order:
        if header == PLAYBACK_ID and LINK in chosen:
            continue
        if header in needed and header not in chosen and needed[header] <= room:
            chosen.add(header)
            room -= needed[header]
    # The link contains the playback ID, which is only repeated beside whole names.
    room -= MAX_NAME_WIDTH - GOOD_NAME_WIDTH
    if PLAYBACK_ID in needed and needed[PLAYBACK_ID] <= room:
        chosen.add(PLAYBACK_ID)
    return [name, *(header for header in others if header in chosen)]


def _typical_width(header: str, width: int) -> int:
    """Return the width of a column in most runs, unless this one's is far from it."""
    typical = COLUMN_WIDTHS.get(header, width)
    return typical if width <= typical + MAX_EXCESS else width


def _make_cell(header: str, cells: Mapping[str, str]) -> Text:
    """Return the text of a cell; a terminal that supports links opens one from a playback ID."""
    link = cells.get(LINK) if header == PLAYBACK_ID else None
    return Text(cells[header], style=f"link {link}" if link else "")


class _Console(Console):
    """A console that raises `BrokenPipeError`; rich's own would exit with status 1."""

    def on_broken_pipe(self) -> None:
        """Raise the error that is being handled."""
        raise  # noqa: PLE0704 - rich calls this in an `except` block


def _console(*, is_error: bool) -> Console:
    stream = sys.stderr if is_error else sys.stdout
    is_terminal = stream.isatty()
    return _Console(
        file=stream,
        force_terminal=is_terminal,
        width=None if is_terminal else UNLIMITED_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )
