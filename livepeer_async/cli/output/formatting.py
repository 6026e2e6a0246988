"""Formats names, sizes, times and JSON for one line of output.

Names come from file systems and servers: control characters are replaced and long names shortened.
Pure.
"""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from math import ceil
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.filesize import pick_unit_and_suffix

# A message may quote a path of 4,096 bytes; it must not fill the screen.
MAX_MESSAGE_WIDTH = 600
MAX_NAME_WIDTH = 60
# Combining marks take no cell, so a maximum width doesn't limit the length of a text.
_CHARACTERS_PER_CELL = 4
_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"]
_MINUTE = 60
_HOUR = 3600


def clean(text: str) -> str:
    """Remove characters that move the cursor, change colours or reverse the writing direction.

    Whitespace becomes a space, other unprintable characters become `�`. Invisible formatting, such
    as the joiners inside emoji, is dropped because terminals disagree on its width.
    """
    return "".join(map(_clean_character, text))


def shorten(text: str, width: int, *, tail: int | None = None) -> str:
    """Clean a text and cut its middle to fit `width` cells.

    Args:
        text: the text.
        width: the maximum width in cells.
        tail: cells to keep from its end; a third by default.
    """
    line = clean(text)
    if cell_len(line) <= width and len(line) <= _CHARACTERS_PER_CELL * width:
        return line
    tail = (width - 1) // 3 if tail is None else min(tail, width - 1)
    return f"{_truncate(line, width - 1 - tail)}…{_truncate(line[::-1], tail)[::-1]}"


def wrap_words(text: str, width: int) -> str:
    """Break a text between words into lines of at most `width` cells; long words stay whole."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def format_size(size: float) -> str:
    """Format a number of bytes in binary units."""
    # Rounded to one decimal, 1,023.95 would read as 1024.0.
    unit, suffix = pick_unit_and_suffix(int(size + size / 20_000), _UNITS, 1024)
    return f"{size / unit:.{0 if unit == 1 else 1}f} {suffix}"


def format_elapsed(seconds: float) -> str:
    """Format elapsed time."""
    return f"{seconds:.1f} s" if seconds < _MINUTE - 0.05 else format_clock(seconds)


def format_clock(seconds: float) -> str:
    """Format a time as minutes and seconds, with hours if there are any."""
    whole = round(seconds)
    minutes = f"{whole % _HOUR // _MINUTE:02}:{whole % _MINUTE:02}"
    return f"{whole // _HOUR}:{minutes}" if whole >= _HOUR else minutes.removeprefix("0")


def format_countdown(seconds: float) -> str:
    """Format remaining time; it is 0 only when no time is left."""
    whole = ceil(seconds)
    return f"{whole} s" if whole < _MINUTE else format_clock(whole)


def format_timestamp(seconds: float | None) -> str:
    """Format a Unix timestamp in local time; "-" if it is missing or out of range."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
        return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else "-"
    except (ValueError, OverflowError, OSError):
        return "-"


def format_percent(fraction: float) -> str:
    """Format a fraction as a percentage, rounded down: 100 % only if it is complete."""
    return f"{int(fraction * 100)} %"


def pluralize(number: int, noun: str) -> str:
    """Return a number and a noun, with an s unless the number is 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def json_line(document: Any) -> str:
    """Serialize a document as one line of ASCII JSON, which any terminal or log can show."""
    return json.dumps(document)


def escape_surrogates(text: str) -> str:
    r"""Replace lone surrogates, as in file names that aren't UTF-8, by the text `\udcff`.

    Strict JSON parsers reject lone surrogates.
    """
    return text.encode(errors="backslashreplace").decode()


def _clean_character(character: str) -> str:
    if character.isspace():
        return " "
    is_selector = "\ufe00" <= character <= "\ufe0f"
    if is_selector or unicodedata.category(character) == "Cf":
        return ""
    return character if character.isprintable() else "�"


def _truncate(line: str, width: int) -> str:
    """Return the beginning of a line that fits `width` cells."""
    line = line[: _CHARACTERS_PER_CELL * width]
    return line if cell_len(line) <= width else set_cell_size(line, width)
