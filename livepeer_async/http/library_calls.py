"""Awaits calls of the HTTP library, and raises this package's errors for its exceptions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import TypeVar

from livepeer_async.errors import ClientClosed, TooManyOpenFiles
from livepeer_async.http.descriptors import Descriptors, is_shortage
from livepeer_async.http.error_mapping import ErrorMapper, connection_shortage
from livepeer_async.http.log_filter import redact_logs
from livepeer_async.http.messages import Request
from livepeer_async.http.proxies import Proxies
from livepeer_async.http.user_client import is_loop_error, loop_error
from livepeer_async.redaction import clear_variables

T = TypeVar("T")


class LibraryCalls:
    """Calls of the library for one transport.

    Args:
        module: the library.
        proxies: the proxies in use; empty if they are unknown.
        descriptors: waits for a free file descriptor.
        is_closed: returns whether the client is closed in the running event loop.
        is_users: whether the client is the user's.

    Attributes:
        proxy_secrets: credentials of the proxies.
    """

    def __init__(
        self,
        module: ModuleType,
        proxies: Proxies,
        descriptors: Descriptors,
        is_closed: Callable[[], bool],
        *,
        is_users: bool,
    ) -> None:
        self._errors = ErrorMapper(module, proxies)
        self._descriptors = descriptors
        self._is_closed = is_closed
        self._is_users = is_users
        self.proxy_secrets = self._errors.proxy_secrets

    @property
    def exceptions(self) -> tuple[type[Exception], ...]:
        """The library's exceptions."""
        return self._errors.exceptions

    async def run(
        self,
        request: Request,
        request_id: str,
        limits: dict[str, float],
        call: Callable[[], Awaitable[T]],
    ) -> T:
        """Await a call, again while there is no descriptor for its connection.

        Args:
            request: the request.
            request_id: its `X-Request-ID`.
            limits: the library's timeouts for it, in seconds.
            call: the call.
        """
        while True:
            try:
                return await self._call_once(request, request_id, limits, call)
            except TooManyOpenFiles as error:
                # The error of a source has no request.
                if error.request_id is None or not await self._descriptors.wait(
                    "connection", error
                ):
                    raise

    async def _call_once(
        self,
        request: Request,
        request_id: str,
        limits: dict[str, float],
        call: Callable[[], Awaitable[T]],
    ) -> T:
        """Await a call of the library; map its exceptions and redact its log records."""
        try:
            with redact_logs(request, *self._errors.proxy_secrets):
                return await call()
        except self._errors.exceptions as error:
            mapped, cause = self._errors.map(error, request, request_id, limits)
            # Those of the library hold headers and the URL.
            clear_variables(error)
        except OSError as error:
            # From an import: the library loads modules when it first needs them.
            if not is_shortage(error):
                raise
            mapped, cause = connection_shortage(error, request.shown_url, request_id), error
        except RuntimeError as error:
            if self._is_closed():
                message = f"the client was closed during {request.place}"
                raise ClientClosed(message) from error
            if self._is_users and is_loop_error(error):
                raise loop_error(request.place) from error
            raise
        try:
            # Raised outside the handler, which would make the library's exception its context.
            raise mapped from cause
        finally:
            # Breaks the cycle between this frame and the errors' tracebacks.
            del mapped, cause
