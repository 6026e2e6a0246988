"""HTTP requests and responses as values.

The pure layers build a `Request` and get a `Response`; the transport moves the bytes. Upload URLs
and tus endpoints are bearer secrets, so no `repr` shows a query, a header value or a body.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import unquote, unquote_plus, urlsplit

from msgspec import Struct

from livepeer_async.redaction import (
    SHORTEST_SECRET,
    hide,
    secrets_of_upload,
    without_query,
    without_upload,
    words_of,
)

# Headers whose values are no secrets; whatever else a user sends may be one.
_OPEN_HEADERS = frozenset(
    {"accept", "accept-encoding", "content-type", "if-none-match", "user-agent", "x-request-id"}
    | {"tus-resumable", "upload-defer-length", "upload-length", "upload-metadata", "upload-offset"}
    | {"x-http-method-override"}
)
# The same of the parameters of Livepeer's lists.
_OPEN_PARAMETERS = frozenset(
    {"count", "cursor", "details", "filters", "limit", "order", "phase", "playbackId"}
)
# Headers that follow from the request itself, which no caller may set. A second length, or another
# framing than the body has, makes servers take the rest of a body for the next request.
_FRAMING = frozenset({"content-length", "host", "transfer-encoding"})


class Span(Struct, frozen=True):
    """The bytes `start` to `stop` (exclusive) of a source, counted from 0."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes in the span."""
        return self.stop - self.start


class Request(Struct, frozen=True, kw_only=True):
    """An HTTP request.

    Attributes:
        content: the body itself, or the span of the source that is the body.
        hides_path: whether the path is a bearer secret, as that of an upload URL is.
        timeout_factor: factor on the time limit for the response to a chunk.
        other_secrets: those of requests that were redirected here, which the URL may repeat.
    """

    method: str
    url: str
    headers: dict[str, str] = {}
    content: bytes | Span = b""
    hides_path: bool = False
    timeout_factor: float = 1.0
    other_secrets: tuple[str, ...] = ()

    @property
    def span(self) -> Span:
        """The span of the source that is the body; an empty one for a body of its own."""
        return self.content if isinstance(self.content, Span) else Span(0, 0)

    @property
    def origin(self) -> str:
        """Scheme, host and port, as the URL has them."""
        return "/".join(self.url.split("/", 3)[:3])

    @property
    def place(self) -> str:
        """Method and URL without secrets, for messages."""
        return f"{self.method} {self.shown_url}"

    @property
    def shown_url(self) -> str:
        """The URL without secrets."""
        shown = without_upload(self.url) if self.hides_path else without_query(self.url)
        return hide(shown, self.other_secrets) if self.other_secrets else shown

    @property
    def secrets(self) -> tuple[str, ...]:
        """What an answer may echo and nobody may show: keys, the query's values, the upload's name.

        Longest first, so that none is left in part where another is the beginning of it.
        """
        kept = (value for name, value in self.headers.items() if name.lower() not in _OPEN_HEADERS)
        found = {word for value in kept for word in words_of(value)}.union(self.other_secrets)
        path, _, query = self.url.partition("#")[0].partition("?")
        pairs = (pair.partition("=") for pair in query.split("&"))
        values = [value or name for name, _, value in pairs if name not in _OPEN_PARAMETERS]
        found |= {*values, *map(unquote_plus, values), *_credentials_in(path)}
        if self.hides_path:
            found |= secrets_of_upload(path)
        long = (text for text in found if len(text) >= SHORTEST_SECRET)
        return tuple(sorted(long, key=len, reverse=True))

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """List what rich may print: what msgspec lists has all secrets."""
        return [("place", self.place)]

    def __repr__(self) -> str:
        size = self.content.size if isinstance(self.content, Span) else len(self.content)
        return f"<Request {self.place}, {size} bytes>"


class Response(Struct, frozen=True, kw_only=True):
    """An HTTP response, read to its end; the names in `headers` are in lower case.

    Attributes:
        place: of the request.
        request_id: of the request.
        secrets: of the request, which the body may echo.
    """

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    place: str = ""
    request_id: str | None = None
    secrets: tuple[str, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether the status is 200 to 299."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_redirect(self) -> bool:
        """Whether the status is 300 to 399."""
        return HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """List what rich may print: what msgspec lists has headers and body."""
        return [("status", self.status), ("place", self.place)]

    def __repr__(self) -> str:
        return f"<Response {self.status} to {self.place}, {len(self.body)} bytes>"


def merge_headers(*layers: Mapping[str, str]) -> dict[str, str]:
    """Merge headers by their names without case; the last layer that has a name wins.

    Source: RFC 9110, 5.1.
    """
    merged: dict[str, tuple[str, str]] = {}
    for layer in layers:
        for name, value in layer.items():
            merged[name.lower()] = (name, value)
    return dict(merged.values())


def own_headers(
    headers: Mapping[str, str] | None, *, reserved: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Give the headers that a caller may set: not the framing, and none of `reserved`.

    Args:
        headers: as the caller gave them.
        reserved: names in lower case.
    """
    closed = _FRAMING | reserved
    kept = {name: value for name, value in (headers or {}).items() if name.lower() not in closed}
    return merge_headers(kept)


def name_url(url: str) -> str:
    """Give the last part of a URL's path, decoded, or its host; "" where it has neither."""
    try:
        place = urlsplit(url)
        return unquote(place.path.rstrip("/").rpartition("/")[2]) or place.hostname or ""
    except ValueError:
        return ""


def _credentials_in(url: str) -> set[str]:
    """List the password of a URL, or its user if there is none, and what they are sent as."""
    userinfo = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if not userinfo:
        return set()
    user, _, password = map(unquote, userinfo.partition(":"))
    return {password or user, b64encode(f"{user}:{password}".encode()).decode()}


def retry_after(response: Response) -> float | None:
    """Read `Retry-After` as seconds; a date counts from the answer's own `Date`.

    Source: RFC 9110, 10.2.3.
    """
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    then, date = _date(value), answered_at(response)
    if then is None or date is None:
        return None
    return max(0.0, then - date)


def answered_at(response: Response) -> float | None:
    """Read `Date`, the server's time, as seconds since 1970.

    Source: RFC 9110, 6.6.1.
    """
    return _date(response.headers.get("date", ""))


def _date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
        # The forms without a zone mean GMT, as all of HTTP does; Python would take local time.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
