"""Rows of a CSV file with a header, as spreadsheets write it.

Pure. A cell of a text field is used as it is; other cells are parsed as JSON (`true`,
`{"type": "jwt"}`), but a playback policy may be a type (`jwt`). A blank cell is an absent field,
and so is a missing one at the end of a row. Quoted cells may contain line breaks. A first line such
as `sep=;` names the delimiter. The title of the table may stand in a line above the header.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice

import msgspec

from livepeer_async.api.arguments import shorten_name
from livepeer_async.deferred import deferred_pattern
from livepeer_async.ingest.fields import (
    COLUMNS,
    SOURCES,
    explain_unknown,
    find_meaning,
)
from livepeer_async.ingest.lines import END_MARK, MAX_LINE, Fields, Line, check_line
from livepeer_async.ingest.rows import RowError, is_video

DELIMITERS = ",;\t"
# Lines between a title and the header.
MAX_TITLE_LINES = 10
# What a line of blank cells may consist of, besides invisible characters.
_EMPTY_CELLS = str.maketrans("", "", f'{DELIMITERS}"')
_TEXT_FIELDS = frozenset({*SOURCES, "key", "name"})
# Spreadsheets write them in capitals, and in their language: also in German, French, Spanish,
# Italian, Portuguese, Dutch and Polish.
_BOOLEANS = {
    **dict.fromkeys(
        ("true", "wahr", "vrai", "verdadero", "vero", "verdadeiro", "waar", "prawda"), True
    ),
    **dict.fromkeys(("false", "falsch", "faux", "falso", "onwaar", "fałsz"), False),
}
# The types of a playback policy that need no other field.
_POLICY_TYPES = frozenset({"public", "jwt"})
# Parts of csv's messages, and their meaning in a manifest.
_CSV_ERRORS = {
    "new-line character": "a carriage return stands alone; save the file with line feeds",
    "unexpected end of data": "a quoted cell is never closed, which hides all rows after it",
    "field larger than field limit": "a cell is longer than {limit} characters",
}

# Excel's line for the delimiter, perhaps quoted, or padded with delimiters when it was saved again.
_DELIMITER_LINE = deferred_pattern(r"""\s*"?\s*sep=(\\t|[^\w" \r])?"?[,;\s]*""", re.IGNORECASE)
# Not whitespace for `str.strip`: byte order mark, zero-width spaces, DOS's mark for the end.
_INVISIBLE = str.maketrans("", "", f"\ufeff\u200b\u2060{END_MARK}")
# A spreadsheet whose language has a decimal comma.
_DECIMAL_COMMA = deferred_pattern(r"-?\d+,\d+")

CsvRecord = tuple[int, list[str] | RowError, int]
"""The first line of a record, its cells or why it can't be used, and its row in a spreadsheet."""


def read_csv(lines: Iterator[Line]) -> Iterator[Fields]:
    """Yield the fields of each row; blank rows are skipped.

    A header that can't be used ends the file, because no row could be read.
    """
    columns: list[str] | None = None
    for number, cells, row in _read_records(lines):
        try:
            if columns is None:
                columns = read_header(_checked(cells))
                continue
            fields = read_cells(columns, _checked(cells))
        except RowError as error:
            yield number, error, row
            if columns is None:
                return
        else:
            if fields is not None:
                yield number, fields, row


def _read_records(lines: Iterator[Line]) -> Iterator[CsvRecord]:
    """Yield the header and all records after it."""
    wanted, row, first = None, 0, next(lines, None)
    # Excel hides this line; blank rows before the header count as rows.
    if first is not None and (named := _DELIMITER_LINE.fullmatch(first[1] or "")) is not None:
        wanted, first = named[1], next(lines, None)
    while first is not None and _is_blank_line(first[1]):
        row, first = row + 1, next(lines, None)
    if first is None:
        return
    ahead = [first]
    for line in islice(lines, MAX_TITLE_LINES):
        ahead.append(line)
        if not _is_blank_line(line[1]):
            break
    # Numbers writes the name of the table.
    if _is_title(first[1] or "", ahead[-1][1] or "", wanted):
        row, ahead = row + len(ahead) - 1, ahead[-1:]
    header = ahead[0][1] or ""
    delimiter = detect_delimiter(header, wanted)
    records = CsvReader(chain(ahead, lines), delimiter, row=row)
    has_paths_only = _normalize(_trim(header)) == "path"
    yield from map(partial(_join_cells, delimiter), records) if has_paths_only else records


class CsvReader:
    """Records of a CSV file; a bad record doesn't end the file.

    Args:
        lines: the lines of the file.
        delimiter: the character between cells.
        row: rows before the first one.
    """

    def __init__(self, lines: Iterator[Line], delimiter: str, *, row: int = 0) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._row = row
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
            self._row += 1
            if cells or self._fault:
                yield self._first, self._fault or cells, self._row

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


