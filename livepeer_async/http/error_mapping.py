"""Maps the HTTP library's exceptions to this package's errors, without secrets.

The library quotes the response, and the response may quote the request. Secrets of the
request and of its proxy are removed from messages; a cause that shows one is dropped.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType

from livepeer_async.errors import (
    ConfigurationError,
    ConnectFailed,
    ConnectionBroken,
    LivepeerError,
    TimedOut,
)
from livepeer_async.http.http2 import describe_event
from livepeer_async.http.messages import Request, find_invalid_part
from livepeer_async.http.proxies import Proxies
from livepeer_async.http.shortages import is_shortage, shortage_error
from livepeer_async.redaction import chain, redact

# Exceptions whose text is empty.
_UNEXPLAINED = {"ConnectTimeout": "no response in time"}


class ErrorMapper:
    """Maps exceptions of one HTTP library.

    Args:
        module: the library.
        proxies: the proxies in use; empty if they are unknown.

    Attributes:
        proxy_secrets: credentials of the proxies, which messages may quote too.
    """

    def __init__(self, module: ModuleType, proxies: Proxies) -> None:
        self._module = module
        self._proxies = proxies
        self.proxy_secrets = proxies.secrets

    @property
    def exceptions(self) -> tuple[type[Exception], ...]:
        """The exception classes that it maps."""
        module = self._module
        # httpx lets some exceptions of h2 through, which it imports when a client needs HTTP/2.
        h2 = getattr(sys.modules.get("h2.exceptions"), "H2Error", UnicodeError)
        return (module.InvalidURL, module.RequestError, UnicodeError, h2)

    def map(
        self, error: Exception, request: Request, request_id: str, limits: dict[str, float]
    ) -> tuple[LivepeerError, Exception | None]:
        """Return the error to raise, and its cause unless the cause would show a secret.

        Args:
            error: one of `exceptions`.
            request: the request.
            request_id: its `X-Request-ID`.
            limits: the library's timeouts for it, in seconds.
        """
        module = self._module
        if isinstance(error, module.InvalidURL | module.UnsupportedProtocol):
            # The exception quotes parts of the URL, perhaps of a password.
            reason = "the URL is invalid" if "@" in request.url else redact(str(error))
            return ConfigurationError(f"{request.place}: {reason}"), None
        # A local error without an invalid header is about the connection's state, such as that of
        # an HTTP/2 stream that the server has reset.
        fault = find_invalid_part(request)
        if fault is None and isinstance(error, UnicodeError):
            fault = "its URL can't be encoded"
        if fault is not None and isinstance(error, module.LocalProtocolError | UnicodeError):
            # The exception quotes the header's value.
            message = f"{request.place} can't be sent: {fault}"
            return ConfigurationError(message, request_id=request_id), None
        proxy = self._proxies.find(request.url)
        redact_text = partial(_redact, secrets=(*request.secrets, *self.proxy_secrets))
        cause = None if shows_secret(error, redact_text) else error
        found = describe_http2(error) or describe_system(error)
        reason = found or redact_text(str(error)).rstrip(".")
        through = f" through the proxy {proxy.address} of {proxy.variable}" if proxy else ""
        if isinstance(error, module.ReadTimeout | module.WriteTimeout):
            kind = "read" if isinstance(error, module.ReadTimeout) else "write"
            silence = f"no progress for {limits[kind]:.3g} s ({request.place}{through})"
            reason = f"{silence}: {reason}" if reason else silence
        reason = reason or _UNEXPLAINED.get(type(error).__name__, type(error).__name__)
        return self._network_error(error, reason, request, through)(request_id=request_id), cause

    def _network_error(
        self, error: Exception, reason: str, request: Request, through: str
    ) -> Callable[..., LivepeerError]:
        module, place = self._module, f"{request.place}{through}"
        # A proxy that fails to connect hasn't forwarded anything.
        if isinstance(error, module.ConnectError | module.ConnectTimeout | module.ProxyError):
            if is_shortage(error):
                return partial(connection_shortage, error, f"{request.shown_url}{through}")
            return partial(
                ConnectFailed, f"no connection to {request.shown_url}{through}: {reason}"
            )
        if isinstance(error, module.PoolTimeout):
            return partial(ConnectFailed, f"no free connection for {place}")
        if isinstance(error, module.TimeoutException):
            return partial(TimedOut, reason)
        return partial(ConnectionBroken, f"{reason} ({place})")


def describe_http2(error: BaseException) -> str | None:
    """Describe an error of an HTTP/2 stream or connection; `None` for other errors.

    httpx quotes the repr of h2's event, or the number of the stream.
    """
    links = chain(error)
    for event in (*links, *(argument for link in links for argument in link.args)):
        if getattr(event, "error_code", None) is not None:
            return describe_event(event)
    return None


def describe_system(error: BaseException) -> str | None:
    """Return the operating system's reason for a failure; `None` for other errors.

    anyio says "All connection attempts failed" for whatever reason.
    """
    links = [link for link in chain(error) if isinstance(link, OSError)]
    # The number of an SSLError is OpenSSL's.
    if any(isinstance(link, ssl.SSLError) for link in links):
        return None
    # The text of asyncio only repeats the address; that of the resolver has no positive number.
    texts = (os.strerror(it.errno) if it.errno > 0 else it.strerror for it in links if it.errno)
    return next((text.lower() for text in texts if text), None)


def shows_secret(error: BaseException, redact_text: Callable[[str], str]) -> bool:
    """Whether an exception, or one in its chain, has a text that `redact_text` changes."""
    return any(
        redact_text(text) != text
        for link in chain(error)
        for text in (str(link), repr(link), *getattr(link, "__notes__", ()))
    )


def connection_shortage(error: BaseException, place: str, request_id: str) -> LivepeerError:
    """Return the error for a connection that found no free file descriptor.

    Args:
        error: the shortage.
        place: the URL without secrets, and the proxy.
        request_id: the `X-Request-ID` of the request.
    """
    shortage = shortage_error(error, f"no connection to {place}")
    shortage.request_id = request_id
    return shortage


def _redact(text: str, *, secrets: tuple[str, ...]) -> str:
    return redact(text, *secrets)
