"""HTTP requests and responses as values.

The pure layers build a `Request` and read a `Response`; the transport sends and receives. Upload
URLs and tus endpoints are bearer secrets, so reprs show no query, header or body.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

import msgspec
from msgspec import Struct

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import DecodeError, is_transient_status
from livepeer_async.models.json_repair import decode_leniently
from livepeer_async.redaction import (
    MIN_SECRET_LENGTH,
    excerpt,
    find_credentials,
    find_upload_secrets,
    redact,
    redact_upload_url,
    redact_url,
    redacted,
    replace_secrets,
)

# Headers whose values aren't secrets; the value of any other header may be one.
_PUBLIC_HEADERS = frozenset(
    {"accept", "accept-encoding", "content-type", "if-none-match", "user-agent", "x-request-id"}
    | {"tus-resumable", "upload-defer-length", "upload-length", "upload-metadata", "upload-offset"}
    | {"x-http-method-override"}
)
# Query parameters of Livepeer's lists, which aren't secrets either.
_PUBLIC_PARAMETERS = frozenset(
    {"count", "cursor", "details", "filters", "limit", "order", "phase", "playbackId"}
)
_OVERLOAD = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
# Headers that only the HTTP library sets. A second length, or a framing that the body doesn't have,
# makes a server read the rest of the body as the next request.
_FRAMING = frozenset({"content-length", "host", "transfer-encoding"})

# Source: RFC 9110, 5.6.2 and 5.5.
_TOKEN = deferred_pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = deferred_pattern(r"[\t -~]*")

# Markup of a page; its head mostly repeats the heading as a title, and nginx and Apache sign below
# a line.
_TAG = deferred_pattern(rb"<[^>]*>")
_MARKUP = deferred_pattern(rb"(?is)<!--.*?-->|<(head|script|style)\b.*?</\1\s*>|<hr\b.*|<[^>]*>")
# Bytes of a page that are read for a message.
_MAX_PAGE = 8 * 1024

_CHARSET = deferred_pattern(r"(?i);\s*charset\s*=\s*[\"']?([^\"';,\s]+)")


class Span(Struct, frozen=True):
    """A range of bytes of a source: `start` inclusive, `stop` exclusive."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.stop - self.start


@redacted("place")
class Request(Struct, frozen=True, kw_only=True):
    """An HTTP request.

    Attributes:
        content: the body, or the range of the source to send as the body.
        hides_path: whether the path is a bearer secret, as in an upload URL.
        alias: the URL that messages show instead, if the request's own would only confuse.
        timeout_factor: multiplies the time limit for the response to a chunk.
        other_secrets: secrets of the requests that were redirected here; the URL may repeat them.
    """

    method: str
    url: str
    headers: dict[str, str] = {}
    content: bytes | Span = b""
    hides_path: bool = False
    alias: str = ""
    timeout_factor: float = 1.0
    other_secrets: tuple[str, ...] = ()

    @property
    def span(self) -> Span:
        """The range of the source to send as the body; empty if the body is in `content`."""
        return self.content if isinstance(self.content, Span) else Span(0, 0)

    @property
    def origin(self) -> str:
        """Scheme, host and port, as written in the URL, without userinfo."""
        return origin_of(self.url)

    @property
    def place(self) -> str:
        """Method and URL without secrets, for messages."""
        return f"{self.method} {self.shown_url}"

    @property
    def shown_url(self) -> str:
        """The URL without secrets."""
        url = self.alias or self.url
        shown = redact_upload_url(url) if self.hides_path else redact_url(url)
        return replace_secrets(shown, self.other_secrets) if self.other_secrets else shown

    @property
    def secrets(self) -> tuple[str, ...]:
        """Strings that a response may echo but that must not be shown, longest first.

        They come from the headers, the userinfo, the query, and the path of an upload URL.
        """
        found = set(self.other_secrets)
        for name, value in self.headers.items():
            if name.lower() not in _PUBLIC_HEADERS:
                found |= find_credentials(value)
        path, _, query = self.url.partition("#")[0].partition("?")
        pairs = (pair.partition("=") for pair in query.split("&"))
        values = [value or name for name, _, value in pairs if name not in _PUBLIC_PARAMETERS]
        found |= {*values, *map(unquote_plus, values), *_credentials_in(path)}
        if self.hides_path:
            found |= find_upload_secrets(path)
        long = (text for text in found if len(text) >= MIN_SECRET_LENGTH)
        return tuple(sorted(long, key=len, reverse=True))


