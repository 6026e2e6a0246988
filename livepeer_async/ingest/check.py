"""Checks rows before they run: unique keys, readable files, accepted lengths.

Yields the rows with their lengths, and an error for each row that can't be ingested.
"""

from __future__ import annotations

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH116
import os
import stat
from array import array

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH116
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterable, Iterator
from itertools import islice

import anyio.to_thread

from livepeer_async.ingest.events import Checked
from livepeer_async.ingest.files import measured
from livepeer_async.ingest.manifest import Manifest
from livepeer_async.ingest.rows import BadRow, Row, RowError
from livepeer_async.redaction import show_source
from livepeer_async.tus.limits import LIVEPEER_MAX_LENGTH

# Who may read a file without being its owner.
_ALL_MAY_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_FREE = 0
_FIRST_SIZE = 1024
# Rows that a thread looks at before the loop hears of them: 1,000 take about 15 ms.
PIECE = 1000
# Rows that are read ahead of those that run.
BATCH = 256


def check_rows(
    rows: Iterable[Row | BadRow], *, max_length: int = LIVEPEER_MAX_LENGTH
) -> Iterator[Row | BadRow]:
    """Look for keys that came before, and at each file; bad rows pass through.

    Args:
        rows: those of a manifest.
        max_length: bytes of the longest file that the server takes.
    """
    first_lines = KeyIndex()
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            _check_key(row, first_lines)
        except RowError as refusal:
            yield BadRow(row.place, str(refusal))
            continue
        try:
            yield row if row.is_url else _look_at(row, max_length)
        except RowError as refusal:
            is_gone = isinstance(refusal.__cause__, FileNotFoundError)
            yield BadRow(row.place, str(refusal), row.key if is_gone else None)


def _check_key(row: Row, first_lines: KeyIndex) -> None:
    # A row that is bad for another reason has its key all the same.
    first = first_lines.note(row.key, row.line or 0)
    if first is not None:
        where = f"in line {first}" if first else "before"
        raise RowError(f"the key {show_source(row.key)!r} stands {where} already; wanted each once")


def _look_at(row: Row, max_length: int) -> Row:
    path = row.source
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "; write / for \\" if "\\" in path else ""
        hint = "; its name begins or ends with a space" if path != path.strip() else hint
        raise RowError(f"{path!r} can't be read: {reason}{hint}") from error
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise RowError(f"{path!r} is {what}; wanted a video file")
    if not status.st_size:
        raise RowError(f"{path!r} is empty; wanted a video file")
    if status.st_size > max_length:
        raise RowError(
            f"{path!r} has {status.st_size} bytes; the server takes at most {max_length}"
        )
    may_be_closed = status.st_mode & _ALL_MAY_READ != _ALL_MAY_READ
    if may_be_closed and not os.access(path, os.R_OK):
        raise RowError(f"{path!r} can't be read: Permission denied")
    return measured(row, status)


class KeyIndex:
    """An open-addressed table of the keys' hashes and the lines where they came first.

    Hashes have 64 bits: two of 100,000 keys share one in one of four thousand million manifests.
    """

    def __init__(self) -> None:
        self._count = 0
        self._resize(_FIRST_SIZE)

    def note(self, key: str, line: int) -> int | None:
        """Take note of a key; give the line where it stood before, if it did.

        Args:
            key: of a row.
            line: up to 4,294,967,295; 0 where there are no lines.
        """
        digest = hash(key) or 1
        place = self._place_of(digest)
        if self._digests[place] != _FREE:
            return self._lines[place]
        self._digests[place], self._lines[place] = digest, line
        self._count += 1
        if 3 * self._count > 2 * len(self._digests):
            self._grow()
        return None

    def has(self, key: str) -> bool:
        """Whether a key was noted."""
        return self._digests[self._place_of(hash(key) or 1)] != _FREE

    def _place_of(self, digest: int) -> int:
        digests = self._digests
        mask = len(digests) - 1
        place = digest & mask
        while (found := digests[place]) != _FREE and found != digest:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        digests, lines = self._digests, self._lines
        self._resize(2 * len(digests))
        for digest, line in zip(digests, lines, strict=True):
            if digest != _FREE:
                place = self._place_of(digest)
                self._digests[place], self._lines[place] = digest, line

    def _resize(self, size: int) -> None:
        self._digests = array("q", bytes(8 * size))
        self._lines = array("I", bytes(4 * size))


async def check_manifest(
    manifest: Manifest,
    *,
    max_length: int = LIVEPEER_MAX_LENGTH,
    find_finished: Callable[[list[str]], Awaitable[Container[str]]] | None = None,
) -> AsyncGenerator[BadRow | Checked, None]:
    """Look through a manifest and at its files; give the bad rows, and at the end one `Checked`.

    Args:
        manifest: to look through.
        max_length: bytes of the longest file that the server takes.
        find_finished: says which of these keys are done: their files may be gone.

    Raises:
        ConfigurationError: the manifest isn't there any more.
    """
    bad, tally = 0, _Tally()
    checking = iter(check_rows(manifest, max_length=max_length))
    while not tally.is_over:
        piece = await anyio.to_thread.run_sync(tally.take, checking)
        gone = [row.key for row in piece if row.key is not None]
        finished = await find_finished(gone) if gone and find_finished else frozenset[str]()
        for row in piece:
            if row.key is not None and row.key in finished:
                tally.rows += 1
            else:
                bad += 1
                yield row
    yield Checked(
        rows=tally.rows, bad=bad, length=tally.length, urls=tally.urls, skipped=manifest.skipped
    )


async def read_again(manifest: Manifest) -> AsyncGenerator[list[Row | BadRow], None]:
    """Read a manifest that was checked, in batches, with what its files look like at that time."""
    rows = map(_measure, manifest)
    while batch := await anyio.to_thread.run_sync(_take, rows):
        yield batch


class _Tally:
    """What there is in the rows so far; they themselves aren't kept, which would cost time too."""

    def __init__(self) -> None:
        self.rows = self.length = self.urls = 0
        self.is_over = False

    def take(self, rows: Iterator[Row | BadRow]) -> list[BadRow]:
        """Count some rows more; give the bad ones among them."""
        bad: list[BadRow] = []
        self.is_over = True
        for number, row in enumerate(rows, 1):
            if isinstance(row, BadRow):
                bad.append(row)
            else:
                self.rows += 1
                self.urls += row.is_url
                self.length += row.length or 0
            if number == PIECE:
                self.is_over = False
                break
        return bad


def _take(rows: Iterator[Row | BadRow]) -> list[Row | BadRow]:
    return list(islice(rows, BATCH))


def _measure(row: Row | BadRow) -> Row | BadRow:
    """Look at the file of a row; what can't be looked at is left to the upload, which says why."""
    if isinstance(row, BadRow) or row.is_url or row.modified_ns is not None:
        return row
    try:
        return measured(row, os.stat(row.source))
    except (OSError, ValueError):
        return row
