"""Rows of a CSV file with a header.

Pure. A cell of a text field is used as it is; other cells are parsed as JSON (`true`,
`{"type": "jwt"}`). An empty cell is an absent field. Quoted cells may contain line breaks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from livepeer_async.api.arguments import shorten_name, unknown_name
from livepeer_async.ingest.fields import (
    COLUMNS,
    SOURCES,
    distinct_names,
)
from livepeer_async.ingest.lines import MAX_LINE, Fields, Line, check_line
from livepeer_async.ingest.rows import RowError, is_video

DELIMITERS = ",;\t"
_TEXT_FIELDS = frozenset({*SOURCES, "key", "name"})
# Spreadsheets write them in capitals.
_BOOLEANS = {"true": True, "false": False}
# Parts of csv's messages, and their meaning in a manifest.
_CSV_ERRORS = {
    "new-line character": "a carriage return stands alone; save the file with line feeds",
    "unexpected end of data": "a quoted cell is never closed, which hides all rows after it",
    "field larger than field limit": "a cell is longer than {limit} characters",
}

CsvRecord = tuple[int, list[str] | RowError]
"""The first line of a record and its cells, or why it can't be used."""


def read_csv(lines: Iterator[Line]) -> Iterator[Fields]:
    """Yield the fields of each row; blank rows are skipped.

    A header that can't be used ends the file, because no row could be read.
    """
    # Blank lines before the header count as lines.
    first = next((line for line in lines if line[1] is None or line[1].strip()), None)
    if first is None:
        return
    delimiter = detect_delimiter(first[1] or "")
    records = iter(CsvReader(chain([first], lines), delimiter))
    number, header = next(records)
    try:
        columns = read_header(_checked(header))
    except RowError as error:
        yield number, error
        return
    for number, cells in records:
        try:
            fields = read_cells(columns, _checked(cells))
        except RowError as error:
            yield number, error
        else:
            if fields is not None:
                yield number, fields


class CsvReader:
    """Records of a CSV file; a bad record doesn't end the file.

    Args:
        lines: the lines of the file.
        delimiter: the character between cells.
    """

    def __init__(self, lines: Iterator[Line], delimiter: str) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._start_record()

    def __iter__(self) -> Iterator[CsvRecord]:
        reader = csv.reader(iter(self._next_line, None), delimiter=self._delimiter, strict=True)
        while True:
            self._start_record()
            try:
                cells: list[str] | RowError | None = next(reader, None)
            except (csv.Error, RowError) as error:
                cells = RowError(self._explain(error))
            if cells is None:
                return
            if cells or self._fault:
                yield self._first, self._fault or cells

    def _start_record(self) -> None:
        self._first = self._last = self._length = 0
        self._fault: RowError | None = None

    def _next_line(self) -> str | None:
        """Return the next line for csv, and remember why its record can't be used."""
        number, text = next(self._lines, (0, ""))
        if not number:
            return None
        self._first, self._last = self._first or number, number
        try:
            check_line(text)
        except RowError as error:
            # csv still needs the line: its quotes say where the record ends.
            where = f"line {number}: " if number > self._first else ""
            self._fault = self._fault or RowError(f"{where}{error}")
        text = text or ""
        self._length += len(text)
        if self._length > MAX_LINE:
            raise RowError("the row is longer than 1 MiB, or a quoted cell is never closed")
        return f"{text}\n"

    def _explain(self, error: Exception) -> str:
        has_many_lines = self._last > self._first
        reason = str(error)
        for words, meaning in _CSV_ERRORS.items():
            if words in reason:
                reason = meaning.format(limit=csv.field_size_limit())
                if "limit" in words and has_many_lines:
                    reason += ", or its quote is never closed"
        return f"lines {self._first} to {self._last}: {reason}" if has_many_lines else reason


def detect_delimiter(header: str) -> str:
    """Return the most frequent delimiter; names of columns contain none."""
    return max(DELIMITERS, key=header.count)


def read_header(cells: Sequence[str]) -> list[str]:
    """Return the names of the columns.

    Raises:
        RowError: a name is unknown, empty or repeated, or no column names a source.
    """
    names = [cell.strip() for cell in cells]
    columns: list[str] = []
    for index, name in enumerate(names):
        if not name:
            raise RowError(f"column {index + 1} has no name, so no row can be read")
        column = _COLUMNS.get(_normalize(name))
        if column is None:
            raise RowError(f"{_unknown_column(name)} (no row can be read)")
        if column in columns:
            raise RowError(f"the column {name} appears twice, so no row can be read")
        columns.append(column)
    if not set(SOURCES) & set(columns):
        raise RowError("the header has none of the columns path, url and source")
    return columns


def read_cells(columns: Sequence[str], cells: Sequence[str]) -> dict[str, object] | None:
    """Return the fields of a row, or `None` if all cells are blank.

    Raises:
        RowError: there are too many or too few cells, or one isn't JSON although its field isn't
            text.
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


def _checked(cells: list[str] | RowError) -> list[str]:
    if isinstance(cells, RowError):
        raise cells
    return cells


def _read_cell(column: str, cell: str) -> object:
    if column in _TEXT_FIELDS or (column == "creatorId" and not cell.lstrip().startswith("{")):
        return cell
    word = cell.strip().lower()
    if word in _BOOLEANS:
        return _BOOLEANS[word]
    try:
        return msgspec.json.decode(cell)
    # The cell may contain a key, so the message doesn't show it.
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        example = _EXAMPLES.get(column, "true")
        raise RowError(f"{column} isn't JSON; wanted a value such as {example}") from error


def _normalize(name: str) -> str:
    """Return a name without the differences between spreadsheets: `Creator ID`, `creator_id`."""
    return name.strip().replace(" ", "").replace("_", "").lower()


def _unknown_column(name: str) -> str:
    if _normalize(name) in _PATH_SYNONYMS:
        return f"unknown column {name!r}; did you mean path?"
    if is_video(name):
        return f"found {shorten_name(name)!r} instead of a header such as `path,name`"
    return unknown_name("column", name, distinct_names())


_COLUMNS = {_normalize(name): column for name, column in COLUMNS.items()}
_PATH_SYNONYMS = frozenset({"file", "filename", "filepath", "video", "src"})
_EXAMPLES = {
    "playbackPolicy": '{"type": "jwt"}',
    "profiles": '[{"name": "720p", "bitrate": 3000000}]',
    "storage": '{"ipfs": true}',
    "encryption": '{"encryptedKey": "..."}',
    "creatorId": '{"value": "user-1"}',
    "targetSegmentSizeSecs": "2",
}
