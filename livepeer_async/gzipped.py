"""Unpacks a gzipped answer within bounds."""

from __future__ import annotations

import zlib

# What zlib takes as the size of its window where the data is gzip's.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Gzipped:
    """Unpack an answer, never more of it than is wanted.

    The library's own decoder unpacks whatever one read of the socket brought, and 64 KiB of gzip
    can hold 64 MiB, nested twice 64 GiB. So nothing else is asked for, and what comes in another
    coding all the same is left as it is.
    """

    def __init__(self) -> None:
        self._unpacking = zlib.decompressobj(_GZIP_WINDOW)
        self._has_begun = False

    def unpack(self, piece: bytes, most: int) -> bytes:
        """Unpack a piece; what is beyond `most` bytes, or behind the end, is lost."""
        self._has_begun = True
        if self._unpacking.eof:
            return b""  # zlib would keep it
        return self._unpacking.decompress(piece, most)

    def finish(self) -> None:
        """Raise where the end is missing; an answer to HEAD has no beginning either."""
        if self._has_begun and not self._unpacking.eof:
            raise zlib.error("its end is missing")
