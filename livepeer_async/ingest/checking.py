"""A manifest looked through before anything starts, and read again while rows run.

In comes a manifest; out come values, in pieces that worker threads make of it: reading a folder or
a file may take its time. Memory is that of one piece, and of the keys' digests while they are
compared.
"""

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH116

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import anyio.to_thread

from livepeer_async.ingest.check import check_rows, measured
from livepeer_async.ingest.events import Checked
from livepeer_async.ingest.manifest import Manifest
from livepeer_async.ingest.rows import BadRow, Row
from livepeer_async.tus.limits import LIVEPEER_MAX_LENGTH

T = TypeVar("T")

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
    rows = bad = length = urls = 0
    async for piece in _pieces(check_rows(manifest, max_length=max_length), PIECE):
        gone = [row.key for row in piece if isinstance(row, BadRow) and row.key is not None]
        finished = await find_finished(gone) if gone and find_finished else ()
        for row in piece:
            if isinstance(row, BadRow) and row.key not in finished:
                bad += 1
                yield row
                continue
            rows += 1
            if isinstance(row, Row):
                urls += row.is_url
                length += row.length or 0
    yield Checked(rows=rows, bad=bad, length=length, urls=urls, skipped=manifest.skipped)


async def read_again(manifest: Manifest) -> AsyncGenerator[list[Row | BadRow], None]:
    """Read a manifest that was checked, in batches, with what its files look like at that time."""
    async for batch in _pieces(map(_measure, manifest), BATCH):
        yield batch


async def _pieces(items: Iterable[T], size: int) -> AsyncGenerator[list[T], None]:
    iterator = iter(items)
    while piece := await anyio.to_thread.run_sync(_take, iterator, size):
        yield piece


def _take(iterator: Iterator[T], size: int) -> list[T]:
    return list(islice(iterator, size))


def _measure(row: Row | BadRow) -> Row | BadRow:
    """Look at the file of a row; what can't be looked at is left to the upload, which says why."""
    if isinstance(row, BadRow) or row.is_url or row.modified_ns is not None:
        return row
    try:
        return measured(row, os.stat(row.source))
    except (OSError, ValueError):
        return row
