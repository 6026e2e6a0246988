"""A manifest of any kind, read row by row.

In comes a path or a glob; out come rows, and a sentence for each that can't be used. Memory is that
of one row, or of the names in one folder. Nothing is asked of a file but where its path leads.
"""

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH110, PTH112, PTH113, PTH120, PTH123

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from tempfile import TemporaryFile
from typing import BinaryIO

import msgspec

from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.csv_rows import CsvReader, find_delimiter, read_cells, read_header
from livepeer_async.ingest.fields import read_row
from livepeer_async.ingest.files import PathResolver, Walk
from livepeer_async.ingest.lines import (
    HEAD,
    Line,
    as_text,
    as_utf8,
    find_encoding,
    read_object,
    split_lines,
)
from livepeer_async.ingest.patterns import EVERYTHING, Pattern, has_magic, split_pattern
from livepeer_async.ingest.rows import BadRow, Row, RowError
from livepeer_async.sources.source import source_key, source_name

JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json-lines")
TABLE_SUFFIXES = (".csv", ".tsv")
WANTED = (
    "a manifest is JSON lines (.jsonl, .ndjson), a table with a header (.csv, .tsv), a folder, "
    "or a glob such as 'shows/**/*.mp4'"
)
_PIECE = 256 * 1024


class Manifest:
    """The rows of a manifest; each iteration reads it anew.

    Attributes:
        place: the path or the glob.
        skipped: files that the last iteration, so far, has met in folders and not taken, because
            they are hidden, no videos by their names, or no regular files.
    """

    def __init__(self, place: str, *, allow_outside: bool) -> None:
        self.place = place
        self.skipped = 0
        self._allow_outside = allow_outside
        self._copy: BinaryIO | None = None

    def __iter__(self) -> Iterator[Row | BadRow]:
        """Read row by row.

        Raises:
            ConfigurationError: the manifest isn't there any more.
        """
        self.skipped = 0
        if os.path.isdir(self.place):
            return self._walk(self.place, EVERYTHING)
        if _is_file_manifest(self.place):
            return self._read()
        return self._expand()

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep what the file says today, whatever is done to it in the block.

        Raises:
            ConfigurationError: it can't be read, or there is no room for a copy.
        """
        if not _is_file_manifest(self.place) or os.path.isdir(self.place):
            yield
            return
        with _copy_of(self.place) as copy:
            with _open(self.place) as file:
                try:
                    shutil.copyfileobj(file, copy, _PIECE)
                except OSError as error:
                    said = f"{self.place} can't be copied: {error.strerror}"
                    raise ConfigurationError(said) from error
            self._copy = copy
            try:
                yield
            finally:
                self._copy = None

    def _expand(self) -> Iterator[Row | BadRow]:
        is_empty = True
        for row in self._walk(*split_pattern(self.place)):
            is_empty = False
            yield row
        if is_empty:
            yield BadRow(self.place, "nothing is there that fits")

    def _walk(self, folder: str, pattern: Pattern) -> Iterator[Row | BadRow]:
        yield from Walk(folder, pattern, allow_outside=self._allow_outside, on_skipped=self._skip)

    def _skip(self) -> None:
        self.skipped += 1

    def _read(self) -> Iterator[Row | BadRow]:
        reader = _Reader(self.place, allow_outside=self._allow_outside)
        is_table = self.place.lower().endswith(TABLE_SUFFIXES)
        with _open(self.place) if self._copy is None else nullcontext(self._copy) as file:
            file.seek(0)
            lines = _lines_of(file, self.place)
            yield from reader.read_table(lines) if is_table else reader.read_objects(lines)


def open_manifest(path_or_glob: str | os.PathLike[str], *, allow_outside: bool = False) -> Manifest:
    """Find out what kind of manifest it is; its rows are read as they are iterated.

    Args:
        path_or_glob: a file of JSON lines or CSV, a folder, or a glob.
        allow_outside: whether paths and links may lead out of the manifest's folder.

    Raises:
        ConfigurationError: it is nothing of that, can't be read, or isn't UTF-8 or UTF-16.
    """
    place = os.fspath(path_or_glob)
    if "\0" in place or not place:
        raise ConfigurationError(f"{place!r} names no manifest; {WANTED}")
    if not os.path.isdir(place):
        if _is_file_manifest(place):
            with _open(place) as file:
                find_encoding(_read_piece(file, HEAD, place), name=place)
        elif os.path.lexists(place) or not has_magic(place):
            found = "is no manifest" if os.path.lexists(place) else "isn't there"
            raise ConfigurationError(f"{place} {found}; {WANTED}")
    return Manifest(place, allow_outside=allow_outside)


class _Reader:
    """Makes rows of the lines of a manifest."""

    def __init__(self, manifest: str, *, allow_outside: bool) -> None:
        self._manifest = manifest
        self._places = PathResolver(os.path.dirname(manifest), allow_outside=allow_outside)

    def read_objects(self, lines: Iterator[Line]) -> Iterator[Row | BadRow]:
        for number, content in lines:
            try:
                fields = read_object(content)
                if fields is not None:
                    yield self._place(fields, number)
            except RowError as refusal:
                yield self._refused(number, refusal)

    def read_table(self, lines: Iterator[Line]) -> Iterator[Row | BadRow]:
        # Blank lines before the header count as lines, no more.
        filled = (line for line in lines if line[1] is None or line[1].strip())
        number, content = next(filled, (0, b""))
        if not number:
            return
        try:
            header = as_text(content)
            delimiter = find_delimiter(header)
            columns = read_header(_only_record(header, number, delimiter))
        except RowError as refusal:
            yield self._refused(number, refusal)
            return
        for first, cells in CsvReader(lines, delimiter):
            try:
                if isinstance(cells, RowError):
                    raise cells
                fields = read_cells(columns, cells)
                if fields is not None:
                    yield self._place(fields, first)
            except RowError as refusal:
                yield self._refused(first, refusal)

    def _place(self, fields: dict[str, object], number: int) -> Row:
        row = read_row(fields, name_file=source_name, manifest=self._manifest, line=number)
        if row.is_url:
            return row
        source = self._places.locate(row.source)
        key = row.key if "key" in fields else source_key(source) or source
        return msgspec.structs.replace(row, source=source, key=key)

    def _refused(self, number: int, refusal: RowError) -> BadRow:
        return BadRow(f"{self._manifest}:{number}", str(refusal))


def _copy_of(place: str) -> BinaryIO:
    try:
        return TemporaryFile(buffering=0)
    except OSError as error:
        raise ConfigurationError(
            f"{place} can't be copied, to be read: there is no folder for temporary files "
            "that can be written to; name one in TMPDIR"
        ) from error


def _is_file_manifest(place: str) -> bool:
    return place.lower().endswith((*JSONL_SUFFIXES, *TABLE_SUFFIXES))


def _open(place: str) -> BinaryIO:
    if os.path.exists(place) and not os.path.isfile(place):
        raise ConfigurationError(f"{place} is no regular file; {WANTED}")
    try:
        return open(place, "rb", buffering=0)
    except OSError as error:
        raise ConfigurationError(f"{place} can't be read: {error.strerror}") from error


def _lines_of(file: BinaryIO, place: str) -> Iterator[Line]:
    encoding, mark = find_encoding(_read_piece(file, HEAD, place), name=place)
    file.seek(mark)
    pieces = iter(lambda: _read_piece(file, _PIECE, place), b"")
    return split_lines(as_utf8(pieces, encoding))


def _read_piece(file: BinaryIO, size: int, place: str) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise ConfigurationError(f"{place} can't be read: {error.strerror}") from error


def _only_record(header: str, number: int, delimiter: str) -> list[str]:
    line = number, header.encode()
    _, cells = next(iter(CsvReader(iter([line]), delimiter)))
    if isinstance(cells, RowError):
        raise cells
    return cells
