"""The rich consoles: results on standard output, everything else on standard error.

Control sequences are written to terminals only, and colours only if NO_COLOR allows them. Nothing
that is printed is parsed as markup or as an emoji name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from livepeer_async.cli.output.formatting import LONGEST_SENTENCE, clean, shorten

# What isn't a terminal has no edge at which a line would have to end.
ENDLESS_WIDTH = 10_000
GAP = 2
# A name that is cut shorter than this can't be told from its neighbours.
SHORTEST_NAME = 14
LONGEST_NAME = 60
NUMERIC = frozenset({"size", "time"})


def output() -> Console:
    """Give the console for results."""
    return _console(is_error=False)


def messages() -> Console:
    """Give the console for progress and errors."""
    return _console(is_error=True)


def say(sentence: str) -> None:
    """Tell something on standard error."""
    messages().print(Text(shorten(sentence, LONGEST_SENTENCE)))


def say_error(sentence: str) -> None:
    """Tell on standard error what went wrong, and what to do."""
    line = Text("Error: ", style="bold red")
    messages().print(line.append(shorten(sentence, LONGEST_SENTENCE), style="not bold default"))


def emit(line: str) -> None:
    """Write a line for machines to standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def drop_output() -> None:
    """Let what is still to be written go nowhere, once nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console(*, is_error: bool) -> Console:
    stream = sys.stderr if is_error else sys.stdout
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=is_terminal,
        width=None if is_terminal else ENDLESS_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_rows(
    console: Console,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    dispensable: str | None = None,
) -> None:
    """Print rows; the cells are cleaned, and the first of each is cut to what fits.

    Args:
        console: where.
        headers: the name's first.
        rows: a cell for each header.
        dispensable: the header of a column that is left out of a table which is too wide with it.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    if _print_if_fits(console, headers, cells):
        return
    if dispensable in headers:
        place = headers.index(dispensable)
        fewer = [_without(row, place) for row in cells]
        if _print_if_fits(console, _without(headers, place), fewer):
            return
    for row in cells:
        print_facts(console, row[0], list(zip(headers[1:], row[1:], strict=True)))


def print_facts(console: Console, name: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print a name, and below it facts, each with its label before it or, where narrow, above."""
    console.print(Text(shorten(name, min(console.width, 2 * LONGEST_NAME)), style="bold"))
    label_width = max(cell_len(label) for label, _ in facts) + GAP
    for label, fact in facts:
        is_narrow = GAP + label_width + cell_len(fact) > console.width
        line = Text(" " * GAP).append(label.ljust(0 if is_narrow else label_width), style="dim")
        line.append(f"\n{' ' * 2 * GAP}" if is_narrow else "").append(clean(fact))
        console.print(line, soft_wrap=True)


def _print_if_fits(
    console: Console, headers: Sequence[str], cells: Sequence[Sequence[str]]
) -> bool:
    widths = [max(map(cell_len, column)) for column in zip(headers, *cells, strict=True)]
    room = console.width - sum(widths[1:]) - GAP * (len(headers) - 1)
    name_width = min(widths[0], LONGEST_NAME, room)
    if name_width < min(widths[0], SHORTEST_NAME):
        return False
    _print_table(console, headers, [[shorten(row[0], name_width), *row[1:]] for row in cells])
    return True


def _without(row: Sequence[str], place: int) -> list[str]:
    return [*row[:place], *row[place + 1 :]]


def _print_table(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for header in headers:
        table.add_column(header, no_wrap=True, justify="right" if header in NUMERIC else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
