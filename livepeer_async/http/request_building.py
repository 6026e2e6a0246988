"""Builds the requests of the HTTP library, and those of our own connections."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from livepeer_async.deferred import deferred_pattern
from livepeer_async.http.messages import merge_headers
from livepeer_async.http.streams import Outgoing
from livepeer_async.version import __version__

USER_AGENT = f"livepeer-async/{__version__}"

# httpx accepts any port; the socket then raises an error that isn't httpx's.
MAX_PORT = 65_535
_DEFAULT_PORTS = {"http": 80, "https": 443}
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
# Path and query that the library doesn't change, which it takes a while to find out.
_PLAIN = r"(?:[A-Za-z0-9._~/=&,:+-]|%[0-9A-Fa-f]{2})*"
_PLAIN_TARGET = deferred_pattern(rf"/{_PLAIN}(?:\?{_PLAIN})?")


class Head(NamedTuple):
    """The head of a request, and where to send it.

    Attributes:
        scheme: http or https.
        host: a host name, or an address without brackets.
        port: port.
        method: method.
        target: path and query, percent-encoded.
        headers: names and values.
    """

    scheme: str
    host: str
    port: int
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]


def build_request(module: ModuleType, outgoing: Outgoing, extensions: dict[str, Any]) -> Any:
    """Build the library's request, without the defaults of a user's client.

    Its credentials must not reach the upload host, and its query parameters would replace the
    token.

    Args:
        module: the library.
        outgoing: the request.
        extensions: httpcore's extensions.
    """
    request = outgoing.request
    content: Any = request.content if isinstance(request.content, bytes) else outgoing.body
    return module.Request(
        request.method,
        _parse_url(module, request.url),
        headers=_merge_headers(outgoing),
        content=content,
        extensions=extensions,
    )


def build_head(module: ModuleType, outgoing: Outgoing) -> Head:
    """Build the same request as `build_request`, without the library's.

    Raises:
        Exception: the library's, for an invalid URL.
        UnicodeError: a header or the host can't be encoded.
    """
    request = outgoing.request
    origin = request.origin
    target = request.url.removeprefix(origin)
    if _PLAIN_TARGET.fullmatch(target) and "/." not in target:
        url, raw_target = _parse_origin(module, origin), target.encode()
    else:
        url = _parse_url(module, request.url)
        raw_target = url.raw_path
    if url.scheme not in _DEFAULT_PORTS:
        message = f"the URL begins with {url.scheme!r}; wanted http:// or https://"
        raise module.UnsupportedProtocol(message)
    headers = {"Host": url.netloc.decode("ascii")} | _merge_headers(outgoing)
    method = request.method.upper()
    if isinstance(request.content, bytes) and (request.content or method in _WITH_LENGTH):
        headers["Content-Length"] = str(len(request.content))
    if url.userinfo:
        credentials = b64encode(f"{url.username}:{url.password}".encode()).decode()
        headers = merge_headers(headers, {"Authorization": f"Basic {credentials}"})
    encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    port = url.port or _DEFAULT_PORTS[url.scheme]
    return Head(url.scheme, url.raw_host.decode("ascii"), port, method, raw_target, encoded)


def _merge_headers(outgoing: Outgoing) -> dict[str, str]:
    request = outgoing.request
    defaults = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT}
    headers = merge_headers(defaults, request.headers, {"X-Request-ID": outgoing.request_id})
    if not isinstance(request.content, bytes):
        headers["Content-Length"] = str(request.content.size)
    return headers


def _parse_url(module: ModuleType, url: str) -> Any:
    parsed = module.URL(url)
    if parsed.port is not None and parsed.port > MAX_PORT:
        raise module.InvalidURL(f"the port is {parsed.port}; wanted at most {MAX_PORT}")
    return parsed


@lru_cache(maxsize=64)
def _parse_origin(module: ModuleType, origin: str) -> Any:
    return _parse_url(module, f"{origin}/")
