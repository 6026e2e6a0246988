"""Error messages for the shell: what was found, what to do, and the exit status.

Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from enum import IntEnum
from http import HTTPStatus
from typing import Any

from msgspec import Struct

from livepeer_async import errors
from livepeer_async.api.calls import REFUSALS
from livepeer_async.errors import LivepeerError
from livepeer_async.ingest.decisions import classify_error
from livepeer_async.ingest.rows import Row
from livepeer_async.redaction import show_source

BASE_URL_ADVICE = "check LIVEPEER_BASE_URL; it ends in /api, such as https://livepeer.studio/api"

CHECK_URL = "check that the URL can be fetched from here and hasn't expired"

NEEDED_ACCESS = "it needs POST /asset/request-upload and GET /asset/ID"


# The server's message for a key that it doesn't know, without the key.
_KEY_UNKNOWN = "no token *** found"


class ExitStatus(IntEnum):
    """The exit status of a command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_AUTHORIZED = 3
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class Scope(Struct, frozen=True, kw_only=True):
    """The context of an error, which determines the advice.

    Attributes:
        is_upload: whether the error is that of a file, which can be uploaded again.
        is_import: whether the server fetches the video from a URL of the command line.
        row: the row of a manifest.
        journal_option: the option that names the journal in suggested commands: "" for the default
            journal, `None` without one.
    """

    is_upload: bool = False
    is_import: bool = False
    row: Row | None = None
    journal_option: str | None = None


NO_SCOPE = Scope()


def format_error(error: LivepeerError, scope: Scope = NO_SCOPE) -> str:
    """Describe an error in one sentence: what was found, and what to do."""
    advice = advise(error, scope)
    message = f"{describe(error)}; {advice}" if advice else describe(error)
    # The message of a SourceError names the source.
    if scope.row is None or scope.row.manifest is None or isinstance(error, errors.SourceError):
        return message
    return f"{show_source(scope.row.source)}: {message}"


def describe(error: LivepeerError) -> str:
    """Return the finding of an error, without its advice for programs."""
    if isinstance(error, errors.NotAuthenticated) and _KEY_UNKNOWN in error.errors:
        return f"{error.status} from {error.url}: the server doesn't know the API key"
    return str(error.args[0]) if error.args else type(error).__name__


def advise(error: LivepeerError, scope: Scope = NO_SCOPE) -> str:
    """Return what to do about an error; "" if there is nothing to do."""
    specific = None
    if scope.row is not None:
        advise_row = _advise_retried_row if will_retry(error) else _advise_failed_row
        specific = advise_row(error, scope.row, scope.journal_option)
    elif scope.is_import:
        specific = _advise_import(error)
    elif scope.is_upload:
        specific = _advise_upload(error, scope.journal_option)
    if specific is not None:
        return specific
    for kind, applies, advice in _ADVICE:
        if isinstance(error, kind) and (applies is None or applies(error)):
            return advice.format(asset_id=getattr(error, "asset_id", None))
    return error.advice


def will_retry(error: LivepeerError) -> bool:
    """Whether the same command may succeed when it retries a row with this error."""
    if isinstance(error, errors.AssetFailed):
        return error.is_retryable and not _is_retry_refused(error)
    return (
        isinstance(error, errors.AssetTimeout | errors.SourceNotReadable)
        or classify_error(error).retry_row
    )


def exit_status_for(failures: Iterable[LivepeerError | None]) -> ExitStatus:
    """Return the exit status for all errors; an authorization error outranks the others."""
    statuses = {_exit_status(error) for error in failures if error is not None}
    for status in (ExitStatus.NOT_AUTHORIZED, ExitStatus.USAGE, ExitStatus.FAILED):
        if status in statuses:
            return status
    return ExitStatus.OK


def _exit_status(error: LivepeerError) -> ExitStatus:
    if isinstance(error, errors.NotAuthenticated | errors.Forbidden):
        return ExitStatus.NOT_AUTHORIZED
    return ExitStatus.USAGE if isinstance(error, errors.ConfigurationError) else ExitStatus.FAILED


def _is_resumable(error: LivepeerError) -> bool:
    has_url = isinstance(error, errors.TusError) and error.upload_url is not None
    return has_url and not isinstance(error, errors.UploadGone)


def _advise_upload(error: LivepeerError, journal_option: str | None) -> str | None:
    """Return the advice for a file of the command line; `None` to use the general advice."""
    if journal_option is not None and _is_resumable(error):
        return "run the same command to resume"
    return "upload the file again" if isinstance(error, errors.AssetDeleted) else None


def _advise_import(error: LivepeerError) -> str | None:
    """Return the advice for a URL of the command line; `None` to use the general advice."""
    if not isinstance(error, errors.AssetFailed):
        return None
    if error.is_retryable:
        return f"check that the URL can be fetched; {RETRY.format(asset_id=error.asset_id)}"
    return f"check that the URL returns a video, and {DELETE.format(asset_id=error.asset_id)}"


def _advise_retried_row(error: LivepeerError, row: Row, journal_option: str | None) -> str | None:
    """Return the advice for a row that the same command retries; `None` for the general one."""
    if isinstance(error, errors.SourceNotReadable) and row.is_url:
        return CHECK_URL
    if isinstance(error, errors.SourceNotReadable | errors.AssetTimeout):
        return None
    if isinstance(error, errors.UploadInUse):
        return ""
    if journal_option is not None and isinstance(error, errors.AssetFailed):
        return "run the same command to process it again"
    if journal_option is not None and _is_resumable(error):
        return "run the same command to resume it"
    return "run the same command to retry it"


