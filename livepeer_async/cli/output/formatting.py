"""Formats names, sizes, rates and times for one line of a screen.

Names come from others: control characters are removed and long names shortened. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil

from rich.cells import cell_len, get_character_cell_size

# A sentence with a path of 4,096 bytes in it must not fill the screen.
LONGEST_SENTENCE = 600
# Combining marks take no cell, so a width alone doesn't bound a text.
_CHARACTERS_PER_CELL = 4
_KIB = 1024
_MINUTE = 60
_HOUR = 3600


def clean(text: str) -> str:
    """Take out of a text what could move the cursor, change colours or turn the direction.

    Space of any kind becomes a space, other characters without a shape become `�`. Invisible
    formatting, the joiners inside of emoji included, is dropped: terminals disagree on its width.
    """
    return "".join(map(_clean_character, text))


def shorten(text: str, width: int, *, end: int | None = None) -> str:
    """Clean a text, and leave out of it what makes it wider than `width` cells.

    Args:
        text: the text.
        width: cells.
        end: cells that are kept of its end; by default a third.
    """
    line = clean(text)
    if cell_len(line) <= width and len(line) <= _CHARACTERS_PER_CELL * width:
        return line
    tail = (width - 1) // 3 if end is None else min(end, width - 1)
    return f"{_fit(line, width - 1 - tail)}…{_fit(line[::-1], tail)[::-1]}"


def join_fitting(parts: Sequence[str], width: int) -> str:
    """Join as many parts as fit into `width` cells, the most needed of which comes first."""
    line = shorten(parts[0], width)
    for part in parts[1:]:
        if cell_len(f"{line}, {part}") > width:
            break
        line = f"{line}, {part}"
    return line


def join_whole(first: str, last: str, width: int) -> str:
    """Join two parts; where they are too wide together it is the first that is shortened."""
    room = width - cell_len(f"; {last}")
    return shorten(f"{shorten(first, max(room, width // 2))}; {last}", width)


def show_size(count: int) -> str:
    """Show a number of bytes in binary units."""
    unit, size = _unit_for(count)
    return f"{count / size:.{0 if size == 1 else 1}f} {unit}"


def show_part(count: int, length: int, *, between: str = "/") -> str:
    """Show how many of so many bytes there are, in one unit."""
    unit, size = _unit_for(length)
    decimals = 0 if size == 1 else 1
    return f"{count / size:.{decimals}f}{between}{length / size:.{decimals}f} {unit}"


def show_seconds(seconds: float) -> str:
    """Show a time that has passed."""
    return f"{seconds:.1f} s" if seconds < _MINUTE - 0.05 else show_clock(seconds)


def show_clock(seconds: float) -> str:
    """Show a time as minutes and seconds, with hours where there are any."""
    whole = round(seconds)
    minutes = f"{whole % _HOUR // _MINUTE:02}:{whole % _MINUTE:02}"
    return f"{whole // _HOUR}:{minutes}" if whole >= _HOUR else minutes.removeprefix("0")


def show_countdown(seconds: float) -> str:
    """Show a time to come; it reaches 0 only at its end."""
    whole = ceil(seconds)
    return f"{whole} s" if whole < _MINUTE else show_clock(whole)


def show_time(seconds: float) -> str:
    """Show a moment in local time; `seconds` count since 1970."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "-"


def show_percent(part: float) -> str:
    """Show a part of 1; 100 % only where nothing is left."""
    return f"{int(part * 100)} %"


def count(number: int, noun: str) -> str:
    """Put a number before a noun that forms its plural with an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _unit_for(count: int) -> tuple[str, int]:
    size = 1
    for unit in ("B", "KiB", "MiB", "GiB"):
        # Rounded to one decimal, 1,023.95 would read as 1024.0.
        if count / size < _KIB - 0.05:
            return unit, size
        size *= _KIB
    return "TiB", size


def _clean_character(character: str) -> str:
    if character.isspace():
        return " "
    is_selector = "\ufe00" <= character <= "\ufe0f"
    if is_selector or unicodedata.category(character) == "Cf":
        return ""
    return character if character.isprintable() else "�"


def _fit(line: str, width: int) -> str:
    """Take as many characters from the beginning as fit into `width` cells."""
    used = 0
    for index, character in enumerate(line[: _CHARACTERS_PER_CELL * width]):
        used += get_character_cell_size(character)
        if used > width:
            return line[:index]
    return line[: _CHARACTERS_PER_CELL * width]
