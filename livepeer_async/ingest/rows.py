"""Rows of a manifest: a video to ingest, or an entry that can't be used.

Pure.
"""

from __future__ import annotations

import warnings

from msgspec import Struct

from livepeer_async.errors import SourceUnsupported
from livepeer_async.models import NewAsset
from livepeer_async.redaction import redacted, show_source

# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi", ".ts", ".mpg", ".mpeg", ".3gp", ".flv", ".wmv",
    ".mts", ".m2ts", ".ogv", ".mxf",
)
# fmt: on


@redacted(source=show_source, key=show_source)
class Row(Struct, frozen=True, kw_only=True):
    """A video to ingest. The repr shows URLs without userinfo and query.

    Attributes:
        source: a path, relative to the working directory if the manifest's path is; or a URL.
        is_url: whether the source is an http or https URL.
        key: the name of the upload in the journal; defaults to the file's absolute path, or the
            URL.
        new_asset: `None` for an asset with a default name; always set for a URL.
        manifest: the path of the manifest, `None` for a file that was found in a folder.
        line: the first line of the row in the manifest, from 1; `None` if `manifest` is.
        length: bytes, once the file was checked.
        default_name: of the asset without `new_asset`, the file's path relative to the manifest's
            folder; `None` for a file in that folder, whose name it is.
        modified_ns: the file's modification time in nanoseconds since 1970.
        sheet_row: the row in a spreadsheet, if it differs from `line`.
    """

    source: str
    is_url: bool
    key: str
    new_asset: NewAsset | None = None
    manifest: str | None = None
    line: int | None = None
    length: int | None = None
    modified_ns: int | None = None
    default_name: str | None = None
    sheet_row: int | None = None

    @property
    def asset_name(self) -> str | None:
        """The name of the asset; `None` for the file's name."""
        return self.new_asset.name if self.new_asset else self.default_name

    @property
    def location(self) -> str:
        """`FILE:LINE` in the manifest, or the path of a file that was found in a folder."""
        return self.source if self.manifest is None else f"{self.manifest}:{self.line}"

    @property
    def place(self) -> str:
        """Deprecated: use `location`."""
        _warn_renamed("Row.place", "location")
        return self.location


@redacted()
class BadRow(Struct, frozen=True):
    """An entry of a manifest that can't be ingested.

    Attributes:
        location: `FILE:LINE`, or a path.
        message: what was found and what was wanted, without secrets.
        key: the key of a row whose file is missing; `None` for any other reason.
        error: why `probe` refuses the file; `None` for any other reason.
        length: bytes of a file that `probe` refuses.
    """

    location: str
    message: str
    key: str | None = None
    error: SourceUnsupported | None = None
    length: int | None = None

    @property
    def place(self) -> str:
        """Deprecated: use `location`."""
        _warn_renamed("BadRow.place", "location")
        return self.location

    @property
    def sentence(self) -> str:
        """Deprecated: use `message`."""
        _warn_renamed("BadRow.sentence", "message")
        return self.message


class RepeatedRow(Struct, frozen=True):
    """An entry of a manifest that repeats an earlier one; both are one upload.

    Attributes:
        location: `FILE:LINE`, or a path.
        first_line: the line of the earlier entry; `None` if it has none.
    """

    location: str
    first_line: int | None = None


class RowError(Exception):
    """A row can't be used; internal to this package. Its message becomes `BadRow.message`."""


def add_sheet_row(message: str, line: int | None, sheet_row: int | None) -> str:
    """Add the number that a spreadsheet shows for a row, if it isn't that of the line.

    It differs after a cell of several lines, and after the line `sep=;`, which Excel hides.
    """
    is_same = sheet_row is None or sheet_row == line
    return message if is_same else f"{message} (row {sheet_row} in a spreadsheet)"


CheckedRow = Row | BadRow | RepeatedRow


def is_video(name: str) -> bool:
    """Whether a file name has the suffix of a video."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def _warn_renamed(old: str, new: str) -> None:
    warnings.warn(f"{old} was renamed to {new}", DeprecationWarning, stacklevel=3)
