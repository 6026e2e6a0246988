"""Splits bytes into numbered lines, and parses lines of JSON.

A line beyond the limit is reported by its number and never held as a whole. Pure.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec

from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.rows import RowError

# A row with a playback policy and ten profiles has 2 KB.
MAX_LINE = 1024 * 1024
TOO_LONG = "the line is longer than 1 MiB"
# As many bytes as `find_encoding` wants to see.
HEAD = 4

Line = tuple[int, bytes | None]
"""A number, counted from 1, and the bytes of the line; None for one that is too long."""

_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class LineSplitter:
    """Cut bytes at line feeds; a carriage return before one stays.

    Args:
        max_length: bytes of a line, without its line feed.
    """

    def __init__(self, max_length: int = MAX_LINE) -> None:
        self._max_length = max_length
        self._number = 0
        self._kept = b""
        self._is_dropping = False

    def feed(self, piece: bytes) -> Iterator[Line]:
        """Take a piece; give the lines that end in it."""
        *ended, self._kept = (self._kept + piece).split(b"\n")
        for content in ended:
            yield self._line(content)
        if len(self._kept) > self._max_length:
            self._is_dropping = True
        if self._is_dropping:
            self._kept = b""

    def finish(self) -> Iterator[Line]:
        """Give the last line, if no line feed ended it."""
        if self._kept or self._is_dropping:
            yield self._line(self._kept)
        self._kept = b""

    def _line(self, content: bytes) -> Line:
        self._number += 1
        is_too_long, self._is_dropping = self._is_dropping, False
        if is_too_long or len(content) > self._max_length:
            return self._number, None
        return self._number, content


def split_lines(pieces: Iterable[bytes], *, max_length: int = MAX_LINE) -> Iterator[Line]:
    """Cut pieces into lines; no line follows the last line feed."""
    splitter = LineSplitter(max_length)
    for piece in pieces:
        yield from splitter.feed(piece)
    yield from splitter.finish()


def find_encoding(head: bytes, *, name: str) -> tuple[str, int]:
    """Tell a file's encoding by its first bytes, and how many of them are the mark of it.

    Raises:
        ConfigurationError: it is text in an encoding that isn't read here, or no text.
    """
    if not head.startswith(_WIDE_MARKS):
        for mark, encoding in _MARKS.items():
            if head.startswith(mark):
                return encoding, len(mark)
    if b"\0" in head:
        raise ConfigurationError(
            f"{name} begins with NUL bytes; wanted UTF-8, or UTF-16 with a byte order mark"
        )
    return "utf-8", 0


def as_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Recode pieces as UTF-8; what is no text becomes bytes that are no UTF-8 in the same line."""
    if encoding == "utf-8":
        yield from pieces
        return
    # Half a pair of surrogates passes here, and fails where the line is taken for UTF-8.
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"


def as_text(content: bytes | None) -> str:
    """Take a line for UTF-8.

    Raises:
        Refusal: it is something else, or too long.
    """
    if content is None:
        raise RowError(TOO_LONG)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RowError(
            f"the line isn't UTF-8: byte {content[error.start]:#04x} at place {error.start + 1}; "
            "save the file as UTF-8"
        ) from error


def read_object(content: bytes | None) -> dict[str, Any] | None:
    """Decode a line; None for one that has nothing but space in it.

    Raises:
        Refusal: it isn't a JSON object in UTF-8, or too long.
    """
    text = as_text(content)
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        if not text.strip():
            return None
        raise RowError(f"the line isn't a JSON object: {_reason(error)}") from error
    if not isinstance(found, dict):
        raise RowError('the line is JSON, but no object; wanted one, as in {"path": "talk.mp4"}')
    return cast("dict[str, Any]", found)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return str(error).removeprefix("JSON is malformed: ")
