"""URLs of raw requests, which have the API key and must not leave the API's origin."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import ConfigurationError
from livepeer_async.redaction import redact_url

_DEFAULT_PORTS = {"http": 80, "https": 443}
# A scheme, or the slashes before a host. `https:/host` is no path either.
_ABSOLUTE = deferred_pattern(r"(?i)[a-z][a-z0-9+.-]*:[/\\]|[/\\]{2}")
ADVICE = "request other servers with an HTTP client of your own"


def resolve_url(base_url: str, path: object) -> str:
    """Return the URL of a request: a path below the base URL, or a URL of the same origin.

    Args:
        base_url: the base URL, without a slash at its end.
        path: the path, or the URL.

    Raises:
        ConfigurationError: it is neither, or could leave the origin or the base URL.
    """
    if not isinstance(path, str):
        raise ConfigurationError(
            f"the path is a {type(path).__name__}; wanted a string such as '/stream'"
        )
    path = path.partition("#")[0]
    shown, bare = redact_url(path), path.partition("?")[0]
    if "\\" in bare or not path.isprintable():
        raise ConfigurationError(
            f"the path {shown!r} contains a backslash or a control character; wanted a path such "
            "as '/stream'"
        )
    if any(unquote(segment) == ".." for segment in unquote(bare).split("/")):
        raise ConfigurationError(
            f"the path {shown!r} contains '..'; wanted a path below {redact_url(base_url)}"
        )
    if not _ABSOLUTE.match(path):
        return f"{base_url}/{path.lstrip('/')}"
    base = urlsplit(base_url)
    url = f"{base.scheme}:{path}" if path.startswith("/") else path
    if _origin(url) != _origin(base_url):
        raise ConfigurationError(
            f"the request would send the API key to {shown}; wanted a path, or a URL of "
            f"{base.scheme}://{base.netloc.rpartition('@')[2]}",
            advice=ADVICE,
        )
    return url


def _origin(url: str) -> tuple[str, str, int | None, str] | None:
    """Return scheme, host, port and userinfo; `None` if a part is invalid."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname or "", port, parts.netloc.rpartition("@")[0]