def detect_delimiter(header: str, wanted: str | None = None) -> str:
    """Return the delimiter of a header; names of columns contain none.

    Args:
        header: the line of the header.
        wanted: the delimiter that the file names; it is used unless only others are in the header.
    """
    if wanted is not None:
        wanted = wanted.replace("\\t", "\t")
        if wanted in header or not any(delimiter in header for delimiter in DELIMITERS):
            return wanted
    return max(DELIMITERS, key=header.count)


def read_header(cells: Sequence[str]) -> list[str]:
    """Return the names of the columns, "" for columns without a name.

    Raises:
        RowError: a name is unknown or repeated, or no column names a source.
    """
    columns: list[str] = []
    unknown, repeated = list[str](), list[str]()
    for cell in cells:
        name = _trim(cell)
        column = _COLUMNS.get(_normalize(name)) if name else ""
        if column is None:
            unknown.append(name)
        elif column and column in columns:
            repeated.append(name)
        columns.append(column or "")
    faults = [_explain_unknown(unknown)] if unknown else []
    faults += [f"the column {name} appears twice" for name in repeated]
    meant = {field for name in unknown for field in find_meaning(name)}
    if not set(SOURCES) & {*columns, *meant}:
        faults.append("the header has none of the columns path, url and source")
    if faults:
        raise RowError(f"{'; '.join(faults)} (no row can be read)")
    return columns


def read_cells(columns: Sequence[str], cells: Sequence[str]) -> dict[str, object] | None:
    """Return the fields of a row, or `None` if all cells are blank.

    Raises:
        RowError: a cell has no named column, or isn't JSON although its field isn't text.
    """
    fields: dict[str, object] = {}
    for index, cell in enumerate(cells):
        if _is_blank(cell):
            continue
        if index >= len(columns):
            raise RowError(f"the row has {len(cells)} cells; the header has {len(columns)}")
        if not columns[index]:
            raise RowError(f"cell {index + 1} isn't blank, but column {index + 1} has no name")
        fields[columns[index]] = read_cell(columns[index], cell)
    return fields or None


def read_cell(column: str, cell: str) -> object:
    """Return the JSON value of a field that is written as text.

    Raises:
        RowError: it isn't JSON although its field isn't text.
    """
    if column in _TEXT_FIELDS or (column == "creatorId" and not cell.lstrip().startswith("{")):
        return cell
    word = _trim(cell)
    if column == "playbackPolicy" and word.lower() in _POLICY_TYPES:
        return {"type": word.lower()}
    if word.lower() in _BOOLEANS:
        return _BOOLEANS[word.lower()]
    if _DECIMAL_COMMA.fullmatch(word):
        word = word.replace(",", ".")
    try:
        return msgspec.json.decode(word)
    # The cell may contain a key, so the message doesn't show it.
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        example = _EXAMPLES.get(column, "true")
        raise RowError(f"{column} isn't JSON; wanted a value such as {example}") from error


def _join_cells(delimiter: str, record: CsvRecord) -> CsvRecord:
    """Return the record of a table with one column, in which a path may contain the delimiter.

    Spreadsheets quote a comma only if it is their delimiter, which such a header doesn't show.
    """
    number, cells, row = record
    if isinstance(cells, RowError) or sum(not _is_blank(cell) for cell in cells) <= 1:
        return record
    return number, [delimiter.join(cells).rstrip(delimiter)], row


def _is_title(line: str, header: str, wanted: str | None) -> bool:
    """Whether a line has one cell, which names no column, and a later line is a header."""
    delimiter = detect_delimiter(header, wanted)
    try:
        cells, names = (_split(text, delimiter) for text in (line, header))
        title = [_trim(cell) for cell in cells if not _is_blank(cell)]
        if len(title) != 1 or _normalize(title[0]) in _COLUMNS:
            return False
        read_header(names)
    except (csv.Error, RowError):
        return False
    return True


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), list[str]())


def _checked(cells: list[str] | RowError) -> list[str]:
    if isinstance(cells, RowError):
        raise cells
    return cells


def _is_blank_line(text: str | None) -> bool:
    return text is not None and _is_blank(text.translate(_EMPTY_CELLS))


def _is_blank(cell: str) -> bool:
    return not cell or not _trim(cell)


def _trim(cell: str) -> str:
    """Return a cell without what can't be seen at its ends."""
    return cell.translate(_INVISIBLE).strip()


def _normalize(name: str) -> str:
    """Return a name without the differences between spreadsheets: `Creator ID`, `creator_id`."""
    # `split` also removes non-breaking spaces.
    return "".join(name.split()).replace("_", "").lower()


def _explain_unknown(names: Sequence[str]) -> str:
    video = next(filter(is_video, names), None)
    if video is not None:
        return f"found {shorten_name(video)!r} instead of a header such as `path,name`"
    return explain_unknown("column", names)


_COLUMNS = {_normalize(name): column for name, column in COLUMNS.items()}
_EXAMPLES = {
    "playbackPolicy": 'public, jwt or {"type": "jwt"}',
    "profiles": '[{"name": "720p", "bitrate": 3000000}]',
    "storage": '{"ipfs": true}',
    "encryption": '{"encryptedKey": "..."}',
    "creatorId": '{"value": "user-1"}',
    "targetSegmentSizeSecs": "2",
}