def _advise_failed_row(error: LivepeerError, row: Row, journal_option: str | None) -> str | None:
    """Return the advice for a row that needs attention; `None` for the general one."""
    key = shlex.quote(show_source(row.key))
    forget = f"livepeer-async journal forget {key}{journal_option or ''}"
    if isinstance(error, errors.InvalidRequest | errors.BadRequest):
        return "fix the row" if row.manifest is not None else ""
    if _is_key_taken(error):
        is_touched = isinstance(error, errors.SourceChanged) and error.is_touched
        accept = "--ignore-mtime if its content is the same, or " if is_touched else ""
        return f"use {accept}{forget} to upload it again"
    if isinstance(error, errors.AssetFailed) and _is_retry_refused(error):
        return f"{RETRY.format(asset_id=error.asset_id)} and an API key that may do this"
    if isinstance(error, errors.AssetFailed):
        check = f"check that the {'URL returns' if row.is_url else 'file plays as'} a video"
        is_stuck = row.is_url and journal_option is not None
        return f"{check}, and use {forget} to fetch it again" if is_stuck else check
    if isinstance(error, errors.AssetError | errors.IntegrityError | errors.TusError):
        return ""
    return None


def _is_retry_refused(error: LivepeerError) -> bool:
    """Whether the API key may not have a failed asset processed again."""
    return isinstance(error, errors.AssetFailed) and isinstance(error.__cause__, REFUSALS)


def _is_key_taken(error: LivepeerError) -> bool:
    """Whether the key belongs to an asset that was made earlier from another source."""
    is_changed = isinstance(error, errors.SourceChanged) and error.asset_id is not None
    return is_changed or isinstance(error, errors.KeyTaken)


def _is_collection(error: errors.NotFound) -> bool:
    """Whether the path is that of a collection; if it isn't found, the base URL is wrong."""
    is_collection = error.url.rpartition("/")[2] in {"asset", "task", "request-upload", "url"}
    return is_collection or _is_check(error)


def _is_check(error: errors.ApiError) -> bool:
    """Whether the request was a check of the server and the key, which shows the base URL."""
    return not any(f"/{kind}" in error.url for kind in ("asset", "task", "playback"))


FORCE = "--force to upload it as another asset"
RETRY = "to process it again, use livepeer-async assets retry {asset_id} --wait"
DELETE = "delete the asset (livepeer-async assets delete {asset_id})"
# Class, condition, advice; the first match applies.
_ADVICE: tuple[tuple[type[LivepeerError], Callable[[Any], object] | None, str], ...] = (
    (errors.NotAuthenticated, None, "check LIVEPEER_API_KEY"),
    (
        errors.Forbidden,
        lambda error: error.url.endswith("/request-upload") or _is_check(error),
        f"set LIVEPEER_API_KEY to a key that may upload: {NEEDED_ACCESS}",
    ),
    (errors.Forbidden, None, "set LIVEPEER_API_KEY to a key that may do this"),
    (errors.NotFound, _is_collection, BASE_URL_ADVICE),
    (
        errors.NotFound,
        None,
        "check the ID, and that LIVEPEER_API_KEY belongs to the account that owns it",
    ),
    (errors.TooManyRequests, None, "try again once some of the account's tasks have ended"),
    (errors.ServerError, None, "the server failed: try again later"),
    # Redirects aren't followed.
    (errors.ApiError, lambda error: error.status < HTTPStatus.BAD_REQUEST, BASE_URL_ADVICE),
    (errors.ConnectFailed, None, "check the network and LIVEPEER_BASE_URL"),
    (errors.NetworkError, None, "check the network and try again"),
    (errors.DecodeError, None, BASE_URL_ADVICE),
    (
        errors.SourceChanged,
        lambda error: error.is_touched,
        f"use --ignore-mtime if its content is the same, or {FORCE}",
    ),
    (LivepeerError, _is_key_taken, f"use {FORCE}"),
    (errors.SourceChanged, None, "run the same command once it is complete"),
    (
        errors.SourceNotReadable,
        lambda error: error.is_directory,
        "name the files in it, or use livepeer-async ingest",
    ),
    (errors.SourceNotReadable, lambda error: "://" in (error.source or ""), CHECK_URL),
    (errors.SourceNotReadable, None, "check the path and its permissions"),
    (errors.SourceEmpty, None, "check that it was copied or recorded completely"),
    (
        errors.SourceTooLarge,
        lambda error: error.advice,
        "leave out --method direct to send it in chunks",
    ),
    (errors.SourceTooLarge, None, "split the video or encode it smaller"),
    (errors.UploadInUse, None, "wait for it"),
    (errors.IntegrityError, None, f"{DELETE} and upload the file again"),
    (
        errors.TusError,
        lambda error: error.asset_id and error.upload_url,
        f"{DELETE} and upload the file again",
    ),
    (errors.TusError, None, "upload the file again"),
    (
        errors.AssetTimeout,
        None,
        "it may still become ready: livepeer-async assets wait {asset_id}",
    ),
    (errors.AssetFailed, lambda error: error.is_retryable, RETRY),
    (errors.AssetFailed, None, f"check that the file plays as a video, and {DELETE}"),
)
