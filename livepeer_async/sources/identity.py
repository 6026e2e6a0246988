"""Identity of the bytes of a source."""

from __future__ import annotations

from msgspec import Struct


class SourceIdentity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Identity of the bytes of a source, which a later run compares.

    Attributes:
        length: bytes; 0 if the server fetches them itself.
        modified_ns: modification time of a file, in nanoseconds since 1970.
        inode: inode number of a file.
        sha256: of bytes in memory, in hex.
        url: fingerprint of the URL that they come from, as `url_fingerprint` returns it.
    """

    length: int
    modified_ns: int | None = None
    inode: int | None = None
    sha256: str | None = None
    url: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is more than a length, which many sources share."""
        return self.modified_ns is not None or self.sha256 is not None
