"""Signatures of events: `Livepeer-Signature: t=MILLISECONDS,v1=HEX`. Pure.

Source: WEBHOOKS.md, "How they are signed". `t` is outside of what is signed, and equals the
`timestamp` inside.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from typing import cast

from msgspec import Struct

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import ConfigurationError, SignatureMismatch, SignatureMissing
from livepeer_async.redaction import Hidden

HEADER = "Livepeer-Signature"
# As in WSGI's environment, without the prefix.
_NAME = HEADER.lower()
_TIMESTAMP = deferred_pattern(r"[0-9]{1,15}", re.ASCII)
# Characters of a header that are read; the server's have 83.
MAX_HEADER = 4096

Secret = str | bytes


class Signature(Struct, frozen=True):
    """A signature header: its time in milliseconds since 1970, and its signatures in hex."""

    timestamp: int
    digests: tuple[str, ...]


def as_body(body: object) -> bytes:
    """Return the raw body of a request.

    Raises:
        ConfigurationError: it was parsed or decoded.
    """
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(cast("bytes", body))
    raise ConfigurationError(
        f"the body is a {type(body).__name__}; wanted the bytes of the request before parsing, "
        "such as `await request.body()`, because they are signed"
    )


def as_secrets(secrets: object) -> Hidden[list[bytes]]:
    """Return the shared secrets as bytes.

    Raises:
        ConfigurationError: there is none, or one is empty: anybody can sign with an empty key.
    """
    is_single = secrets is None or isinstance(secrets, Secret)
    given: object = [secrets] if is_single else secrets
    if not isinstance(given, Iterable) or hasattr(secrets, "items"):
        raise ConfigurationError(
            f"the secrets are a {type(secrets).__name__}; wanted a str, or a list of them"
        )
    found = [_encode(secret) for secret in cast("Iterable[object]", given)]
    if found and all(found):
        return Hidden(cast("list[bytes]", found))
    missing = f"secret {found.index(None) + 1} of {len(found)} is" if found else "the secrets are"
    raise ConfigurationError(
        f"{missing} empty or no text; wanted the webhook's shared secret: set one with "
        "livepeer.webhooks.create or update, or in Livepeer Studio, and pass it here"
    )


def read_signature(headers: object) -> Signature:
    """Find and parse the signature in the headers of a request.

    Args:
        headers: a mapping of names in any case, or pairs of them; also a WSGI environment. Names
            and values may be bytes.

    Raises:
        SignatureMissing: there is no signature, or it can't be read.
        ConfigurationError: `headers` is something else.
    """
    values = [value for name, value in _pairs(headers) if _normalise(name) == _NAME]
    if not values:
        raise SignatureMissing(f"the request has no {HEADER} header")
    parts = [part.strip().partition("=") for value in values for part in value.split(",")]
    digests = tuple(value.strip() for name, _, value in parts if name.strip() == "v1")
    times = [value.strip() for name, _, value in parts if name.strip() == "t"]
    if len(times) != 1 or not _TIMESTAMP.fullmatch(times[0]):
        raise SignatureMissing(f"the {HEADER} header has no single t=MILLISECONDS")
    if not any(digests):
        raise SignatureMissing(f"the {HEADER} header has no v1=SIGNATURE")
    return Signature(int(times[0]), digests)


def check_signature(body: bytes, signature: Signature, secrets: Hidden[list[bytes]]) -> None:
    """Compare the signatures with those that the secrets make; takes the same time for each.

    Raises:
        SignatureMismatch: none is equal.
    """
    wanted = [hmac.new(secret, body, hashlib.sha256).hexdigest() for secret in secrets.value]
    pairs = [(ours.encode(), theirs) for ours in wanted for theirs in _as_bytes(signature)]
    # A list, because a generator would end at the first match.
    matches = [hmac.compare_digest(ours, theirs) for ours, theirs in pairs]
    if not any(matches):
        count = "the secret" if len(wanted) == 1 else f"any of the {len(wanted)} secrets"
        raise SignatureMismatch(
            f"the {HEADER} header isn't the signature of these {len(body)} bytes with {count}"
        )


def _as_bytes(signature: Signature) -> list[bytes]:
    return [digest.encode("utf-8", "replace") for digest in signature.digests]


def _encode(secret: object) -> bytes | None:
    """Return a secret as bytes; None if it is empty, no text, or can't be encoded."""
    if isinstance(secret, bytes):
        return secret or None
    if not isinstance(secret, str):
        return None
    return secret.encode("utf-8", "surrogatepass") or None


def _pairs(headers: object) -> Iterator[tuple[str, str]]:
    """Yield the names and values of headers; a value may be a list."""
    items = getattr(headers, "items", None)
    pairs: object = items() if callable(items) else headers
    if not isinstance(pairs, Iterable) or isinstance(pairs, Secret):
        raise ConfigurationError(
            f"the headers are a {type(headers).__name__}; wanted a mapping, such as "
            "`request.headers`"
        )
    for pair in cast("Iterable[object]", pairs):
        if not isinstance(pair, tuple | list) or len(cast("tuple[object, ...]", pair)) != 2:  # noqa: PLR2004 - a name and a value
            raise ConfigurationError("the headers aren't pairs of a name and a value")
        name, value = cast("tuple[object, object]", pair)
        values = cast("list[object]", value) if isinstance(value, tuple | list) else [value]
        for single in values:
            yield _as_text(name), _as_text(single)


def _as_text(value: object) -> str:
    """Return a name or value as text; other objects, as in a WSGI environment, are ignored."""
    if isinstance(value, bytes):
        return value[:MAX_HEADER].decode("latin-1")
    return value[:MAX_HEADER] if isinstance(value, str) else ""


def _normalise(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("http-")
