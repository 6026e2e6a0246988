"""Whether rows can be ingested: each key once, and each file one that the server takes.

In come rows; out come the same rows with their lengths, and a sentence for each that can't be.
"""

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

import msgspec

from livepeer_async.ingest.first_lines import FirstLines
from livepeer_async.ingest.rows import BadRow, Refusal, Row
from livepeer_async.models.redaction import show_source
from livepeer_async.tus.limits import LIVEPEER_MAX_LENGTH

# Who may read a file without being its owner.
_ALL_MAY_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def check_rows(
    rows: Iterable[Row | BadRow], *, max_length: int = LIVEPEER_MAX_LENGTH
) -> Iterator[Row | BadRow]:
    """Look for keys that came before, and at each file; bad rows pass through.

    Args:
        rows: those of a manifest.
        max_length: bytes of the longest file that the server takes.
    """
    first_lines = FirstLines()
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            _check_key(row, first_lines)
        except Refusal as refusal:
            yield BadRow(row.place, str(refusal))
            continue
        try:
            yield row if row.is_url else _look_at(row, max_length)
        except Refusal as refusal:
            is_gone = isinstance(refusal.__cause__, FileNotFoundError)
            yield BadRow(row.place, str(refusal), row.key if is_gone else None)


def _check_key(row: Row, first_lines: FirstLines) -> None:
    # A row that is bad for another reason has its key all the same.
    first = first_lines.note(row.key, row.line or 0)
    if first is not None:
        where = f"in line {first}" if first else "before"
        raise Refusal(f"the key {show_source(row.key)!r} stands {where} already; wanted each once")


def _look_at(row: Row, max_length: int) -> Row:
    path = row.source
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "; write / for \\" if "\\" in path else ""
        hint = "; its name begins or ends with a space" if path != path.strip() else hint
        raise Refusal(f"{path!r} can't be read: {reason}{hint}") from error
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise Refusal(f"{path!r} is {what}; wanted a video file")
    if not status.st_size:
        raise Refusal(f"{path!r} is empty; wanted a video file")
    if status.st_size > max_length:
        raise Refusal(f"{path!r} has {status.st_size} bytes; the server takes at most {max_length}")
    may_be_closed = status.st_mode & _ALL_MAY_READ != _ALL_MAY_READ
    if may_be_closed and not os.access(path, os.R_OK):
        raise Refusal(f"{path!r} can't be read: Permission denied")
    return measured(row, status)


def measured(row: Row, status: os.stat_result) -> Row:
    """Give a row with what a look at its file has shown."""
    return msgspec.structs.replace(row, length=status.st_size, modified_ns=status.st_mtime_ns)
