"""Names of assets: the path of a file, or a template such as `{parent} - {stem}`.

A template has fields in braces and is otherwise used as it is; `{{` and `}}` are braces. It can't
reach anything but the fields.
"""

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH100, PTH117, PTH118, PTH119, PTH120

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from string import Formatter
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.rows import BadRow, Row, RowError
from livepeer_async.models import CreatorId, NewAsset
from livepeer_async.redaction import show_source
from livepeer_async.sources.source import source_name

FILE_FIELDS = ("name", "stem", "path", "parent", "row")
ROW_FIELDS = (*FILE_FIELDS, "key", "creatorId")
# Digits to which a row number is padded with zeros.
_PADDING = deferred_pattern(r"0?[1-9]d?")


class NameTemplate(Struct, frozen=True):
    """A template for names of assets.

    Attributes:
        text: the template.
        known: the fields that it may have.

    Raises:
        ConfigurationError: it has an unknown field, none, or anything but fields in braces.
    """

    text: str
    known: Sequence[str] = ROW_FIELDS

    def __post_init__(self) -> None:
        wanted = f"wanted one or more of {', '.join(f'{{{name}}}' for name in self.known)}"
        found = "has no field"
        try:
            for _, field, padding, conversion in Formatter().parse(self.text):
                if field is None:
                    continue
                found = ""
                if field not in self.known:
                    found = f"has the unknown field {{{field}}}"
                    break
                if conversion or (padding and not (field == "row" and _is_padding(padding))):
                    found = f"formats {{{field}}}, and only {{row:03}} can be formatted"
                    break
        except ValueError as error:
            found = f"can't be read: {error}"
        if found:
            raise ConfigurationError(f"the name template {self.text!r} {found}; {wanted}")

    def format(self, fields: Mapping[str, object]) -> str:
        """Return a name.

        Raises:
            RowError: there is no value for a field.
        """
        for _, field, _, _ in Formatter().parse(self.text):
            if field is not None and not fields.get(field):
                raise RowError(f"the name template needs {field}, which the row lacks")
        return self.text.format_map(fields)


class RowNaming:
    """Names of the assets of a manifest.

    Without a template, the name that a row doesn't give is the file's path relative to the folder,
    which tells files of one name apart.

    Args:
        folder: of the manifest; empty for the working directory.
        template: of all names.
    """

    def __init__(self, folder: str, template: NameTemplate | None) -> None:
        self._folder = folder
        self._prefix = os.path.join(folder, "")
        self._template = template

    def default_name(self, path: str) -> str:
        """Return the name of a file; its path is relative to the folder."""
        if self._template is not None:
            return source_name(path)
        return self._relative_path(os.path.join(self._folder, path))

    def name_row(self, row: Row | BadRow, number: int) -> Row | BadRow:
        """Return a row with its name; it is bad if it lacks a field of the template."""
        if isinstance(row, BadRow):
            return row
        if self._template is not None:
            try:
                name = self._template.format(self._fields_of(row, number))
            except RowError as error:
                return BadRow(row.location, str(error))
            return replace(row, new_asset=replace(row.new_asset or NewAsset(name), name=name))
        if row.new_asset is None and os.sep in row.source.removeprefix(self._prefix):
            return replace(row, default_name=self._relative_path(row.source))
        return row

    def _fields_of(self, row: Row, number: int) -> dict[str, object]:
        new_asset = row.new_asset
        if row.is_url:
            shown = urlsplit(row.source)
            path = unquote(shown.path).strip("/") or shown.hostname or ""
            parent = PurePosixPath(path).parent.name or shown.hostname or ""
        else:
            path = self._relative_path(row.source)
            parent = os.path.basename(os.path.dirname(os.path.abspath(row.source)))
        name = new_asset.name if new_asset else source_name(row.source)
        creator = (new_asset and new_asset.creator_id) or ""
        return {
            **file_fields(name, path, encodable(parent), number),
            "key": show_source(encodable(row.key)),
            "creatorId": creator.value if isinstance(creator, CreatorId) else creator,
        }

    def _relative_path(self, source: str) -> str:
        path = source.removeprefix(self._prefix)
        if os.path.isabs(path):
            path = os.path.relpath(path, self._folder or os.curdir)
        return encodable(os.path.normpath(path).replace(os.sep, "/"))


def file_fields(name: str, path: str, parent: str, number: int) -> dict[str, object]:
    """Return the fields of a file.

    Args:
        name: the name that the row gives, or the file's.
        path: relative to the manifest's folder; its last part without the suffix is the `stem`.
        parent: name of the folder that contains the file.
        number: position in the manifest, from 1; the field `row`.
    """
    stem = PurePosixPath(path).stem
    return {"name": name, "stem": stem, "path": path, "parent": parent, "row": number}


def _is_padding(text: str) -> bool:
    return _PADDING.fullmatch(text) is not None


def encodable(name: str) -> str:
    """Return a name as JSON can represent it; a file name may have bytes that aren't UTF-8."""
    return name.encode("utf-8", "replace").decode()
