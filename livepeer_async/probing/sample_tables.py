"""Sample tables of MP4 and QuickTime files, read without FFmpeg.

FFmpeg's demuxer creates an entry of 24 bytes and more for each sample that a file declares. A file
of two kilobytes can declare 50 million samples, which take 3 GB of memory and 8 seconds.
`count_samples` finds the number from the headers of the boxes alone.

Source: ISO/IEC 14496-12, and `libavformat/mov.c` for the boxes that FFmpeg reads in any place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from msgspec import Struct

# Boxes with which a file may begin; FFmpeg's demuxer is only allowed for files that do.
FIRST_BOXES = frozenset(
    {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx"}
)
_CONTAINERS = frozenset(
    {
        *(b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"mvex", b"traf", b"udta"),
        *(b"tref", b"wave", b"sinf", b"schi", b"ilst"),
    }
)
# A long film in fragments has thousands of boxes.
MAX_BOXES = 20_000
# FFmpeg would read all fragments of a recording, which takes a second an hour.
MAX_FRAGMENTS = 64
MAX_DEPTH = 10
_HEADER = struct.Struct(">I4s")
# Version and flags, and two numbers: size and count in `stsz`, count and the first duration in
# `stts`.
_NUMBERS = struct.Struct(">4xIII")

ReadAt = Callable[[int, int], bytes]


class UncountableError(Exception):
    """The samples can't be counted: the tables are compressed, or there are too many boxes."""


class Box(Struct, frozen=True):
    """A box: its type, and the positions in the file of its start, its content and its end."""

    kind: bytes
    offset: int
    start: int
    end: int


class _Track:
    """The tables of one track."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.handlers: set[bytes] = set()
        # For each `stts`: the number of its entries, and the duration of the first one.
        self.durations: set[tuple[int, int]] = set()

    @property
    def samples(self) -> int:
        # FFmpeg has one entry for each chunk of uncompressed audio, not for each sample.
        is_audio = self.handlers & {b"soun", b"vide"} == {b"soun"}
        return 0 if is_audio and self.durations == {(1, 1)} else sum(self.counts)


def is_mp4(first_bytes: bytes) -> bool:
    """Whether a file begins like an MP4 or QuickTime file."""
    return first_bytes[4:8] in FIRST_BOXES


def count_samples(read_at: ReadAt, length: int) -> tuple[int, int]:
    """Return the number of samples for which FFmpeg would create an entry.

    Args:
        read_at: returns bytes from a position on, fewer at the end of the file.
        length: bytes of the file.

    Returns:
        The number, and the end of the part of the file that it is for: the whole file, or as many
        fragments as show what the others are.

    Raises:
        UncountableError: it can't be told.
    """
    # Tables outside of a track count for a track of their own.
    tracks = [_Track()]
    fragments = samples = 0
    end = length
    for box in _walk(read_at, 0, length, MAX_DEPTH, iter(range(MAX_BOXES))):
        if box.kind == b"moof":
            fragments += 1
            if fragments > MAX_FRAGMENTS and len(tracks) > 1:
                end = box.offset
                break
        elif box.kind == b"trak":
            tracks.append(_Track())
        elif box.kind == b"cmov":
            raise UncountableError
        elif box.kind == b"trun":
            (number,) = struct.unpack(">4xI", _read(read_at, box, 8))
            samples += number
        else:
            _add_table(tracks[-1], box, read_at)
    return samples + sum(track.samples for track in tracks), end


def _add_table(track: _Track, box: Box, read_at: ReadAt) -> None:
    if box.kind == b"hdlr":
        track.handlers.add(_read(read_at, box, 12)[8:])
    elif box.kind in {b"stsz", b"stz2"}:
        _, number, _ = _NUMBERS.unpack(_read(read_at, box, _NUMBERS.size))
        track.counts.append(number)
    elif box.kind == b"stts":
        entries, _, duration = _NUMBERS.unpack(_read(read_at, box, _NUMBERS.size))
        track.durations.add((entries, duration))


def _walk(
    read_at: ReadAt, start: int, end: int, depth: int, remaining: Iterator[int]
) -> Iterator[Box]:
    """Yield the boxes of a part of the file, each before the boxes inside it.

    Raises:
        UncountableError: there are too many of them.
    """
    while start + _HEADER.size <= end:
        if next(remaining, None) is None or not depth:
            raise UncountableError
        header = read_at(start, _HEADER.size + 8)
        if len(header) < _HEADER.size:
            return
        size, kind = _HEADER.unpack_from(header)
        content = start + _HEADER.size
        if size == 1 and len(header) == _HEADER.size + 8:
            content += 8
            (size,) = struct.unpack_from(">Q", header, _HEADER.size)
        elif size == 0:
            size = end - start
        if size < content - start:
            return
        box = Box(kind, start, content, min(start + size, end))
        yield box
        if kind in _CONTAINERS:
            yield from _walk(read_at, content, box.end, depth - 1, remaining)
        start += size


def _read(read_at: ReadAt, box: Box, size: int) -> bytes:
    """Return the first bytes of a box, filled up with zeros; FFmpeg reads beyond its end."""
    return read_at(box.start, size).ljust(size, b"\0")
