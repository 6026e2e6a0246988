"""Reads a CSV table with a header: lines in, names and values of each row out.

Cells are text. A cell is parsed as JSON if its field isn't text (`true`, `{"type": "jwt"}`); an
empty cell is absent. Quoted cells may hold line breaks. Pure.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

import msgspec

from livepeer_async.ingest.fields import COLUMNS, SOURCES, distinct_names, unknown_name
from livepeer_async.ingest.lines import MAX_LINE, TOO_LONG, Line
from livepeer_async.ingest.patterns import is_video
from livepeer_async.ingest.rows import RowError

DELIMITERS = ",;\t"
# Of unknown columns: where the header is missing, all are.
MOST_TOLD = 3
_TEXTS = frozenset({*SOURCES, "key", "name"})
# Spreadsheets write them in capitals.
_BOOLEANS = {"true": True, "false": False}
Record = tuple[int, list[str] | RowError]
"""The number of the first line, and the cells, or why there are none."""


class CsvReader:
    """Records of a CSV file, read one by one; a bad one doesn't end them.

    Args:
        lines: of the file; what was consumed before doesn't come back.
        delimiter: between cells.
    """

    def __init__(self, lines: Iterator[Line], delimiter: str) -> None:
        self._feed = _Feed(lines)
        self._reader = csv.reader(self._feed, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[Record]:
        while True:
            self._feed.begin()
            record: list[str] | RowError
            try:
                record = next(self._reader)
            except StopIteration:
                return
            except (csv.Error, RowError) as error:
                record = RowError(self._explain(error))
            # Only to know that the record is bad: its quotes are right all the same.
            if self._feed.fault is not None:
                record = RowError(self._feed.fault)
            if record:
                yield self._feed.first, record

    def _explain(self, error: Exception) -> str:
        first, last = self._feed.first, self._feed.last
        lines = f"lines {first} to {last}: " if last > first else ""
        reason = str(error)
        if "new-line character" in reason:
            reason = "a carriage return stands alone; save the file with line feeds"
        elif "unexpected end of data" in reason:
            reason = "a quoted cell has no end, so that no row of these can be read"
        elif "field larger than field limit" in reason:
            reason = f"a cell is longer than {csv.field_size_limit()} characters"
            reason += ", or its quote has no end" if lines else ""
        return f"{lines}{reason}"


class _Feed:
    """Lines as text for `csv.reader`, with a bound on how many it may take for one record."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._taken = 0
        self.first = self.last = 0
        self.fault: str | None = None

    def begin(self) -> None:
        self._taken = self.first = 0
        self.fault = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, content = next(self._lines)
        self.first, self.last = self.first or number, number
        if content is None:
            raise RowError(TOO_LONG)
        self._taken += len(content)
        if self._taken > MAX_LINE:
            raise RowError("the row is longer than 1 MiB, or the quote of a cell has no end")
        try:
            return content.decode() + "\n"
        except UnicodeDecodeError as error:
            byte, place = content[error.start], error.start + 1
            where = f"byte {byte:#04x} at place {place}"
            self.fault = f"line {number} isn't UTF-8: {where}; save the file as UTF-8"
            return content.decode(errors="replace") + "\n"


def find_delimiter(header: str) -> str:
    """Find what stands between the columns: that which gives the most known names, or is there."""
    return max(DELIMITERS, key=lambda it: (_count_known(header, it), header.count(it)))


def read_header(cells: Sequence[str]) -> list[str]:
    """Read the names of the columns.

    Raises:
        Refusal: one is unknown, missing or there twice, or none names a source.
    """
    names = [cell.strip() for cell in cells]
    unknown = [name for name in names if name and _plain(name) not in _COLUMNS]
    if unknown:
        *first, last = [_unknown_column(name) for name in unknown[:MOST_TOLD]]
        # Which are known is said once.
        said = "; ".join([*(it.partition("; known are ")[0] for it in first), last])
        raise RowError(f"{said} (no row can be read before that is settled)")
    columns: list[str] = []
    for index, name in enumerate(names):
        if not name:
            raise RowError(f"column {index + 1} has no name, so no row can be read")
        column = _COLUMNS[_plain(name)]
        if column in columns:
            raise RowError(f"the column {name} is there twice, so no row can be read")
        columns.append(column)
    if not set(SOURCES) & set(columns):
        raise RowError("the header has none of the columns path, url and source")
    return columns


def read_cells(columns: Sequence[str], cells: Sequence[str]) -> dict[str, object] | None:
    """Give names and values of a row; None for one whose cells are all blank.

    Raises:
        Refusal: a cell too many or too few, or one that isn't JSON where its field isn't text.
    """
    if not "".join(cells).strip():
        return None
    if len(cells) != len(columns):
        noun = "cell" if len(cells) == 1 else "cells"
        raise RowError(f"the row has {len(cells)} {noun}; the header has {len(columns)}")
    return {
        column: _read_cell(column, cell)
        for column, cell in zip(columns, cells, strict=True)
        if cell
    }


def _read_cell(column: str, cell: str) -> object:
    if column in _TEXTS or (column == "creatorId" and not cell.lstrip().startswith("{")):
        return cell
    word = cell.strip().lower()
    if word in _BOOLEANS:
        return _BOOLEANS[word]
    try:
        return msgspec.json.decode(cell)
    # The cell may hold a key: the sentence doesn't show it.
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise RowError(f"{column} isn't JSON; wanted a value such as {_example(column)}") from error


def _example(column: str) -> str:
    examples = {
        "playbackPolicy": '{"type": "jwt"}',
        "profiles": '[{"name": "720p", "bitrate": 3000000}]',
        "storage": '{"ipfs": true}',
        "encryption": '{"encryptedKey": "..."}',
        "creatorId": '{"value": "user-1"}',
        "targetSegmentSizeSecs": "2",
    }
    return examples.get(column, "true")


def _count_known(header: str, delimiter: str) -> int:
    try:
        (names,) = csv.reader([header], delimiter=delimiter, strict=True)
    except (csv.Error, ValueError):
        return 0
    return sum(_plain(name) in _COLUMNS for name in names)


def _plain(name: str) -> str:
    """Take out of a name what spreadsheets write in different ways: `Creator ID`, `creator_id`."""
    return name.strip().replace(" ", "").replace("_", "").lower()


def _unknown_column(name: str) -> str:
    sentence = unknown_name("column", name, distinct_names())
    if _plain(name) in _FILES:
        sentence = f"unknown column {name!r}; did you mean path?"
    elif is_video(name):
        sentence = f"{name!r} stands where the header is wanted, as in `path,name`"
    return sentence


_COLUMNS = {_plain(name): column for name, column in COLUMNS.items()}
_FILES = frozenset({"file", "filename", "filepath", "video", "src"})
