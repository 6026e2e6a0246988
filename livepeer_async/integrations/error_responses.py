"""HTTP responses for errors: a status for each class, and a body without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from pathlib import PurePath

from livepeer_async import errors
from livepeer_async.models.model import Model
from livepeer_async.redaction import redact

# nginx's status, for its log: the response is never read.
CLIENT_CLOSED_REQUEST = 499
# Seconds of `Retry-After`, unless Livepeer's response has a time.
RETRY_AFTER = 10
# The table of all statuses. A class that isn't listed has the status of its parent.
STATUSES: Mapping[type[BaseException], int] = {
    # The application's own mistakes.
    errors.LivepeerError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.KeyTaken: HTTPStatus.CONFLICT,
    errors.ClientClosed: HTTPStatus.SERVICE_UNAVAILABLE,
    # What the visitor sent.
    errors.SourceError: HTTPStatus.BAD_REQUEST,
    errors.SourceTimedOut: HTTPStatus.REQUEST_TIMEOUT,
    errors.SourceTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.SourceUnsupported: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    # What Livepeer responded. Its 401 is no 401 for the visitor.
    errors.ApiError: HTTPStatus.BAD_GATEWAY,
    errors.BadRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.NotAuthenticated: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.Forbidden: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.TooManyRequests: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NetworkError: HTTPStatus.BAD_GATEWAY,
    errors.TimedOut: HTTPStatus.GATEWAY_TIMEOUT,
    errors.AmbiguousRequest: HTTPStatus.BAD_GATEWAY,
    errors.DecodeError: HTTPStatus.BAD_GATEWAY,
    errors.TusError: HTTPStatus.BAD_GATEWAY,
    errors.IllegalMove: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.UploadStopped: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SourceNotReplayable: HTTPStatus.BAD_GATEWAY,
    # What became of the asset.
    errors.AssetError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.AssetDeleted: HTTPStatus.GONE,
    errors.AssetTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    errors.IntegrityError: HTTPStatus.BAD_GATEWAY,
    # What is wrong with a webhook's request, which Livepeer doesn't repeat.
    errors.WebhookError: HTTPStatus.BAD_REQUEST,
    # The machine.
    errors.TooManyOpenFiles: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.JournalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.JournalUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ClusterError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.UploadInUse: HTTPStatus.CONFLICT,
}
# Instead of messages that name parts of the server or of the account; those are logged.
_HIDDEN: Mapping[int, str] = {
    HTTPStatus.INTERNAL_SERVER_ERROR: "The server has a fault, which was logged.",
    HTTPStatus.BAD_GATEWAY: "The video service failed.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The video service is busy or restarting. Try again later.",
    HTTPStatus.GATEWAY_TIMEOUT: "The video service took too long.",
}
# SQLite's errors that end by themselves, or once the disk has room.
_TRANSIENT_SQLITE = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR")


class ErrorDetail(Model, frozen=True, kw_only=True, omit_defaults=False):
    """Body of an error response, and of the event `failed` of an upload.

    Attributes:
        detail: what went wrong, for a person. FastAPI's own errors have this field, too.
        error: name of the error's class, such as `SourceTooLarge`; `InternalServerError` unless it
            is a `LivepeerError`.
        can_resume: whether a later call with the same key goes on with the upload.
        asset_id: the asset that is concerned.
    """

    detail: str
    error: str
    can_resume: bool = False
    asset_id: str | None = None


def status_of(error: BaseException) -> int:
    """Return the HTTP status for an error."""
    # A visitor who has left; Starlette's exception is known by its name, without an import.
    if isinstance(error, errors.SourceError) and _name(error.__cause__) == "ClientDisconnect":
        return CLIENT_CLOSED_REQUEST
    match error:
        case errors.FormInvalid():
            return error.status
        case errors.ServerError(status=HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.GATEWAY_TIMEOUT):
            return error.status
        case errors.SourceChanged(asset_id=str()):
            # Another video than the one that was uploaded under this key.
            return HTTPStatus.CONFLICT
        case errors.JournalError():
            reason = getattr(error.__cause__, "sqlite_errorname", None) or ""
            if reason.startswith(_TRANSIENT_SQLITE):
                return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            pass
    found = (STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


def headers_of(error: BaseException) -> dict[str, str]:
    """Return the headers of the response for an error: `Retry-After` with a 503."""
    if status_of(error) != HTTPStatus.SERVICE_UNAVAILABLE:
        return {}
    seconds = getattr(error, "retry_after", None)
    return {"Retry-After": str(RETRY_AFTER if seconds is None else ceil(seconds))}


def detail_of(error: BaseException) -> ErrorDetail:
    """Return the body of the response for an error."""
    is_known = isinstance(error, errors.LivepeerError)
    return ErrorDetail(
        detail=_HIDDEN.get(status_of(error)) or _explain(error),
        error=_name(error) if is_known else "InternalServerError",
        can_resume=isinstance(error, errors.LivepeerError) and error.can_resume,
        asset_id=getattr(error, "asset_id", None) if is_known else None,
    )


def _explain(error: BaseException) -> str:
    """Return the message of an error without advice, which is for the application's developer."""
    if isinstance(error, errors.ApiError):
        return redact("; ".join(error.errors)) or HTTPStatus(error.status).phrase
    message = redact(str(error.args[0]))
    if isinstance(error, errors.SourceError):
        # The folders of the server are no concern of the visitor's.
        message = message.replace(error.source, PurePath(error.source).name or error.source)
    return message


def _name(error: object) -> str:
    return type(error).__name__
