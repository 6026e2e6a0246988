"""Makes videos of any length from the clip that ships with the package.

A `free` box is appended, which players skip, so the video plays as before.

Source: ISO/IEC 14496-12, 4.2 (boxes, `largesize`) and 8.1.2 (free space box).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

SHORT_HEADER = 8
LONG_HEADER = 16
LARGEST_SHORT_BOX = 2**32 - 1
_PIECE = 1024 * 1024


def read_clip() -> bytes:
    """Give the clip: H.264 and AAC in an MP4 file."""
    return (files("livepeer_async.cli") / "clip.mp4").read_bytes()


def free_header(size: int, *, is_long: bool = False) -> bytes:
    """Make the header of a `free` box.

    Args:
        size: bytes of the whole box, its header included.
        is_long: whether the size has 64 bits, as in boxes of 4 GiB and more.
    """
    smallest = LONG_HEADER if is_long else SHORT_HEADER
    if size < smallest:
        raise ValueError(f"a free box has at least {smallest} bytes; wanted {size}")
    if is_long:
        return struct.pack(">I4sQ", 1, b"free", size)
    if size > LARGEST_SHORT_BOX:
        raise ValueError(f"a free box of {size} bytes needs a size of 64 bits")
    return struct.pack(">I4s", size, b"free")


def write_video(path: Path, length: int, *, is_long: bool = False, seed: int | None = None) -> None:
    """Write the clip with a `free` box behind it.

    Args:
        path: the file to write.
        length: bytes of the file.
        is_long: whether the box has a size of 64 bits.
        seed: of the payload's pseudo-random bytes; zeros where it isn't given.
    """
    clip = read_clip()
    header = free_header(length - len(clip), is_long=is_long)
    with path.open("wb") as file:
        file.write(clip)
        file.write(header)
        for piece in _payload(length - len(clip) - len(header), seed):
            file.write(piece)


def _payload(length: int, seed: int | None) -> Iterator[bytes]:
    generator = None if seed is None else random.Random(seed)  # noqa: S311 - filling, no secret
    while length > 0:
        size = min(length, _PIECE)
        yield bytes(size) if generator is None else generator.randbytes(size)
        length -= size
