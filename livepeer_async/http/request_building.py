"""Builds the requests of the HTTP library."""

from __future__ import annotations

from collections.abc import AsyncIterable
from types import ModuleType
from typing import Any

from livepeer_async.http.messages import Request, merge_headers
from livepeer_async.version import __version__

USER_AGENT = f"livepeer-async/{__version__}"

# httpx accepts any port; the socket then raises an error that isn't httpx's.
MAX_PORT = 65_535


def build_request(
    module: ModuleType,
    request: Request,
    request_id: str,
    body: AsyncIterable[bytes | memoryview] | bytes,
    extensions: dict[str, Any],
) -> Any:
    """Build the library's request, without the defaults of a user's client.

    Its credentials must not reach the upload host, and its query parameters would replace the
    token.

    Args:
        module: the library.
        request: the request.
        request_id: for `X-Request-ID`.
        body: the bytes to send, if `request.content` is a span.
        extensions: httpcore's extensions.
    """
    defaults = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT}
    headers = merge_headers(defaults, request.headers, {"X-Request-ID": request_id})
    url = module.URL(request.url)
    if url.port is not None and url.port > MAX_PORT:
        raise module.InvalidURL(f"the port is {url.port}; wanted at most {MAX_PORT}")
    content: Any = request.content
    if not isinstance(request.content, bytes):
        headers["Content-Length"] = str(request.content.size)
        content = body
    return module.Request(
        request.method, url, headers=headers, content=content, extensions=extensions
    )
