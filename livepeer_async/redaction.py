"""Redaction: finds and hides secrets in text, in URLs and in reprs.

Text from outside may quote a secret as it was sent, or escaped by a URL, JSON, HTML or the repr of
bytes, several times over. Pure.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from msgspec import UNSET, Struct

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
# Characters of a text in which secrets are looked for; what is beyond them is cut off. The search
# takes time with the square of the length: of 100,000 that are chosen for it a minute, of these
# 0.14 s.
LONGEST_TEXT = 4096


# The same before secrets are taken out: escaped they may be six times as long.
_LONGEST_ESCAPED_TEXT = 6 * LONGEST_TEXT


_URL_QUERY = re.compile(r"(?i)(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>)\]]*")


_USER_INFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]*@")


# A password may hold a raw "/", "?" or "#", before which no port stands then.
_ODD_USER_INFO = re.compile(
    r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#\"'<>@:]*:(?!\d{0,5}[/?#])[^\s\"'<>@]*@"
)


_TOKEN = re.compile(r"(?i)((?:token|api_?key|signature|secret)=)[^\s&\"'<>]+")


_BEARER = re.compile(r"(?i)\b(bearer|jwt)\s+[^\s\"',;]+")


# What a server says as it closes an HTTP/2 connection, the beginning of it in hex, as h2 shows it.
_GOODBYE = re.compile(r"(additional_data:)[0-9a-f]{2,}")


# The path of an upload at Livepeer, which is all that a server asks for.
_UPLOAD_PATH = re.compile(r"(?i)(/upload/tus/(?:directUpload(?:%2F|/))?[\w-]{4})[\w-]+")


# A JSON web token: up to five base64url parts; the first begins with '{"' in base64. What stands
# before it may be a letter, as the D of an encoded "=".
_JSON_WEB_TOKEN = re.compile(r"eyJ[\w-]+(?:\.[\w-]*){0,4}")


UNREADABLE = "an unreadable URL"

# A URL whose parts can be told apart for certain. A secret key of S3 may hold a raw `/`, which
# moves the `@` of the userinfo into the path: such a URL doesn't match and is masked as a whole.
_PLAIN_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)"
    r"(?:[^/?#]*@)?"
    r"(?P<place>(?:\[[0-9a-f:.]+\]|[^/?#@:]+)(?::\d+)?(?:/[^?#@]*)?)"
    r"(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)


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


def without_query(url: str) -> str:
    """Cut a URL down to scheme, host and path: queries and user names carry secrets."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        if "@" in url and _is_odd(parts):
            return UNREADABLE
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return UNREADABLE


def without_upload(url: str) -> str:
    """Cut an upload URL down to what tells it from others and is no key to it.

    A tus server asks for nothing but the path: who has it may write to the upload.
    """
    shown = without_query(url)
    if shown == UNREADABLE:
        return shown
    known, identifier = split_upload_url(shown)
    hidden = "…" if len(identifier) > SHOWN_OF_UPLOAD else ""
    return f"{known}{identifier[:SHOWN_OF_UPLOAD]}{hidden}"


def _is_odd(parts: SplitResult) -> bool:
    """Whether what stands before the "@" may have been cut at a character of a password."""
    before, at, _ = parts.netloc.rpartition("@")
    return not parts.netloc or (not at and ":" in parts.netloc) or "\\" in before


def redact(text: str, *secrets: str | None) -> str:
    """Take the given secrets, queries and users of URLs, and whatever looks like a token out."""
    if secrets:
        text = hide(_cut(text, _LONGEST_ESCAPED_TEXT), filter(None, secrets))
    text = _cut(text, LONGEST_TEXT)
    text = _ODD_USER_INFO.sub(r"\1", text)
    text = _URL_QUERY.sub(r"\1", text)
    text = _USER_INFO.sub(r"\1", text)
    text = _UPLOAD_PATH.sub(r"\1…", text)
    text = _GOODBYE.sub(rf"\1{REDACTED}", text)
    text = _TOKEN.sub(rf"\1{REDACTED}", text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    return _JSON_WEB_TOKEN.sub(REDACTED, text)


def _cut(text: str, longest: int) -> str:
    """Cut a text short; its last word may be the beginning of a secret that was cut."""
    return text if len(text) <= longest else text[:longest].rpartition(" ")[0] + "…"


def excerpt(body: bytes, *secrets: str | None, longest: int = 120) -> str:
    """Show the beginning of a body on one line, without secrets."""
    text = redact(body[: 8 * longest].decode("utf-8", "replace"), *secrets)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    is_cut = len(body) > 8 * longest
    start, _, last = line.rpartition(" ")
    if is_cut and (len(last) <= longest or len(line) <= longest):
        # The last word may be the beginning of a secret that was cut, and so wasn't recognised.
        line = start
    return line[:longest] + "…" if is_cut or len(line) > longest else line


def header_value(value: str, *secrets: str | None, longest: int = 80) -> str:
    """Show a header's value in a message: quoted, without secrets and cut short."""
    text = redact(value, *secrets)
    return repr(text if len(text) <= longest else text[:longest] + "…")


def hide_query(url: str) -> str:
    """Drop userinfo, query and fragment of a URL; mask what can't be read as a URL."""
    match = _PLAIN_URL.fullmatch(url)
    return match["scheme"] + match["place"] if match else REDACTED


def show_source(source: Any) -> Any:
    """Show a path, a key or another source as it is, and a URL without userinfo and query."""
    return hide_query(source) if isinstance(source, str) and "://" in source else source


def hide_all(_secret: str) -> str:
    """Mask a value as a whole."""
    return REDACTED


def hide_values(named: Mapping[str, object]) -> dict[str, str]:
    """Keep the names, of headers for instance, and mask their values."""
    return dict.fromkeys(named, REDACTED)


def shown_fields(struct: Struct, **masks: Callable[[Any], object]) -> list[tuple[str, Any]]:
    """List name and value of each field, masked where `masks` names the field.

    None and UNSET say that there is no secret and stay as they are.
    """
    shown: list[tuple[str, Any]] = []
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if name in masks and value is not None and value is not UNSET:
            value = masks[name](value)
        shown.append((name, value))
    return shown


def format_repr(struct: Struct) -> str:
    """Write the repr of a Struct from what its `__rich_repr__` shows."""
    fields = ", ".join(f"{name}={value!r}" for name, value in struct.__rich_repr__())
    return f"{type(struct).__name__}({fields})"
