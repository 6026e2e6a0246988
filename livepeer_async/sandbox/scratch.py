"""A scratch file: blocks of several writers in order of arrival, later put into the right order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

Extent = tuple[int, int]

COPY_BLOCK = 1024 * 1024


class ScratchFile:
    """A growing file, shared by all writers of one upload."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        path.touch()

    def open(self) -> BinaryIO:
        """Open the file for one writer, which closes it."""
        return self._path.open("r+b", buffering=0)

    def append(self, file: BinaryIO, block: bytes | memoryview) -> Extent:
        """Write a block at the end."""
        start = self._end
        file.seek(start)
        file.write(block)
        self._end = start + len(block)
        return (start, self._end)

    def release(self, extents: Iterable[Extent]) -> None:
        """Discard extents; at the end of the file the next block overwrites them."""
        for start, end in reversed(merge_extents(extents)):
            if end == self._end:
                self._end = start

    def assemble(self, extents: Iterable[Extent], target: Path) -> None:
        """Write these extents to a file, and delete the scratch file."""
        wanted = merge_extents(extents)
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


def merge_extents(extents: Iterable[Extent]) -> list[Extent]:
    """Join adjacent extents, keeping their order."""
    merged: list[Extent] = []
    for start, end in extents:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        elif end > start:
            merged.append((start, end))
    return merged


def total_size(extents: Iterable[Extent]) -> int:
    """Return the sum of the extents' sizes in bytes."""
    return sum(end - start for start, end in extents)


def _copy(source: BinaryIO, copy: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    while start < end:
        block = source.read(min(COPY_BLOCK, end - start))
        copy.write(block)
        start += len(block)
