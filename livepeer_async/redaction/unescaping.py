"""Undoing of the escapes of URLs, JSON, HTML and Python reprs, nested ones too. Pure."""

from __future__ import annotations

import re

from livepeer_async.deferred import deferred_pattern

# A character that `unescape` doesn't copy.
_ESCAPING = deferred_pattern(r"[%\\&+]")
# An escape, or any other character.
_CHARACTER = deferred_pattern(
    r"%(?:25)*(?P<percent>[0-9a-f]{2})"
    r"|\\+(?:x(?P<byte>[0-9a-f]{2})|u(?P<unit>[0-9a-f]{4}))?"
    r"|&(?:amp;)*(?:#x0*(?P<hexadecimal>[0-9a-f]{1,4})|#0*(?P<decimal>[0-9]{1,4})"
    r"|(?P<entity>amp|apos|gt|lt|quot));"
    r"|.",
    re.IGNORECASE | re.DOTALL,
)
_ENTITIES = {"amp": "&", "apos": "'", "gt": ">", "lt": "<", "quot": '"'}


def unescape(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Undo all escapes; return the text in lower case, and the span of each character in `text`.

    Backslashes are dropped, because they may belong to an escape or to the text; "+" becomes a
    space for the same reason.
    """
    if text.isascii() and not _ESCAPING.search(text):
        # Most texts. Matching each character takes 50 times as long.
        return text.lower(), [(at, at + 1) for at in range(len(text))]
    characters: list[str] = []
    spans: list[tuple[int, int]] = []
    for match in _CHARACTER.finditer(text):
        if character := _decode(match):
            characters.append(_lower(character))
            spans.append(match.span())
    return "".join(characters), spans


def _decode(match: re.Match[str]) -> str:
    number = match["percent"] or match["byte"] or match["unit"] or match["hexadecimal"]
    if number or match["decimal"]:
        character = chr(int(number, 16) if number else int(match["decimal"]))
    else:
        character = _ENTITIES[match["entity"].lower()] if match["entity"] else match[0][0]
    return {"\\": "", "+": " "}.get(character, character)


def _lower(character: str) -> str:
    # A few characters have two in lower case, and the spans count characters.
    lower = character.lower()
    return lower if len(lower) == 1 else character
