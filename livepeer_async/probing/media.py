"""Reads the facts of a media file with PyAV: its header, and its packets until FFmpeg knows them.

FFmpeg analyses as much of a file as the pipeline's ffprobe does, so it comes to the same result.
Files may be hostile: the bytes, the time, the samples and the size of pictures are limited, only
formats of videos, and of sound that may have cover art, are read, and nothing beside the file is
opened. A file beyond the limits, or one that FFmpeg can't read, has no facts.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from msgspec.structs import replace

from livepeer_async.errors import ConfigurationError
from livepeer_async.probing.rules import MediaFacts
from livepeer_async.probing.sample_tables import UncountableError, count_samples, is_mp4
from livepeer_async.telemetry.events import SOURCE_NOT_PROBED, log_event

# FFmpeg analyses 5 MB; the header of an MP4 file of 5 hours has 8 MB.
MAX_BYTES = 32 * 1024 * 1024
# A video of 5 hours with 60 pictures a second, and its sound; 2 million take 150 MB.
MAX_SAMPLES = 2_000_000
# Twice the pixels of 8K. FFmpeg decodes a picture to find the pixel format.
MAX_PIXELS = 2 * 7680 * 4320
BUFFER_SIZE = 64 * 1024

_MP4 = "mov"
# Playlists and other formats that name further files or URLs are left out on purpose.
_OTHERS = (
    "matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,mxf,gif,apng,mjpeg,png_pipe,jpeg_pipe,mp3,flac,aiff"
)


class LimitReached(Exception):
    """The analysis has read too many bytes, or has taken too long."""


class BoundedReader:
    """A binary file for PyAV, with limits.

    Args:
        read_at: returns bytes from a position on, fewer at the end of the file.
        length: bytes of the file.
        seconds: time limit.

    Attributes:
        length: bytes of the part of the file that may be read.
        is_exhausted: whether a limit was reached.
    """

    def __init__(
        self, read_at: Callable[[int, int], bytes], length: int, *, seconds: float
    ) -> None:
        self.length = length
        self.is_exhausted = False
        self._read_at = read_at
        self._remaining = MAX_BYTES
        self._deadline = time.monotonic() + seconds
        self._position = 0

    def read_at(self, position: int, size: int) -> bytes:
        """Read bytes from a position on.

        Raises:
            LimitReached: a limit was reached.
        """
        if self._remaining <= 0 or time.monotonic() > self._deadline:
            self.is_exhausted = True
            raise LimitReached
        block = self._read_at(position, max(0, min(size, self.length - position)))
        self._remaining -= len(block)
        return block

    def read(self, size: int) -> bytes:
        """Read bytes from the current position on."""
        block = self.read_at(self._position, size)
        self._position += len(block)
        return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; return it."""
        start = {os.SEEK_CUR: self._position, os.SEEK_END: self.length}.get(whence, 0)
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


def is_available() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


def read_facts(reader: BoundedReader) -> MediaFacts | None:
    """Analyse a file; `None` if it can't be told what it is.

    Raises:
        ConfigurationError: PyAV can't be imported.
    """
    av = _import_av()
    try:
        formats = _formats_for(reader)
        return _analyse(av, reader, formats) if formats else None
    except Exception as error:  # noqa: BLE001 - PyAV raises many classes for damaged files
        # Without the message: it may contain text of the file.
        kind = type(error).__name__
        log_event(SOURCE_NOT_PROBED, "a file can't be probed: %s", kind, error=kind)
        return None


def _import_av() -> Any:
    # Here, in a worker thread: it takes 50 ms or more, and the package is optional.
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ConfigurationError(f"probe needs PyAV, which can't be imported: {error}") from error


def _formats_for(reader: BoundedReader) -> str | None:
    """Return the formats that a file may have; `None` if analysing it may take too much memory."""
    if not is_mp4(reader.read_at(0, 8)):
        return _OTHERS
    try:
        samples, reader.length = count_samples(reader.read_at, reader.length)
    except UncountableError:
        return None
    return _MP4 if samples <= MAX_SAMPLES else None


def _analyse(av: Any, reader: BoundedReader, formats: str) -> MediaFacts | None:
    options = {
        "format_whitelist": formats,
        "protocol_whitelist": "none",
        "max_pixels": str(MAX_PIXELS),
    }
    with av.open(
        reader, mode="r", options=options, metadata_errors="replace", buffer_size=BUFFER_SIZE
    ) as container:
        facts = _facts_of(container, av.stream.Disposition.attached_pic)
    return None if reader.is_exhausted else facts


def _facts_of(container: Any, attached_picture: Any) -> MediaFacts:
    streams = list(container.streams)
    videos = [stream for stream in streams if stream.type == "video"]
    are_covers = [bool(stream.disposition & attached_picture) for stream in videos]
    facts = MediaFacts(
        container=container.format.name,
        has_video=bool(videos),
        has_audio=any(stream.type == "audio" for stream in streams),
        is_cover_art=any(are_covers[:1]),
        has_only_cover_art=bool(videos) and all(are_covers),
    )
    return _with_video(facts, videos[0]) if videos else facts


def _with_video(facts: MediaFacts, stream: Any) -> MediaFacts:
    codec = stream.codec_context
    if codec is None:  # a codec without a decoder
        return facts
    pixel_format = codec.pix_fmt
    rates = [stream.average_rate, stream.base_rate, stream.guessed_rate]
    rate = next((float(rate) for rate in rates if rate), 0.0)
    return replace(
        facts,
        video_codec=codec.codec.canonical_name,
        pixel_format=pixel_format,
        # Without a pixel format, FFmpeg hasn't seen a picture, and the rate may come with one.
        frame_rate=rate if rate or pixel_format else None,
        width=codec.width,
        height=codec.height,
    )
