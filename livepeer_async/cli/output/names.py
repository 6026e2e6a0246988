"""Shortens names for columns, and keeps different names different.

Pure. Names in one batch often share their beginning and their end, as the episodes of a series do.
If cutting their middle makes two of them equal, the parts that differ are kept instead.
"""

from __future__ import annotations

import os.path
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, pairwise
from pathlib import Path

from rich.cells import cell_len

from livepeer_async.cli.output.formatting import clean, shorten

ELLIPSIS = "…"
# A combining mark takes no cell, so a width doesn't limit their number.
_MAX_MARKS = 3
# Names that were shown before the current ones.
_MAX_RECENT = 256
_DIGITS = re.compile(r"\d+")
# Characters that are shown of a part that differs, unless it is a number, which is shown whole.
_PART = 2


def shorten_names(names: Iterable[str], width: int) -> dict[str, str]:
    """Clean names and cut them to fit `width` cells; different names stay different.

    Args:
        names: the names that appear together; equal ones count once.
        width: the maximum width in cells.

    Returns:
        The short form of each name.
    """
    tail = width * 3 // 5
    shown = {name: shorten(name, width, tail=tail) for name in names}
    cut = [name for name, text in shown.items() if ELLIPSIS in text]
    groups = _equal_groups(shown)
    if groups and cut:
        elided = _elide_common(cut, width)
        shown.update({name: elided[name] for group in groups for name in group if name in elided})
    numbers = {name: number for number, name in enumerate(shown, 1)}
    for group in _equal_groups(shown):
        for name in group:
            mark = f" #{numbers[name]}"
            rest = shorten(name, width - len(mark), tail=tail) if width > len(mark) + 1 else ""
            shown[name] = f"{rest}{mark}"[-width:]
    return shown


class RecentNames:
    """Short names that don't look like those shown a moment ago."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._width = 0
        self._short: dict[str, str] = {}

    def shorten(self, names: Sequence[str], width: int) -> dict[str, str]:
        """Return short forms of names, among others; they change only if names are added."""
        if width != self._width or any(name not in self._short for name in names):
            earlier = [name for name in self._names if name not in names]
            self._names = [*earlier[-_MAX_RECENT:], *names]
            self._width, self._short = width, shorten_names(self._names, width)
        return self._short


def label_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return a label for each path: its name, or more of the path if another one has that name.

    Args:
        names: a name for each path; absolute paths with one name are told apart by what follows
            their common folder, and others are shown whole.
    """
    labels = dict(names)
    numbers = Counter(names.values())
    for name in (name for name, number in numbers.items() if number > 1):
        paths = [path for path, other in names.items() if other == name]
        absolute = [path for path in paths if Path(path).is_absolute()]
        common = os.path.commonpath(map(os.path.dirname, absolute)) if absolute else ""
        for path in paths:
            labels[path] = os.path.relpath(path, common) if path in absolute else path
    return labels


def _equal_groups(shown: dict[str, str]) -> list[list[str]]:
    """Return the names that are shown alike, in groups."""
    numbers = Counter(shown.values())
    groups: dict[str, list[str]] = {}
    for name, text in shown.items():
        if numbers[text] > 1:
            groups.setdefault(text, []).append(name)
    return list(groups.values())


def _elide_common(names: Sequence[str], width: int) -> dict[str, str]:
    """Shorten names by the parts that they have in common."""
    characters = sorted((_split(name), name) for name in names)
    branches = _find_branches([parts for parts, _ in characters])
    return {
        name: _elide(parts, positions, width)
        for (parts, name), positions in zip(characters, branches, strict=True)
    }


def _split(name: str) -> list[str]:
    """Split a clean name into characters, each with its combining marks."""
    characters: list[str] = []
    for character in clean(name):
        if cell_len(character) or not characters:
            characters.append(character)
        elif len(characters[-1]) <= _MAX_MARKS:
            characters[-1] += character
    return characters


def _find_branches(names: Sequence[Sequence[str]]) -> list[set[int]]:
    """Return for each sorted name the positions of its first differences from others."""
    common = [_count_common(one, other) for one, other in pairwise(names)]
    before = _running_minima(common)
    after = _running_minima(common[::-1])[::-1]
    return [one | other for one, other in zip(before, after, strict=True)]


def _count_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the common beginning."""
    differing = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def _running_minima(numbers: Sequence[int]) -> list[set[int]]:
    """Return for each position the minima of the ranges that end before it."""
    minima: list[int] = []
    sets = [set[int]()]
    for number in numbers:
        while minima and minima[-1] >= number:
            minima.pop()
        minima.append(number)
        sets.append(set(minima))
    return sets


def _elide(characters: Sequence[str], positions: set[int], width: int) -> str:
    """Show the characters at some positions and as much around them as fits."""
    text = "".join(characters)
    numbers = [match.span() for match in _DIGITS.finditer(text)] if text.isascii() else []
    whole: set[int] = set()
    for position in positions:
        spans = (range(*span) for span in numbers if span[0] <= position < span[1])
        whole.update(next(spans, range(position, position + _PART)))
    for wanted in (whole, positions):
        window = _Window(characters, width)
        if window.show(it for it in sorted(wanted) if it < len(characters)):
            window.grow()
            return window.render()
    return ELLIPSIS


class _Window:
    """The shown characters of a name; each run of others is an ellipsis."""

    def __init__(self, characters: Sequence[str], width: int) -> None:
        self._characters = characters
        self._free = width - 1
        self._shown = [False] * len(characters)

    def show(self, positions: Iterable[int]) -> bool:
        """Show characters; return whether all of them fit."""
        return all(self._shown[it] or self._show(it) for it in positions)

    def grow(self) -> None:
        """Show more of the end and of the beginning until nothing fits."""
        last = len(self._characters) - 1
        ends = {"tail": iter(range(last, -1, -1)), "head": iter(range(last + 1))}
        for end in cycle(("tail", "head", "tail", "head", "tail")):
            if not ends:
                return
            if end in ends:
                position = next((it for it in ends[end] if not self._shown[it]), None)
                if position is None or not self._show(position):
                    del ends[end]

    def render(self) -> str:
        """Return the shown characters, with an ellipsis for each run of others."""
        text: list[str] = []
        for character, is_shown in zip(self._characters, self._shown, strict=True):
            if is_shown:
                text.append(character)
            elif not text or text[-1] != ELLIPSIS:
                text.append(ELLIPSIS)
        return "".join(text)

    def _show(self, position: int) -> bool:
        """Show a character if it fits; it may begin, shift, split or close a run of others."""
        gaps = [not self._is_shown(position + step) for step in (-1, 1)]
        cost = cell_len(self._characters[position]) + sum(gaps) - 1
        if cost > self._free:
            return False
        self._free -= cost
        self._shown[position] = True
        return True

    def _is_shown(self, position: int) -> bool:
        """Whether a position needs no ellipsis."""
        return not 0 <= position < len(self._shown) or self._shown[position]
