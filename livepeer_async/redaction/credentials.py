"""Patterns of credentials in text: tokens, headers, fields, parameters and upload paths. Pure.

A text may be part of a larger one: a JSON document within a JSON string, a URL within a query. So
quotes may have backslashes before them, and slashes and `=` may be percent-encoded.
"""

from __future__ import annotations

import re

from livepeer_async.deferred import deferred_pattern

REDACTED = "***"
# Shorter values are words, such as "gzip" or "true".
MIN_SECRET_LENGTH = 8

# The last words of the names of fields, arguments, parameters and headers with a secret.
_NAME = (
    r"(?:token|(?:api|access|encrypted|private|secret|signing|stream)[-_]?key|secret|password"
    r"|passphrase|credentials?|signature|\bsig|authorization|cookie)"
)
_SLASH = r"(?:\\*/|%(?:25)*2f)"
_EQUALS = r"(?:=|%(?:25)*3d)"
# A quoted value, of bytes perhaps; a cut text may lack the last quote.
_QUOTED = r"(b?(\\*[\"']))(?:(?!\3)(?:\\+.|[^\\\r\n]))++"
_SCHEME = r"(?:(?:basic|bearer|jwt|digest|negotiate)\s+)?+"
_WORD = r"[^\s\"',;<>]"

# Rules for texts in which one of the names occurs.
_NAMED = {
    # A field, an item of a dict, or an argument; a pair of a name and a value.
    rf"({_NAME}(?:\\*[\"'])?\s*[:=]\s*){_QUOTED}": rf"\1\2{REDACTED}",
    rf"({_NAME}\\*[\"']\s*,\s*){_QUOTED}": rf"\1\2{REDACTED}",
    # A parameter, or a variable of the environment.
    rf"({_NAME}{_EQUALS})(?!b?\\*[\"'])(?:(?!%26)[^\s&\"'<>])+": rf"\1{REDACTED}",
    # An option of a command.
    rf"((?<![\w-])--[a-z-]{{0,24}}{_NAME}\s+)(?!-){_WORD}+": rf"\1{REDACTED}",
    # A header. A value of another name, without quotes, may be prose.
    rf"(authorization\s*:\s*{_SCHEME})(?!\*\*\*){_WORD}+": rf"\1{REDACTED}",
    r"(cookie\s*:\s*)[^\s\"'<>][^\r\n\"'<>]*": rf"\1{REDACTED}",
    rf"({_NAME}\s*:\s*)(?={_WORD}*\d){_WORD}{{8,}}": rf"\1{REDACTED}",
}
_UNNAMED = {
    # The upload ID in an upload path at Livepeer.
    rf"({_SLASH}upload{_SLASH}tus{_SLASH}(?:directUpload{_SLASH})?+[\w-]{{4}})"
    r"[\w%+=~.-]*[\w%+=~-]": r"\1…",
    # The debug data of an HTTP/2 GOAWAY frame in hex, as h2 logs it.
    r"(additional_data:)[0-9a-f]{2,}": rf"\1{REDACTED}",
    r"(webhook_?context(?:\\*[\"'])?\s*[:=]\s*)\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}?": rf"\1{REDACTED}",
    # Of a webhook's `Livepeer-Signature` header.
    r"\b(v[0-9]=)[0-9a-f]{32,}": rf"\1{REDACTED}",
    r"\b(bearer|authorization\W{1,8}basic)\s+[^\s\"',;]+": rf"\1 {REDACTED}",
    # In messages of the server, "jwt" has a word after it, such as "jwt expired".
    r"\b(jwt)\s+(?=\S*\d|\S{24})[^\s\"',;]+": rf"\1 {REDACTED}",
    # What Livepeer says of a wrong API key.
    r"(\bno token )[^\s\"'<>]+(?= found)": rf"\1{REDACTED}",
    # The path of an ingest URL ends with the key of a stream.
    r"(\brtmps?://[^\s\"'<>]*/)[^\s\"'<>/]+": rf"\1{REDACTED}",
}
_HAS_NAME = deferred_pattern(_NAME, re.IGNORECASE)
_NAMED_RULES, _UNNAMED_RULES = (
    [(deferred_pattern(pattern, re.IGNORECASE), shown) for pattern, shown in rules.items()]
    for rules in (_NAMED, _UNNAMED)
)
# A JSON web token: up to five base64url parts, the first of which begins with '{"' in base64. The
# character before it may be a letter, such as the D of an encoded "=".
_JSON_WEB_TOKEN = deferred_pattern(r"eyJ[\w-]+(?:\.[\w-]*){0,4}")


def redact_credentials(text: str) -> str:
    """Replace everything that looks like a credential."""
    for pattern, shown in _UNNAMED_RULES:
        text = pattern.sub(shown, text)
    if _HAS_NAME.search(text):
        for pattern, shown in _NAMED_RULES:
            text = pattern.sub(shown, text)
    return _JSON_WEB_TOKEN.sub(REDACTED, text)
