"""What identifies the bytes of a source."""

from __future__ import annotations

from msgspec import Struct


class SourceIdentity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What tells the bytes of a source from others that may stand in their place later.

    Attributes:
        length: bytes; 0 where the server fetches them itself.
        modified_ns: time of the last change, in nanoseconds since 1970, of a file.
        inode: the file's number in its file system.
        sha256: in hex, of bytes in memory.
        url: what tells the URL that they came from, as `tell_url` gives it.
    """

    length: int
    modified_ns: int | None = None
    inode: int | None = None
    sha256: str | None = None
    url: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether it says more than a length, which many sources have."""
        return self.modified_ns is not None or self.sha256 is not None
