"""The account, and API calls as values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import (
    ApiError,
    ConfigurationError,
    Forbidden,
    NotAuthenticated,
    NotFound,
    is_transient,
)
from livepeer_async.http.messages import Request, Response
from livepeer_async.redaction import hides_variables, redact_url, redacted

T = TypeVar("T")

# Responses to a call that an API key with restricted access may not send. The server responds with
# 403; a proxy in front of it with 401 or 404 too.
REFUSALS = (Forbidden, NotAuthenticated, NotFound)
# A base URL without a scheme or without a host. A key or a password is no dotted name.
_BARE_HOST = deferred_pattern(
    r"https?:/{0,2}|(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|(?:[a-z0-9-]{1,20}\.)+[a-z]{2,10})"
    r"(?::\d{1,5})?(?:/|/api/?)?",
    re.IGNORECASE,
)


@redacted("base_url", base_url=redact_url)
class Account(Struct, frozen=True, kw_only=True):
    """An API endpoint and a key for it.

    Attributes:
        base_url: without a trailing slash, such as "https://livepeer.studio/api".
        api_key: a bearer secret.
    """

    base_url: str
    api_key: str

    @property
    def fingerprint(self) -> str:
        """An identifier of the account that doesn't reveal its key."""
        return hashlib.sha256(f"{self.base_url}\n{self.api_key}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and the decoder of its response.

    Attributes:
        request: the request.
        decode: returns the typed value, or raises the typed error.
        is_repeatable: whether sending the request twice has the same effect as sending it once.
    """

    request: Request
    decode: Callable[[Response], T]
    is_repeatable: bool = True


class Page(Struct, Generic[T], frozen=True):
    """A page of a list; `cursor` points to the next page, and is `None` on the last."""

    items: tuple[T, ...]
    cursor: str | None


@hides_variables
def check_account(base_url: str, api_key: str) -> Account:
    """Validate an account's settings.

    Raises:
        ConfigurationError: the key or the URL is invalid. The message doesn't show the key.
    """
    key = api_key.strip()
    if not key:
        raise ConfigurationError(
            "no API key: set LIVEPEER_API_KEY or pass api_key=; create a key at "
            "https://livepeer.studio, or use the sandbox, which needs none"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"the API key ({len(key)} characters) contains spaces, line breaks or characters "
            "outside ASCII; wanted the key alone on one line"
        )
    if not _is_http_url(base_url):
        raise ConfigurationError(
            f"the base URL is {_show_invalid(base_url)!r}; wanted http:// or https:// and a host, "
            "such as https://livepeer.studio/api"
        )
    return Account(base_url=base_url.rstrip("/"), api_key=key)


def is_safe_to_repeat(call: Call[Any], error: ApiError) -> bool:
    """Whether a call may be sent again after this error response."""
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE and error.retry_after is not None:
        return True
    return call.is_repeatable and is_transient(error)


def _show_invalid(url: str) -> str:
    """Return a URL without secrets; what certainly is a host, or only a scheme, is shown."""
    return url if _BARE_HOST.fullmatch(url) else redact_url(url)


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_valid_port, host = parts.port != 0, parts.hostname or ""
        if host.isascii():
            # Raises for names that can't be resolved, such as a label of 64 letters.
            host.encode("idna")
    except ValueError:
        return False
    is_printable = url.isprintable() and " " not in url
    return is_valid_port and is_printable and parts.scheme in {"http", "https"} and bool(host)
