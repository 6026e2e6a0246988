"""Manifests: a file of JSON lines or CSV, a folder, or a glob, read row by row.

Memory holds one row, or the names in one folder.
"""

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH110, PTH112, PTH113, PTH120, PTH123

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from io import TextIOWrapper
from itertools import count
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Protocol

from msgspec.structs import replace

from livepeer_async.errors import ConfigurationError
from livepeer_async.http.descriptors import open_in_thread
from livepeer_async.ingest.csv_rows import read_csv
from livepeer_async.ingest.fields import read_row
from livepeer_async.ingest.files import PathResolver, find_files, has_magic, split_glob
from livepeer_async.ingest.lines import (
    DECODING_ERRORS,
    HEAD,
    Line,
    detect_encoding,
    read_json_lines,
    read_lines,
)
from livepeer_async.ingest.naming import NameTemplate, RowNaming
from livepeer_async.ingest.rows import BadRow, Row, RowError, add_sheet_row
from livepeer_async.sources.source import source_key

JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json-lines")
TABLE_SUFFIXES = (".csv", ".tsv")
SPREADSHEET_SUFFIXES = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
WANTED = (
    "a manifest is JSON lines (.jsonl, .ndjson), a table with a header (.csv, .tsv), a folder, "
    "or a glob such as 'shows/**/*.mp4'"
)


class RowSource(Protocol):
    """Rows that are read several times; attributes and methods as of `Manifest`."""

    skipped: int

    def __iter__(self) -> Iterator[Row | BadRow]: ...

    def snapshot(self) -> AbstractContextManager[None]:
        """As `Manifest.snapshot`."""
        ...


class Manifest:
    """The rows of a manifest; each iteration reads it again.

    Attributes:
        location: the path or the glob.
        skipped: files in folders that the current or last iteration skipped, because they are
            hidden, not videos by their name, or not regular files.
    """

    def __init__(
        self, location: str, *, allow_outside: bool, name_template: NameTemplate | None = None
    ) -> None:
        self.location = location
        self.skipped = 0
        self._naming = RowNaming(_folder_of(location), name_template)
        self._allow_outside = allow_outside
        self._snapshot: BinaryIO | None = None

    def __iter__(self) -> Iterator[Row | BadRow]:
        """Read row by row.

        Raises:
            ConfigurationError: the manifest can't be read.
        """
        self.skipped = 0
        if os.path.isdir(self.location):
            rows = self._find_files(self.location)
        else:
            rows = self._read_file() if _is_file(self.location) else self._expand_glob()
        return map(self._naming.name_row, rows, count(1))

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Read from a copy of the file within the block, whatever happens to the file.

        Raises:
            ConfigurationError: the file can't be read, or there is no space for a copy.
        """
        if not _is_file(self.location) or os.path.isdir(self.location):
            yield
            return
        with ExitStack() as stack:
            try:
                finding = f"{self.location} can't be copied to a temporary file"
                copy = stack.enter_context(open_in_thread(TemporaryFile, finding))
                with _open_file(self.location) as file:
                    shutil.copyfileobj(file, copy)
            except OSError as error:
                raise ConfigurationError(
                    f"{self.location} can't be copied to a temporary file: {error.strerror}; "
                    "set TMPDIR to a writable folder with enough space"
                ) from error
            self._snapshot = copy
            try:
                yield
            finally:
                self._snapshot = None

    def _find_files(self, folder: str, *parts: str) -> Iterator[Row | BadRow]:
        return find_files(
            folder,
            parts or ("**",),
            allow_outside=self._allow_outside,
            on_skipped=self._count_skipped,
        )

    def _expand_glob(self) -> Iterator[Row | BadRow]:
        is_empty = True
        folder, parts = split_glob(self.location)
        for row in self._find_files(folder, *parts):
            is_empty = False
            yield row
        if is_empty:
            yield BadRow(self.location, "no file matches the glob")

    def _count_skipped(self) -> None:
        self.skipped += 1

    def _read_file(self) -> Iterator[Row | BadRow]:
        path = self.location
        resolver = PathResolver(os.path.dirname(path), allow_outside=self._allow_outside)
        read_fields = read_csv if path.lower().endswith(TABLE_SUFFIXES) else read_json_lines
        for line, fields, sheet_row in read_fields(self._read_lines()):
            try:
                if isinstance(fields, RowError):
                    raise fields
                row = self._build_row(fields, line, resolver)
                yield row if sheet_row == line else replace(row, sheet_row=sheet_row)
            except RowError as error:
                yield BadRow(f"{path}:{line}", add_sheet_row(str(error), line, sheet_row))

    def _build_row(self, fields: dict[str, Any], line: int, resolver: PathResolver) -> Row:
        name_file = self._naming.default_name
        row = read_row(fields, name_file=name_file, manifest=self.location, line=line)
        if row.is_url:
            return row
        source = resolver.resolve(row.source)
        key = row.key if "key" in fields else source_key(source) or source
        return replace(row, source=source, key=key)

    def _read_lines(self) -> Iterator[Line]:
        snapshot = self._snapshot
        opened = _open_file(self.location) if snapshot is None else nullcontext(snapshot)
        with _read_errors(self.location), opened as file:
            encoding = _read_encoding(file, self.location)
            text = TextIOWrapper(file, encoding, errors=DECODING_ERRORS)
            try:
                yield from read_lines(text)
            finally:
                text.detach()


def open_manifest(
    path_or_glob: str | os.PathLike[str],
    *,
    allow_outside: bool = False,
    name_template: str | None = None,
) -> Manifest:
    """Open a manifest; its rows are read when it is iterated.

    Args:
        path_or_glob: a file of JSON lines or CSV, a folder, or a glob.
        allow_outside: whether paths and links may lead out of the manifest's folder.
        name_template: names of the assets, such as `{parent} - {stem}`.

    Raises:
        ConfigurationError: it is none of these, can't be read, or isn't UTF-8 or UTF-16; or the
            template has an unknown field.
    """
    location = os.fspath(path_or_glob)
    template = NameTemplate(name_template) if name_template is not None else None
    if "\0" in location or not location:
        raise ConfigurationError(f"{location!r} isn't a path or a glob; {WANTED}")
    if not os.path.isdir(location):
        if _is_file(location):
            with _read_errors(location), _open_file(location) as file:
                _read_encoding(file, location)
        elif os.path.lexists(location) or not has_magic(location):
            found = "isn't a manifest" if os.path.lexists(location) else "doesn't exist"
            if location.lower().endswith(SPREADSHEET_SUFFIXES):
                found += ", and a spreadsheet must be saved as CSV"
            raise ConfigurationError(f"{location} {found}; {WANTED}")
    return Manifest(location, allow_outside=allow_outside, name_template=template)


def _folder_of(location: str) -> str:
    """Return the folder to which the names of assets are relative."""
    if os.path.isdir(location):
        return location
    is_glob = has_magic(location) and not _is_file(location)
    return split_glob(location)[0] if is_glob else os.path.dirname(location)


def _is_file(location: str) -> bool:
    return location.lower().endswith((*JSONL_SUFFIXES, *TABLE_SUFFIXES))


def _open_file(path: str) -> BinaryIO:
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConfigurationError(f"{path} isn't a regular file; {WANTED}")
    with _read_errors(path):
        return open_in_thread(lambda: open(path, "rb"), f"{path} can't be read")


def _read_encoding(file: BinaryIO, path: str) -> str:
    file.seek(0)
    encoding = detect_encoding(file.read(HEAD), name=path)
    file.seek(0)
    return encoding


@contextmanager
def _read_errors(path: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
