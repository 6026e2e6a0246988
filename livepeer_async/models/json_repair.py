"""Tolerant decoding of JSON whose strings aren't valid Unicode."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from livepeer_async.deferred import deferred_pattern

T = TypeVar("T")

# Half of a surrogate pair, after an even number of backslashes. JavaScript may cut a string in the
# middle of a character; RFC 8259, 8.2, leaves the result to the reader.
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF_PAIR = deferred_pattern(
    rb"(?<!\\)((?:\\\\)*+)(?:%(high)b(?!%(low)b)|(?<!%(high)b)%(low)b)"
    % {b"high": _HIGH, b"low": _LOW}
)
_REPLACEMENT = rb"\1\\ufffd"


def decode_leniently(decode: Callable[[bytes], T], body: bytes) -> T:
    """Decode JSON; half surrogate pairs and bytes that aren't UTF-8 become U+FFFD.

    Args:
        decode: a decoder of msgspec.
        body: the JSON.

    Raises:
        msgspec.DecodeError: it isn't JSON, or not of the decoder's type.
        UnicodeDecodeError: never for a string in valid JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        repaired = _HALF_PAIR.sub(_REPLACEMENT, body.decode("utf-8", "replace").encode())
        if repaired == body:
            raise
    return decode(repaired)
