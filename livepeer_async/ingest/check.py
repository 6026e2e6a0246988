"""Checks a manifest before its rows run: unique keys, readable files, accepted lengths."""

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import anyio.to_thread
import msgspec

from livepeer_async.ingest.events import Checked
from livepeer_async.ingest.files import with_file_status
from livepeer_async.ingest.manifest import RowSource
from livepeer_async.ingest.rows import (
    BadRow,
    CheckedRow,
    RepeatedRow,
    Row,
    RowError,
    add_sheet_row,
)
from livepeer_async.ingest.unsupported import probe_rows
from livepeer_async.probing.probe import Probe, as_probe
from livepeer_async.redaction import show_source
from livepeer_async.sources.source import source_key
from livepeer_async.tus.limits import LIVEPEER_MAX_LENGTH

AnyRow = TypeVar("AnyRow", bound=CheckedRow)

# Rows that a worker thread checks at a time; 1,000 take about 15 ms.
CHECK_BATCH = 1000
# The same, if their files are probed, which takes milliseconds for each.
PROBE_BATCH = 64
# Rows that are read ahead of those that run.
RUN_BATCH = 256
_HASH_LIMIT = 2**60
_READABLE_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def check_rows(
    rows: Iterable[Row | BadRow], *, max_length: int = LIVEPEER_MAX_LENGTH
) -> Iterator[CheckedRow]:
    """Check rows for repeated keys and unusable files; add the lengths of the files.

    A key may be repeated with the same source and the same fields, which is one upload.

    Args:
        rows: the rows of a manifest; bad rows are passed through.
        max_length: bytes of the longest file that the server accepts.
    """
    # Hashes instead of keys: 120 bytes a row, and 220 with keys of 100 characters. Two of 100,000
    # keys have the same 64-bit hash in one of 4e9 manifests.
    first_rows: dict[int, int] = {}
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        # A row that is bad for another reason still occupies its key.
        digest = hash(row.key)
        content = _hash_content(row)
        if digest in first_rows:
            first_line, first_content = divmod(first_rows[digest], _HASH_LIMIT)
            if content == first_content:
                yield RepeatedRow(row.location, first_line or None)
            else:
                yield BadRow(row.location, _repeated_key(row, first_line))
            continue
        # As one number, which takes less memory than a tuple.
        first_rows[digest] = (row.line or 0) * _HASH_LIMIT + content
        try:
            yield row if row.is_url else _check_file(row, max_length)
        except RowError as error:
            is_missing = isinstance(error.__cause__, FileNotFoundError)
            message = add_sheet_row(str(error), row.line, row.sheet_row)
            yield BadRow(row.location, message, row.key if is_missing else None)


async def check_manifest(
    manifest: RowSource,
    *,
    max_length: int = LIVEPEER_MAX_LENGTH,
    find_finished: Callable[[list[str]], Awaitable[Container[str]]] | None = None,
    probe: Probe | bool = False,
    on_probed: Callable[[], None] | None = None,
    on_row: Callable[[Row], None] | None = None,
    allow_missing: bool = False,
) -> AsyncGenerator[BadRow | RepeatedRow | Checked, None]:
    """Check a manifest and its files; yield each bad or repeated row, and `Checked` at the end.

    Args:
        manifest: the manifest.
        max_length: bytes of the longest file that the server accepts.
        find_finished: returns those of some keys that an earlier run finished; their files may be
            missing, and aren't probed.
        probe: whether the files are probed too, as for `AsyncLivepeer.upload`.
        on_probed: called after each file that was probed.
        on_row: called with each good row whose file was found.
        allow_missing: whether a row is good if its file is missing, because other machines may
            have it.

    Raises:
        ConfigurationError: the manifest can't be read, or the files can't be probed.
    """
    good = bad = repeated = length = urls = 0
    rules = as_probe(probe)
    rows = iter(check_rows(manifest, max_length=max_length))
    size = CHECK_BATCH if rules is None else PROBE_BATCH
    while batch := await anyio.to_thread.run_sync(_next_batch, rows, size):
        if rules is not None:
            keys = [row.key for row in batch if isinstance(row, Row)]
            finished = await find_finished(keys) if find_finished else ()
            await probe_rows(rules, batch, finished=finished, on_probed=on_probed)
        missing = [row.key for row in batch if isinstance(row, BadRow) and row.key is not None]
        finished = await find_finished(missing) if missing and find_finished else ()
        for row in batch:
            if isinstance(row, Row):
                good += 1
                if on_row is not None:
                    on_row(row)
                urls += row.is_url
                length += row.length or 0
            elif isinstance(row, RepeatedRow):
                repeated += 1
                yield row
            elif row.key is not None and (allow_missing or row.key in finished):
                good += 1
            else:
                bad += 1
                yield row
    yield Checked(
        rows=good, bad=bad, length=length, urls=urls, skipped=manifest.skipped, repeated=repeated
    )


async def read_batches(manifest: RowSource) -> AsyncGenerator[list[Row | BadRow], None]:
    """Read a manifest again after the check, with the current lengths of its files."""
    rows = map(_measure, manifest)
    while batch := await anyio.to_thread.run_sync(_next_batch, rows, RUN_BATCH):
        yield batch


def _hash_content(row: Row) -> int:
    """Return a hash of a row's source and fields: equal rows are one upload."""
    # Most keys are the absolute path.
    source = "" if row.is_url or row.key == row.source else os.path.abspath(row.source)  # noqa: PTH100
    url = row.source if row.is_url else ""
    fields = msgspec.json.encode(row.new_asset) if row.new_asset else b""
    return hash((url, source if source != row.key else "", fields)) % _HASH_LIMIT


def _repeated_key(row: Row, first_line: int) -> str:
    where = f"line {first_line}" if first_line else "an earlier row"
    is_default = row.key == (row.source if row.is_url else source_key(row.source))
    if is_default:
        what = f"URL {show_source(row.source)}" if row.is_url else f"file {row.source!r}"
        message = (
            f"the {what} is in {where} too, with other fields; give each row a key, or drop one"
        )
    else:
        message = f"the key {show_source(row.key)!r} is already used in {where}; wanted another key"
    return add_sheet_row(message, row.line, row.sheet_row)


def _check_file(row: Row, max_length: int) -> Row:
    path = row.source
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "; write / for \\" if "\\" in path else ""
        hint = "; its name begins or ends with a space" if path != path.strip() else hint
        raise RowError(f"{path!r} can't be read: {reason}{hint}") from error
    if not stat.S_ISREG(status.st_mode):
        found = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise RowError(f"{path!r} is {found}; wanted a video file")
    if not status.st_size:
        raise RowError(f"{path!r} is empty; wanted a video file")
    if status.st_size > max_length:
        raise RowError(f"{path!r} has {status.st_size} bytes; the server accepts {max_length}")
    is_readable_by_all = status.st_mode & _READABLE_BY_ALL == _READABLE_BY_ALL
    if not is_readable_by_all and not os.access(path, os.R_OK):
        raise RowError(f"{path!r} can't be read: Permission denied")
    return with_file_status(row, status)


def _next_batch(rows: Iterator[AnyRow], size: int) -> list[AnyRow]:
    return list(islice(rows, size))


def _measure(row: Row | BadRow) -> Row | BadRow:
    """Add the length of a row's file; if that fails, the upload will report why."""
    if isinstance(row, BadRow) or row.is_url or row.modified_ns is not None:
        return row
    try:
        return with_file_status(row, os.stat(row.source))
    except (OSError, ValueError):
        return row
