"""The disk under a storage: blocks are appended, and ranges of them become one object.

An extent is a pair (start, end) of positions in the scratch file. What a healthy upload appends
is one extent from the first byte on, and assembling it renames the file instead of copying it:
100 MiB cost nothing. Only an upload that went wrong on the way is copied together.

No file stays open between two PATCHes, so thousands of unfinished uploads hold no descriptor.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

Extent = tuple[int, int]

COPY_BLOCK = 1024 * 1024


def merge(extents: Iterable[Extent]) -> list[Extent]:
    """Join extents that follow on each other, keeping their order."""
    merged: list[Extent] = []
    for start, end in extents:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        elif end > start:
            merged.append((start, end))
    return merged


def measure(extents: Iterable[Extent]) -> int:
    """Add up the bytes of some extents."""
    return sum(end - start for start, end in extents)


class Scratch:
    """One growing file, shared by all writers of an upload."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        path.touch()

    def open(self) -> BinaryIO:
        """Open the file for one writer, who closes it."""
        return self._path.open("r+b", buffering=0)

    def append(self, file: BinaryIO, block: bytes | memoryview) -> Extent:
        """Write a block behind everything that is there."""
        start = self._end
        file.seek(start)
        file.write(block)
        self._end = start + len(block)
        return (start, self._end)

    def release(self, extents: Iterable[Extent]) -> None:
        """Give discarded bytes back; those at the end are overwritten by the next block."""
        for start, end in reversed(merge(extents)):
            if end == self._end:
                self._end = start

    def assemble(self, extents: Iterable[Extent], target: Path) -> None:
        """Make the object that consists of these extents; the scratch file is gone after it."""
        wanted = merge(extents)
        if len(wanted) == 1 and wanted[0][0] == 0:
            with self.open() as file:
                file.truncate(wanted[0][1])
            self._path.replace(target)
            return
        with self._path.open("rb") as source, target.open("wb") as copy:
            for start, end in wanted:
                _copy(source, copy, start, end)
        self.remove()

    def remove(self) -> None:
        """Delete the file, if it is still there."""
        self._path.unlink(missing_ok=True)


def _copy(source: BinaryIO, copy: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    while start < end:
        block = source.read(min(COPY_BLOCK, end - start))
        copy.write(block)
        start += len(block)
