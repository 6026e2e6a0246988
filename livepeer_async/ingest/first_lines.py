"""Where each key stood first, for as little memory as that can be told in.

In come keys and lines; out comes the line of a key that came before. A dict would hold 120 bytes
for each key, a table of hashes holds 18 to 36. Pure.
"""

from __future__ import annotations

from array import array

_FREE = 0
_FIRST_SIZE = 1024


class FirstLines:
    """An open-addressed table of the keys' hashes and the lines where they came first.

    Hashes have 64 bits: two of 100,000 keys share one in one of four thousand million manifests.
    """

    def __init__(self) -> None:
        self._count = 0
        self._resize(_FIRST_SIZE)

    def note(self, key: str, line: int) -> int | None:
        """Take note of a key; give the line where it stood before, if it did.

        Args:
            key: of a row.
            line: up to 4,294,967,295; 0 where there are no lines.
        """
        digest = hash(key) or 1
        place = self._place_of(digest)
        if self._digests[place] != _FREE:
            return self._lines[place]
        self._digests[place], self._lines[place] = digest, line
        self._count += 1
        if 3 * self._count > 2 * len(self._digests):
            self._grow()
        return None

    def has(self, key: str) -> bool:
        """Whether a key was noted."""
        return self._digests[self._place_of(hash(key) or 1)] != _FREE

    def _place_of(self, digest: int) -> int:
        digests = self._digests
        mask = len(digests) - 1
        place = digest & mask
        while (found := digests[place]) != _FREE and found != digest:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        digests, lines = self._digests, self._lines
        self._resize(2 * len(digests))
        for digest, line in zip(digests, lines, strict=True):
            if digest != _FREE:
                place = self._place_of(digest)
                self._digests[place], self._lines[place] = digest, line

    def _resize(self, size: int) -> None:
        self._digests = array("q", bytes(8 * size))
        self._lines = array("I", bytes(4 * size))
