"""A manifest looked through before anything starts, and read again while rows run.

In comes a manifest; out come values, in pieces that worker threads make of it: reading a folder or
a file may take its time. Memory is that of one piece, and of the keys' digests while they are
compared.
"""

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH116

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterator
from itertools import islice

import anyio.to_thread

from livepeer_async.ingest.check import check_rows, measured
from livepeer_async.ingest.events import Checked
from livepeer_async.ingest.manifest import Manifest
from livepeer_async.ingest.rows import BadRow, Row
from livepeer_async.tus.limits import LIVEPEER_MAX_LENGTH

# Rows that a thread looks at before the loop hears of them: 1,000 take about 15 ms.
PIECE = 1000
# Rows that are read ahead of those that run.
BATCH = 256


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
