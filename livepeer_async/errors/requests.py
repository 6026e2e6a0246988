"""Errors of HTTP requests and of the API's responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer_async.deferred import deferred_module
from livepeer_async.errors.base import LivepeerError

if TYPE_CHECKING:
    from livepeer_async import models
else:
    # Imported when annotations are evaluated.
    models = deferred_module("livepeer_async.models")


class NetworkError(LivepeerError):
    """No usable response; `__cause__` is the HTTP library's error."""


class ConnectFailed(NetworkError):
    """No connection could be opened, so the server has received nothing."""


class ConnectionBroken(NetworkError):
    """The connection was closed, or the response wasn't HTTP, after something was sent."""


class TimedOut(NetworkError):
    """No block was accepted, or no response arrived, within the time limit."""


class AmbiguousRequest(LivepeerError):
    """A non-idempotent request was sent and its response was lost.

    `asset_ids` are assets that it may have created, if the client could list them. Another request
    for the same name, at the same time, may have created them instead.
    """

    asset_ids: tuple[str, ...] = ()
    advice = "check what was created before repeating the call"


class ApiError(LivepeerError):
    """Livepeer's API responded with a status of 400 or above, or with a redirect.

    Attributes:
        status: the HTTP status.
        errors: the server's messages, without the API key.
        method: the HTTP method.
        url: the URL without its query.
        violations: how the request violates the API's schema, if the server says so.
        retry_after: seconds that the server asks to wait, if it does.
    """

    def __init__(
        self,
        *,
        status: int,
        errors: tuple[str, ...],
        method: str,
        url: str,
        violations: tuple[models.Violation, ...] = (),
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        said = "; ".join(errors) or "no explanation"
        super().__init__(f"{status} from {method} {url}: {said}", request_id=request_id)
        self.status, self.errors, self.violations = status, errors, violations
        self.method, self.url, self.retry_after = method, url, retry_after


class BadRequest(ApiError):
    """400: the server can't process the request."""


class NotAuthenticated(ApiError):
    """401: the API key is missing, wrong or revoked."""


class Forbidden(ApiError):
    """403: the API key isn't allowed to do this."""


class NotFound(ApiError):
    """404: this account has no such asset, task or playback ID, or the base URL lacks `/api`."""


class InvalidRequest(ApiError):
    """422: the request violates the schema (see `violations`), or the asset's phase forbids it."""


class TooManyRequests(ApiError):
    """429: the account has reached its limit of unfinished tasks."""


class ServerError(ApiError):
    """5xx: the server failed."""


class DecodeError(LivepeerError):
    """A response can't be decoded at `path`, such as `$.asset.id`; `$` is the whole document."""

    def __init__(self, message: str, *, path: str, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.path = path
