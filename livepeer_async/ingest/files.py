"""Finds the videos of a folder or a glob, one by one.

Names are sorted within each folder, and only one folder and its ancestors are held in memory.
Hidden files and folders are skipped. A link to a folder inside the walk isn't followed, because its
target is found anyway.
"""

from __future__ import annotations

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH100, PTH116, PTH118
import os
import stat

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH116
from collections.abc import Callable, Iterator

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH114, PTH118
from functools import lru_cache
from typing import NamedTuple

import msgspec

from livepeer_async.ingest.patterns import Pattern
from livepeer_async.ingest.rows import BadRow, Row, RowError
from livepeer_async.sources.source import source_key

# Rows next to each other share their folder. 100,000 rows with a folder each take 2.1 s to check,
# those with few folders 1.5 s (Python 3.11, one core of two, November 2026).
_FOLDERS_KNOWN = 1024


class _Found(NamedTuple):
    name: str
    is_folder: bool
    is_link: bool
    at: frozenset[int]


class Walk:
    """A walk through a folder.

    Args:
        folder: where it begins; empty for the working directory.
        pattern: what is looked for.
        allow_outside: whether links may lead out of the folder.
        on_skipped: called for each file that isn't taken: it is no video, or no regular file.
    """

    def __init__(
        self,
        folder: str,
        pattern: Pattern,
        *,
        allow_outside: bool,
        on_skipped: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._pattern = pattern
        self._allow_outside = allow_outside
        self._places = PathResolver(folder, allow_outside=allow_outside)
        self._on_skipped = on_skipped
        # Only links can lead into a circle, and only where they may be followed.
        self._entered: set[tuple[int, int]] = set()

    def __iter__(self) -> Iterator[Row | BadRow]:
        """Find what there is."""
        # A stack rather than recursion: folders may be nested deeper than Python's calls.
        pending = [self._look_into(self._folder, self._pattern.start)]
        while pending:
            try:
                found = next(pending[-1], None)
            except OSError as error:
                pending.pop()
                yield BadRow(str(error.filename), f"the folder can't be read: {error.strerror}")
                continue
            if found is None:
                pending.pop()
            elif isinstance(found, Row | BadRow):
                yield found
            else:
                pending.append(self._look_into(*found))

    def _look_into(
        self, folder: str, at: frozenset[int]
    ) -> Iterator[Row | BadRow | tuple[str, frozenset[int]]]:
        """Give the rows of a folder, and the folders in it that are to be walked."""
        if not self._enter(folder):
            return
        for found in self._list(folder, at):
            path = os.path.join(folder, found.name)
            if not found.is_folder:
                yield from self._look_at(path, is_link=found.is_link)
            elif self._allow_outside or not found.is_link:
                yield path, found.at
            elif not self._is_inside(path):
                yield self._outside(path)

    def _enter(self, folder: str) -> bool:
        """Whether a folder wasn't walked yet."""
        if not self._allow_outside:
            return True
        status = os.stat(folder or os.curdir)
        identity = status.st_dev, status.st_ino
        is_new = identity not in self._entered
        self._entered.add(identity)
        return is_new

    def _list(self, folder: str, at: frozenset[int]) -> list[_Found]:
        listed: list[_Found] = []
        with os.scandir(folder or os.curdir) as entries:
            for entry in entries:
                after = self._pattern.step(at, entry.name)
                is_folder = _is_folder(entry)
                if is_folder:
                    is_wanted = self._pattern.goes_on(after)
                else:
                    is_wanted = self._pattern.is_end(after) and self._pattern.takes(entry.name)
                    if not is_wanted:
                        self._on_skipped()
                if is_wanted:
                    listed.append(_Found(entry.name, is_folder, entry.is_symlink(), after))
        listed.sort()
        return listed

    def _look_at(self, path: str, *, is_link: bool) -> Iterator[Row | BadRow]:
        if is_link and not self._is_inside(path):
            yield self._outside(path)
            return
        try:
            status = os.stat(path)
        except OSError as error:
            yield BadRow(path, f"the file can't be read: {error.strerror}")
            return
        if stat.S_ISREG(status.st_mode):
            key = source_key(path) or path
            yield measured(Row(source=path, is_url=False, key=key), status)
        else:
            self._on_skipped()

    def _is_inside(self, path: str) -> bool:
        try:
            self._places.locate(os.path.abspath(path))
        except RowError:
            return False
        return True

    def _outside(self, path: str) -> BadRow:
        return BadRow(
            path,
            f"the link leads to {os.path.realpath(path)!r}, outside of the folder "
            f"{self._folder or os.curdir!r}; wanted a place inside of it, or --allow-outside",
        )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle
        return False


def measured(row: Row, status: os.stat_result) -> Row:
    """Give a row with what a look at its file has shown."""
    return msgspec.structs.replace(row, length=status.st_size, modified_ns=status.st_mtime_ns)


class PathResolver:
    """The folder that paths are relative to.

    Args:
        folder: its path; empty for the working directory.
        allow_outside: whether a path may lead out of it.
    """

    def __init__(self, folder: str, *, allow_outside: bool) -> None:
        self._folder = folder
        self._root = os.path.realpath(folder)
        self._prefix = os.path.join(self._root, "")
        self._allow_outside = allow_outside
        self._real_folder = lru_cache(_FOLDERS_KNOWN)(_real_prefix)

    def locate(self, path: str) -> str:
        """Give a path that can be opened from the working directory.

        Raises:
            Refusal: it leads out of the folder.
        """
        joined = os.path.join(self._folder, path)
        if not self._allow_outside and not self._is_inside(real := self._follow(joined)):
            found = f"{path!r} is {real!r}" if os.path.islink(joined) else repr(path)
            raise RowError(
                f"{found}, outside of the folder {self._folder or os.curdir!r}; "
                "wanted a place inside of it, or --allow-outside"
            )
        return joined

    def _follow(self, path: str) -> str:
        folder, slash, name = path.rpartition("/")
        if name in {"", os.curdir, os.pardir}:
            return os.path.realpath(path)
        real = self._real_folder(folder or slash) + name
        return os.path.realpath(path) if os.path.islink(real) else real

    def _is_inside(self, real: str) -> bool:
        return real == self._root or real.startswith(self._prefix)


def _real_prefix(folder: str) -> str:
    return os.path.join(os.path.realpath(folder), "")
