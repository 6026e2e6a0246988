"""Rich consoles: results on standard output, everything else on standard error.

Control sequences are written to terminals only, and colours only if NO_COLOR allows them. Printed
text is never parsed as markup or as an emoji name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
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
)

# Lines in a pipe or a file aren't wrapped.
UNLIMITED_WIDTH = 10_000
GAP = 2
# A shorter name can't be distinguished from its neighbours.
MIN_NAME_WIDTH = 14
NUMERIC = frozenset({"size", "time"})


def output() -> Console:
    """Return the console for results."""
    return _console(is_error=False)


def messages() -> Console:
    """Return the console for progress and errors."""
    return _console(is_error=True)


def print_note(message: str) -> None:
    """Print a message to standard error."""
    messages().print(Text(shorten(message, MAX_MESSAGE_WIDTH)))


def print_error(message: str) -> None:
    """Print an error to standard error."""
    line = Text("Error: ", style="bold red")
    messages().print(line.append(shorten(message, MAX_MESSAGE_WIDTH), style="not bold default"))


def print_json(document: Any) -> None:
    """Write a document as one line of JSON to standard output, and flush it."""
    sys.stdout.write(f"{json_line(document)}\n")
    sys.stdout.flush()


def discard_output() -> None:
    """Discard buffered standard output, after its reader has closed the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table, or as a list of fields if the table doesn't fit the console.

    Identifiers are never cut: only the first column, the name, is shortened.
    """
    console = output()
    rows = [[clean(cell) for cell in row] for row in rows]
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    name_width = min(MAX_NAME_WIDTH, console.width - sum(widths[1:]) - GAP * len(widths[1:]))
    if name_width < min(widths[0], MIN_NAME_WIDTH):
        for row in rows:
            print_fields(row[0], list(zip(headers[1:], row[1:], strict=True)))
        return
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for header in headers:
        table.add_column(header, no_wrap=True, justify="right" if header in NUMERIC else "left")
    for row in rows:
        table.add_row(shorten(row[0], name_width), *row[1:])
    console.print(table)


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


def _console(*, is_error: bool) -> Console:
    stream = sys.stderr if is_error else sys.stdout
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=is_terminal,
        width=None if is_terminal else UNLIMITED_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )
