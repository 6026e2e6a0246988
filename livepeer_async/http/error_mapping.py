"""Translation of the HTTP library's exceptions into this package's errors, without secrets.

The library quotes what a server sent, and servers quote what they were sent. Secrets of the request
and of its proxy are taken out of the message and out of the exceptions that stay in its chain.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from livepeer_async.errors import (
    ConfigurationError,
    ConnectFailed,
    ConnectionBroken,
    LivepeerError,
    TimedOut,
)
from livepeer_async.http.messages import Request
from livepeer_async.http.proxies import Proxies
from livepeer_async.redaction import redact


class Translation:
    """Translates exceptions of one HTTP library.

    Attributes:
        kinds: the exceptions that it translates.
        proxy_secrets: what may come up in messages beside the secrets of a request.

    Args:
        module: the library.
        proxies: those that requests go through, as far as they are known.
    """

    def __init__(self, module: ModuleType, proxies: Proxies) -> None:
        self._module = module
        self._proxies = proxies
        self.proxy_secrets = proxies.secrets
        self.kinds = (module.InvalidURL, module.RequestError, UnicodeError)

    def translate(
        self, error: Exception, request: Request, request_id: str, limits: dict[str, float]
    ) -> tuple[LivepeerError, Exception | None]:
        """Give the error to raise, and its cause if that can be shown.

        Args:
            error: one of `kinds`.
            request: what was sent.
            request_id: its `X-Request-ID`.
            limits: its time limits in seconds, as the library knows them.
        """
        module = self._module
        if isinstance(error, module.InvalidURL | module.UnsupportedProtocol):
            # It quotes pieces of the URL, which may be those of a password.
            said = "it can't be read" if "@" in request.url else redact(str(error))
            return ConfigurationError(f"{request.place}: {said}"), None
        if isinstance(error, module.LocalProtocolError | UnicodeError):
            # It quotes the header's value.
            message = (
                f"{request.place} can't be sent: a header holds a line break, or what isn't ASCII"
            )
            return ConfigurationError(message, request_id=request_id), None
        proxy = self._proxies.find(request.url)
        hide = partial(_redact, secrets=(*request.secrets, *self.proxy_secrets))
        cause = error if clean(error, hide) else None
        said = hide(str(error)).rstrip(".") or type(error).__name__
        through = f" through the proxy {proxy.place} of {proxy.variable}" if proxy else ""
        if isinstance(error, module.ReadTimeout | module.WriteTimeout):
            kind = "read" if isinstance(error, module.ReadTimeout) else "write"
            said = f"nothing moved for {limits[kind]:.3g} s ({request.place}{through}): {said}"
        return self._network_error(error, said, request, through)(request_id=request_id), cause

    def _network_error(
        self, error: Exception, said: str, request: Request, through: str
    ) -> Callable[..., LivepeerError]:
        module, place = self._module, f"{request.place}{through}"
        # A proxy that refuses to connect has sent nothing on.
        if isinstance(error, module.ConnectError | module.ConnectTimeout | module.ProxyError):
            return partial(ConnectFailed, f"no connection to {request.shown_url}{through}: {said}")
        if isinstance(error, module.PoolTimeout):
            return partial(ConnectFailed, f"no free connection for {place}")
        if isinstance(error, module.TimeoutException):
            return partial(TimedOut, said)
        return partial(ConnectionBroken, f"{said} ({place})")


def module_of(client: Any) -> ModuleType:
    """Find httpx, or its fork, through the class of a client."""
    for kind in type(client).__mro__:
        module = sys.modules[kind.__module__.partition(".")[0]]
        if hasattr(module, "AsyncClient") and hasattr(module, "RequestError"):
            return module
    raise ConfigurationError(
        f"http_client is a {type(client).__name__}; wanted an httpx.AsyncClient or httpx2's"
    )


def clean(error: BaseException, hide: Callable[[str], str]) -> bool:
    """Take secrets out of the arguments of an exception and of all that led to it.

    One that makes its text of something else is taken out of the chain.

    Args:
        error: the last of the chain; all of it is changed.
        hide: takes secrets out of a text.

    Returns:
        Whether the exception itself has none any more.
    """
    chain = _chain(error)
    for shown in reversed(chain):
        if not _members(shown):
            shown.args = tuple(_hidden(argument, hide) for argument in shown.args)
        if isinstance(shown, OSError) and shown.strerror:
            shown.strerror = hide(shown.strerror)
        if hasattr(shown, "__notes__"):
            shown.__notes__ = [hide(note) for note in shown.__notes__]
    for shown in chain:
        if shown.__cause__ is not None and not _is_clean(shown.__cause__, hide):
            shown.__cause__ = None
        if shown.__context__ is not None and not _is_clean(shown.__context__, hide):
            shown.__context__ = None
    return _is_clean(error, hide)


def _chain(error: BaseException) -> list[BaseException]:
    """List an exception, all that led to it, and the members of groups."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        shown = waiting.pop()
        if shown is not None and id(shown) not in found:
            found[id(shown)] = shown
            waiting += [shown.__cause__, shown.__context__, *_members(shown)]
    return list(found.values())


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """Give the members of an exception group; its arguments can't be set."""
    members: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return members


def _is_clean(error: BaseException, hide: Callable[[str], str]) -> bool:
    return all(hide(text) == text for text in (str(error), repr(error)))


def _hidden(argument: object, hide: Callable[[str], str]) -> object:
    """Give an argument, or its text if that holds a secret."""
    text = argument if isinstance(argument, str) else repr(argument)
    hidden = hide(text)
    return argument if hidden == text else hidden


def _redact(text: str, *, secrets: tuple[str, ...]) -> str:
    return redact(text, *secrets)
