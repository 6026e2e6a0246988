"""Texts for messages: without credentials and URLs that are secrets, and of limited length."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator

from livepeer_async.deferred import deferred_pattern
from livepeer_async.redaction.credentials import REDACTED, redact_credentials
from livepeer_async.redaction.unescaping import unescape
from livepeer_async.redaction.urls import redact_url

# Longer text is cut off. The search takes quadratic time: a minute for 100,000 hostile
# characters, 0.14 s for 4,096. Until known secrets are replaced, escapes may make it longer.
MAX_LENGTH = 4096
_MAX_ESCAPED_LENGTH = 6 * MAX_LENGTH
_URL_IN_TEXT = deferred_pattern(
    r"(?<![a-z0-9+.-])[a-z0-9+.-]+://[^\s?#\"'<>]*(?:[?#][^\s\"'<>)\]]*)?", re.IGNORECASE
)
_END_OF_SENTENCE = ".,:;!)]}"
# Between a name and a value, not after the scheme of a URL.
_COLON = deferred_pattern(r":(?!//)")
_BRACKETS = "\"'{}[]"


def redact(text: object, *secrets: str | None) -> str:
    """Replace the given secrets, and everything that looks like a credential.

    For your own logs, and for hooks of telemetry. URLs lose userinfo, query and fragment, and
    Livepeer's upload URLs all but the first characters of the upload ID. Tokens, Authorization
    headers, signatures, and fields and parameters with names such as `apiKey` or `sharedSecret`
    are replaced. An API key looks like an asset ID and is replaced after such a name, or if it is
    in `secrets`. So is the upload URL of another tus server.

    Args:
        text: a text or a URL; the `str` of any other object.
        secrets: strings to replace, however they are escaped.

    Returns:
        The text, cut off beyond 4,096 characters.
    """
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if secrets:
        text = replace_secrets(_truncate(text, _MAX_ESCAPED_LENGTH), filter(None, secrets))
    text = _URL_IN_TEXT.sub(_redact_match, _truncate(text, MAX_LENGTH))
    return redact_credentials(text)


def excerpt(body: bytes, *secrets: str | None, max_length: int = 120) -> str:
    """Return the beginning of a body on one line, without secrets."""
    text = redact(body[: 8 * max_length].decode("utf-8", "replace"), *secrets)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    is_cut = len(body) > 8 * max_length
    start, _, last = line.rpartition(" ")
    if is_cut and (len(last) <= max_length or len(line) <= max_length):
        # The last word may be the beginning of a secret, which wasn't recognised.
        line = start
    return line[:max_length] + "…" if is_cut or len(line) > max_length else line


def quote_header(value: str, *secrets: str | None, max_length: int = 80) -> str:
    """Return a header's value for a message: quoted, without secrets, and truncated."""
    text = redact(value, *secrets)
    return repr(text if len(text) <= max_length else text[:max_length] + "…")


def limit_text(text: str, max_length: int = MAX_LENGTH) -> str:
    """Cut the middle of a text that is too long for a message; its end often has the reason."""
    if len(text) <= max_length:
        return text
    tail = max_length // 8
    return f"{text[: max_length - tail]}… ({len(text):,} characters) …{text[-tail:]}"


def replace_secrets(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a text, whatever their escaping and case."""
    plain, spans = unescape(text)
    pieces: list[str] = []
    end = 0
    for first, last in sorted(span for secret in secrets for span in _find(plain, secret)):
        start = spans[first][0]
        if start >= end:
            pieces += [text[end:start], REDACTED]
        end = max(end, spans[last][1])
    return "".join([*pieces, text[end:]])


def find_credentials(header: str) -> set[str]:
    """Return the parts of a header's value that may be secrets.

    These are its words, the values of pairs as in cookies, `user:password` and JSON, and the
    decoded credentials of Basic authentication.
    """
    words = set(header.split())
    for word in re.split(r"[\s,;]+", header):
        values = [word.partition("=")[2] or word]
        values += _COLON.split(word)[1:] + _COLON.split(word, maxsplit=1)[1:]
        words |= {word, *(value.strip(_BRACKETS) for value in values)}
    scheme, _, token = header.partition(" ")
    return words | _decode_basic(token) if scheme.lower() == "basic" else words


def _redact_match(match: re.Match[str]) -> str:
    url = match[0].rstrip(_END_OF_SENTENCE)
    return redact_url(url) + match[0][len(url) :]


def _truncate(text: str, max_length: int) -> str:
    """Cut a text before a word, since half a secret isn't recognised."""
    return text if len(text) <= max_length else text[:max_length].rpartition(" ")[0] + "…"


def _decode_basic(token: str) -> set[str]:
    """Source: RFC 7617, 2."""
    try:
        credentials = b64decode(token).decode("utf-8", "replace")
    except ValueError:
        return set()
    user, _, password = credentials.partition(":")
    return {credentials, password or user}


def _find(plain: str, secret: str) -> Iterator[tuple[int, int]]:
    """Yield the indexes of the first and last character of each occurrence in an unescaped text."""
    forms = {unescape(secret)[0]}
    if not secret.isascii():
        # A text whose bytes were escaped one by one is unescaped to Latin-1.
        forms.add(unescape(secret.encode("utf-8", "surrogateescape").decode("latin-1"))[0])
    for form in forms:
        at = plain.find(form) if form else -1
        while at >= 0:
            yield at, at + len(form) - 1
            at = plain.find(form, at + len(form))
