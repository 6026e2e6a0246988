"""Secrets in texts: how they are found in any coding, and which parts of an upload URL are one.

Pure. What comes from outside may quote a secret as it was sent, or escaped by a URL, JSON, HTML or
the repr of bytes, several times over.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

REDACTED = "***"
# Characters of an upload's identifier that are shown: enough to find it in a log of the server's.
SHOWN_OF_UPLOAD = 4
# Shorter values are words, such as "gzip" or "true".
SHORTEST_SECRET = 8

_CODED = re.compile(
    r"%(?:25)*(?P<percent>[0-9a-f]{2})"
    r"|\\+(?:x(?P<byte>[0-9a-f]{2})|u(?P<unit>[0-9a-f]{4}))?"
    r"|&(?:amp;)*(?:#x0*(?P<hexadecimal>[0-9a-f]{1,4})|#0*(?P<decimal>[0-9]{1,4})"
    r"|(?P<name>amp|apos|gt|lt|quot));"
    r"|\+",
    re.IGNORECASE,
)
_NAMED = {"amp": "&", "apos": "'", "gt": ">", "lt": "<", "quot": '"'}
_ORIGIN = re.compile(r"(?:(?:[a-z][a-z0-9+.-]*:)?//[^/]*)?", re.IGNORECASE)
_SEGMENT = re.compile(r"/|%2f|(?P<segment>(?:(?!%2f)[^/])+)", re.IGNORECASE)
# Names of folders: words, also several with a capital, a hyphen or an underscore between them. An
# identifier has digits, or is longer.
_PLAIN = re.compile(r"[A-Za-z][a-z]{0,10}(?:[A-Z_-][a-z]{2,10}){0,2}|v[0-9]{1,2}|s3")
_SEPARATORS = re.compile(r"[;,=+.]")
# Between a name and a value, not behind the scheme of a URL.
_COLON = re.compile(r":(?!//)")
_BRACKETS = "\"'{}[]"


def hide(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a text, in whatever coding and case they stand there."""
    plain, places = _decoded(text)
    found = sorted(span for secret in secrets for span in _find(plain, secret))
    pieces: list[str] = []
    end = 0
    for first, last in found:
        start = places[first][0]
        if start >= end:
            pieces += [text[end:start], REDACTED]
        end = max(end, places[last][1])
    return "".join([*pieces, text[end:]])


def words_of(header: str) -> set[str]:
    """List the words of a header's value that may be secrets.

    Values of pairs, as in cookies, `user:password` and JSON, and a decoded password are among them.
    """
    words = set(header.split())
    for word in re.split(r"[\s,;]+", header):
        values = [word.partition("=")[2] or word]
        values += _COLON.split(word)[1:] + _COLON.split(word, maxsplit=1)[1:]
        words |= {word, *(value.strip(_BRACKETS) for value in values)}
    scheme, _, token = header.partition(" ")
    return words | _password_in(token) if scheme.lower() == "basic" else words


def split_upload_url(url: str) -> tuple[str, str]:
    """Split an upload URL before the identifier of the upload.

    It begins at the first segment of the path that is no plain word, or at the last one.

    Args:
        url: without a query; may be a path alone.
    """
    start = _origin_length(url)
    segments = [it for it in _SEGMENT.finditer(url, start) if it["segment"]]
    if not segments:
        return url, ""
    odd = (it for it in segments if not _PLAIN.fullmatch(it[0]))
    at = next(odd, segments[-1]).start()
    return url[:at], url[at:]


def secrets_of_upload(url: str) -> set[str]:
    """List what nobody may show of an upload URL; its path is all that a server asks for."""
    identifier = re.sub(r"(?:/|%2f)+\Z", "", split_upload_url(url)[1], flags=re.IGNORECASE)
    segments = [it[0] for it in _SEGMENT.finditer(identifier) if it["segment"]]
    odd = [it for it in segments if not _PLAIN.fullmatch(it)] or segments
    parts = {identifier, *odd, *(part for it in odd for part in _SEPARATORS.split(it))}
    return {_unshown(part) for it in parts for part in (it, unquote(it))}


def _password_in(token: str) -> set[str]:
    """Decode the credentials of Basic authentication.

    Source: RFC 7617, 2.
    """
    try:
        credentials = b64decode(token).decode("utf-8", "replace")
    except ValueError:
        return set()
    user, _, password = credentials.partition(":")
    return {credentials, password or user}


def _unshown(part: str) -> str:
    rest = part[SHOWN_OF_UPLOAD:]
    return rest if len(rest) >= SHORTEST_SECRET else part


def _origin_length(url: str) -> int:
    origin = _ORIGIN.match(url)
    return origin.end() if origin else 0


def _find(plain: str, secret: str) -> Iterator[tuple[int, int]]:
    """Find a secret in a decoded text, also if its bytes were decoded one by one.

    Yields:
        Indexes of its first and its last character.
    """
    one_by_one = secret.encode("utf-8", "surrogateescape").decode("latin-1")
    for form in {_decoded(secret)[0], _decoded(one_by_one)[0]}:
        at = plain.find(form) if form else -1
        while at >= 0:
            yield at, at + len(form) - 1
            at = plain.find(form, at + len(form))


def _decoded(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Undo all codings; give the text in lower case, and where each character of it stood.

    A backslash may be one of the text or one of a coding, and a "+" may be a space: backslashes are
    left out, and both of the others count as the same.
    """
    characters: list[str] = []
    places: list[tuple[int, int]] = []
    end = 0
    for coded in _CODED.finditer(text):
        characters += map(_lower, text[end : coded.start()])
        places += ((at, at + 1) for at in range(end, coded.start()))
        end = coded.end()
        if character := _decode(coded):
            characters.append(_lower(character))
            places.append(coded.span())
    characters += map(_lower, text[end:])
    places += ((at, at + 1) for at in range(end, len(text)))
    return "".join(characters), places


def _decode(coded: re.Match[str]) -> str:
    number = coded["percent"] or coded["byte"] or coded["unit"] or coded["hexadecimal"]
    if number or coded["decimal"]:
        character = chr(int(number, 16) if number else int(coded["decimal"]))
    else:
        character = _NAMED[coded["name"].lower()] if coded["name"] else coded[0][0]
    return {"\\": "", "+": " "}.get(character, character)


def _lower(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character
