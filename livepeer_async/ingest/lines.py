"""Lines of a manifest: numbered, bounded and decoded; and rows of JSON lines.

Pure; the file is opened by the caller.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import count
from typing import Any, TextIO, cast

import msgspec

from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.rows import RowError

# Bytes in UTF-8. A row with a playback policy and ten profiles has 2 KB.
MAX_LINE = 1024 * 1024
# Bytes that `detect_encoding` needs.
HEAD = 4
# How ZIP archives begin, such as .xlsx and .ods files, and older Excel files.
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
# Error handler for `open`: an invalid byte becomes a lone surrogate, which `check_line` reports.
# "surrogateescape" does the same, but not for UTF-16.
DECODING_ERRORS = "livepeer_async.invalid_byte"
_FIRST_SURROGATE = 0xDC00

Line = tuple[int, str | None]
"""A line number, from 1, and the text of the line; `None` if the line is too long."""

Fields = tuple[int, dict[str, Any] | RowError, int]
"""The first line of a row, its fields or why it can't be used, and its row in a spreadsheet."""

# Ctrl-Z: programs for DOS mark the end of a text with it.
END_MARK = "\x1a"


def _escape_invalid_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(_FIRST_SURROGATE + error.object[error.start]), error.end


codecs.register_error(DECODING_ERRORS, _escape_invalid_byte)


def detect_encoding(head: bytes, *, name: str) -> str:
    """Return the encoding of a file, from its first bytes.

    Raises:
        ConfigurationError: it is binary, or text in an unsupported encoding.
    """
    is_utf_32 = head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not is_utf_32:
        return "utf-16"
    if head.startswith(_SPREADSHEETS):
        raise ConfigurationError(f"{name} is a spreadsheet or an archive, not text; save it as CSV")
    if b"\0" in head:
        raise ConfigurationError(
            f"{name} begins with NUL bytes; wanted UTF-8, or UTF-16 with a byte order mark"
        )
    return "utf-8-sig"


def read_lines(file: TextIO, *, max_length: int = MAX_LINE) -> Iterator[Line]:
    """Yield numbered lines, without their line feeds.

    Args:
        file: text with `errors=DECODING_ERRORS`, whose lines end with line feeds only.
        max_length: characters of a line; no more are held in memory.
    """
    for number in count(1):
        text = file.readline(max_length + 1)
        if not text:
            return
        is_too_long = len(text) > max_length and not text.endswith("\n")
        if not text.strip(END_MARK):
            return
        rest = text
        while rest and not rest.endswith("\n"):
            rest = file.readline(max_length + 1)
        is_last = not rest.endswith("\n")
        line = text.removesuffix("\n")
        yield number, None if is_too_long else line.rstrip(END_MARK) if is_last else line


def check_line(text: str | None) -> str:
    """Return a line, unless it is too long or was not decodable.

    Raises:
        RowError: it is too long or not decodable.
    """
    if text is None:
        raise RowError("the line is longer than 1 MiB")
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) - _FIRST_SURROGATE
        raise RowError(
            f"the line isn't UTF-8: byte {byte:#04x} at character {error.start + 1}; "
            "save the file as UTF-8"
        ) from None
    return text if length <= MAX_LINE else check_line(None)


def read_json_lines(lines: Iterator[Line]) -> Iterator[Fields]:
    """Yield the fields of each row of a file of JSON lines; blank lines are skipped."""
    for number, text in lines:
        try:
            fields = parse_object(check_line(text))
        except RowError as error:
            yield number, error, number
        else:
            if fields is not None:
                yield number, fields, number


def parse_object(text: str) -> dict[str, Any] | None:
    """Parse a line; return `None` for a blank one.

    Raises:
        RowError: it isn't a JSON object.
    """
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        if not text.strip():
            return None
        is_too_deep = isinstance(error, RecursionError)
        reason = "nested too deep" if is_too_deep else str(error)
        reason = reason.removeprefix("JSON is malformed: ")
        raise RowError(f"the line isn't a JSON object: {reason}") from error
    if not isinstance(value, dict):
        raise RowError('the line is JSON, but not an object such as {"path": "talk.mp4"}')
    return cast("dict[str, Any]", value)