@redacted("status", "place")
class Response(Struct, frozen=True, kw_only=True):
    """An HTTP response with its complete body.

    Attributes:
        headers: names in lower case.
        set_cookies: the values of its `Set-Cookie` lines, which may be secrets.
        place: method and URL of the request, without secrets.
        request_id: `X-Request-ID` of the request.
        secrets: secrets of the request, which the body may echo.
    """

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    set_cookies: tuple[str, ...] = ()
    place: str = ""
    request_id: str | None = None
    secrets: tuple[str, ...] = ()

    def explain(self, *secrets: str | None) -> str:
        """Return what the body says, on one short line without secrets and markup."""
        page = self.body[:_MAX_PAGE].lstrip()
        if not page.startswith(b"<"):
            return excerpt(self.body, *secrets, *self.secrets)
        if len(self.body) > _MAX_PAGE:
            # The last word may be a part of a secret, which wouldn't be recognized.
            page = page.rpartition(b" ")[0]
        texts = (_MARKUP.sub(b" ", page), _TAG.sub(b" ", page), page)
        text = next((it for it in texts if it.strip()), b"")
        return excerpt(text, *secrets, *self.secrets)

    @property
    def text(self) -> str:
        """The body as text, in the charset of `Content-Type` or else UTF-8.

        Bytes that can't be decoded become U+FFFD.
        """
        match = _CHARSET.search(self.headers.get("content-type", ""))
        with suppress(LookupError, ValueError):  # an unknown charset
            return self.body.decode(match[1] if match else "utf-8", "replace")
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Decode the body as JSON.

        Raises:
            DecodeError: it isn't JSON. The message shows its beginning, without the API key.
        """
        try:
            return decode_leniently(msgspec.json.decode, self.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            # Only the message is kept: the exception's attributes hold a part of the body.
            reason = redact(str(error), *self.secrets)
        shown = excerpt(self.body, *self.secrets)
        raise DecodeError(
            f"{self.place} returned {self.status} with a body that isn't JSON: {reason}; "
            + (f"it begins with {shown!r}" if shown else "it is empty"),
            path="$",
            request_id=self.request_id,
        )

    def single(self, name: str, *, separator: str = ",") -> str | None:
        """Return the value of a header that may have only one; equal repetitions count once.

        Proxies repeat header lines, and libraries join them. Different values stay joined, which
        makes the value invalid.

        Args:
            name: in lower case.
            separator: between repetitions; ", " for values that contain commas.

        Source: RFC 9110, 5.3 and 8.6 (`Content-Length: 42, 42`).
        """
        value = self.headers.get(name)
        if value is None or "," not in value:
            return value
        parts = [part.strip() for part in value.split(separator)]
        for size in (1, 2):  # a date contains a comma
            repeated = parts[:size] * (len(parts) // size)
            if len(parts) > size and parts == repeated:
                return f"{separator.strip()} ".join(parts[:size])
        return value

    @property
    def is_success(self) -> bool:
        """Whether the status is 200 to 299."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_redirect(self) -> bool:
        """Whether the status is 300 to 399."""
        return HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return is_transient_status(self.status)

    @property
    def is_overload(self) -> bool:
        """Whether the server asks for less load: 429 or 503."""
        return self.status in _OVERLOAD

    @property
    def date(self) -> float | None:
        """`Date`, the server's time, in seconds since 1970.

        Source: RFC 9110, 6.6.1.
        """
        return _parse_date(self.single("date") or "")

    @property
    def retry_after(self) -> float | None:
        """`Retry-After` in seconds; a date counts from the response's own `Date`.

        Source: RFC 9110, 10.2.3.
        """
        value = (self.single("retry-after") or "").strip()
        if value.isascii() and value.isdigit():
            return float(value[:9])
        retry_at, now = _parse_date(value), self.date
        return None if retry_at is None or now is None else max(0.0, retry_at - now)


def origin_of(url: str) -> str:
    """Return scheme, host and port, as written in a URL, without userinfo."""
    scheme, _, rest = url.partition("//")
    return f"{scheme}//{rest.split('/', 1)[0].rpartition('@')[2]}"


def merge_headers(*layers: Mapping[str, str]) -> dict[str, str]:
    """Merge headers, comparing names without case; the last value of a name wins.

    Source: RFC 9110, 5.1.
    """
    merged: dict[str, tuple[str, str]] = {}
    for layer in layers:
        for name, value in layer.items():
            merged[name.lower()] = (name, value)
    return dict(merged.values())


def filter_headers(
    headers: Mapping[str, str] | None, *, reserved: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Drop the headers that a caller can't set: the framing headers, and `reserved`.

    Args:
        headers: the caller's headers.
        reserved: names in lower case.
    """
    dropped = _FRAMING | reserved
    kept = {name: value for name, value in (headers or {}).items() if name.lower() not in dropped}
    return merge_headers(kept)


def find_invalid_part(request: Request) -> str | None:
    """Return why the method or a header of a request can't be sent; `None` if they can.

    Source: RFC 9110, 5.1, 5.5 and 9.1; RFC 9113, 8.2.2 (TE).
    """
    if not _TOKEN.fullmatch(request.method):
        return "its method isn't a token, such as GET"
    for name, value in request.headers.items():
        if not _TOKEN.fullmatch(name):
            return "the name of a header isn't a token, such as X-Name"
        if not _FIELD_VALUE.fullmatch(value) or value.strip(" \t") != value:
            return (
                f"the header {name} contains a line break, a control character, a character "
                "outside ASCII, or a space at an end"
            )
        if name.lower() == "te" and value.lower() != "trailers":
            return f"HTTP/2 doesn't allow the header {name}, unless it is 'trailers'"
    return None


def file_name_from_url(url: str) -> str:
    """Return the last segment of a URL's path, decoded, or else the host; "" without either."""
    try:
        parts = urlsplit(url)
        return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or ""
    except ValueError:
        return ""


def _credentials_in(url: str) -> set[str]:
    """Return the password of a URL, or else its user, and the encoded credentials."""
    userinfo = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if not userinfo:
        return set()
    user, _, password = map(unquote, userinfo.partition(":"))
    return {password or user, b64encode(f"{user}:{password}".encode()).decode()}


def _parse_date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
        # A date without a zone means GMT in HTTP, and local time in Python.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
