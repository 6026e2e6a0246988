"""Creates videos of any length from the clip in the package.

A `free` box is appended, which players skip: the video plays like the clip.

Source: ISO/IEC 14496-12, 4.2 (boxes, `largesize`) and 8.1.2 (free space box).
"""

from __future__ import annotations

import random
import struct
from importlib.resources import files
from pathlib import Path

_HEADER_SIZE = 8
_MAX_SHORT_BOX = 2**32 - 1
_BLOCK_SIZE = 1024 * 1024


def read_clip() -> bytes:
    """Return the clip: H.264 and AAC in an MP4 file."""
    return (files("livepeer_async.cli") / "clip.mp4").read_bytes()


def write_video(path: Path, length: int, *, seed: int | None = None) -> None:
    """Write the clip, followed by a `free` box.

    Args:
        path: the file to write.
        length: bytes of the file.
        seed: seeds the pseudo-random bytes in the box; `None` fills it with zeros.
    """
    clip = read_clip()
    header = free_header(length - len(clip))
    generator = random.Random(seed)  # noqa: S311 - no secrets
    with path.open("wb") as file:
        file.write(clip + header)
        for start in range(file.tell(), length, _BLOCK_SIZE):
            size = min(_BLOCK_SIZE, length - start)
            file.write(bytes(size) if seed is None else generator.randbytes(size))


def free_header(size: int) -> bytes:
    """Return the header of a `free` box of `size` bytes, header included."""
    if size < _HEADER_SIZE:
        raise ValueError(f"a free box has at least {_HEADER_SIZE} bytes; wanted {size}")
    if size > _MAX_SHORT_BOX:
        return struct.pack(">I4sQ", 1, b"free", size)
    return struct.pack(">I4s", size, b"free")
