"""What a manifest says, as values: a row that names a video, and one that can't be used.

Pure.
"""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.models import NewAsset
from livepeer_async.redaction import redacted, show_source


@redacted(source=show_source, key=show_source)
class Row(Struct, frozen=True, kw_only=True):
    """A video to ingest. The repr shows URLs without userinfo and query.

    Attributes:
        source: a path, relative to the working directory if the manifest's was, or a URL.
        is_url: whether the source is an http(s) URL.
        key: the name of the upload in a journal; by default the file's absolute path, or the URL.
        new_asset: None asks for an asset with the file's name; a URL always has one.
        manifest: the file that the row stands in, None for a file that was found in a folder.
        line: the row's first line in the manifest, counted from 1; None where `manifest` is.
        length: bytes, once the file was looked at.
        modified_ns: when the file was changed last, in nanoseconds since 1970.
    """

    source: str
    is_url: bool
    key: str
    new_asset: NewAsset | None = None
    manifest: str | None = None
    line: int | None = None
    length: int | None = None
    modified_ns: int | None = None

    @property
    def place(self) -> str:
        """Where the row stands: `FILE:LINE`, or the path that was found."""
        return self.source if self.manifest is None else f"{self.manifest}:{self.line}"


class BadRow(Struct, frozen=True):
    """What can't be ingested.

    Attributes:
        place: `FILE:LINE`, or a path.
        sentence: what was found and what was wanted, without a full stop and without secrets.
        key: of a row that is right in itself, and whose file isn't there.
    """

    place: str
    sentence: str
    key: str | None = None


class RowError(Exception):
    """A row that can't be used, inside of this package; the message is the sentence."""
