"""What an error means to a person at a shell: one sentence, what to do, and the exit status.

In come errors of the package; out come words and numbers. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from http import HTTPStatus

from livepeer_async.errors import (
    ApiError,
    AssetError,
    AssetFailed,
    AssetTimeout,
    ConfigurationError,
    ConnectFailed,
    DecodeError,
    Forbidden,
    IntegrityError,
    KeyTaken,
    LivepeerError,
    NetworkError,
    NotAuthenticated,
    NotFound,
    ServerError,
    SourceChanged,
    SourceEmpty,
    SourceNotReadable,
    SourceTooLarge,
    TooManyRequests,
    TusError,
    UploadGone,
    UploadInUse,
)


class Status(IntEnum):
    """The exit statuses of all commands."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_AUTHORISED = 3
    INTERRUPTED = 130


BASE_URL_ADVICE = "check LIVEPEER_BASE_URL; it ends in /api, as https://livepeer.studio/api"
AGAIN_ADVICE = "upload --again makes another asset of it"
# Ends of paths that name no asset and no task: if one isn't there, the base URL is wrong.
_COLLECTIONS = frozenset({"asset", "task", "request-upload", "url"})
# The first class that fits counts.
_ADVICE: tuple[tuple[type[LivepeerError], str], ...] = (
    (NotAuthenticated, "check LIVEPEER_API_KEY"),
    (Forbidden, "use a key in LIVEPEER_API_KEY that may do this"),
    (NotFound, "check the ID, and that LIVEPEER_API_KEY belongs to the account that has it"),
    (TooManyRequests, "try again once some of the account's tasks have ended"),
    (ServerError, "the fault is the server's: try again later"),
    (ConnectFailed, "check the network and LIVEPEER_BASE_URL"),
    (NetworkError, "check the network and try again"),
    (DecodeError, BASE_URL_ADVICE),
    (SourceNotReadable, "check the path and who may read it"),
    (SourceEmpty, "check that it was copied or recorded to its end"),
    (SourceTooLarge, "split the video or encode it smaller"),
    (UploadInUse, "wait for it"),
    (SourceChanged, "upload it again when nothing writes to it any more"),
)


def describe(error: LivepeerError, *, is_upload: bool = False, is_remembered: bool = False) -> str:
    """Say in one sentence what was found, what was wanted and what to do.

    Args:
        error: what went wrong.
        is_upload: whether the one who reads it has the file at hand.
        is_remembered: whether a journal knows how far the upload came.
    """
    said = found(error)
    if is_remembered and _can_go_on(error):
        return f"{said}; the same command goes on from there"
    advice = advise(error, is_upload=is_upload)
    return f"{said}; {advice}" if advice else said


def found(error: LivepeerError) -> str:
    """Say what an error has found, without its advice to who writes a program."""
    return str(error.args[0]) if error.args else type(error).__name__


def advise(error: LivepeerError, *, is_upload: bool = False) -> str:
    """Say what to do about an error; as for `describe`."""
    if isinstance(error, IntegrityError | TusError):
        return _advise_on_upload(error)
    if isinstance(error, AssetError):
        return _advise_on_asset(error, is_upload=is_upload)
    if _is_misdirected(error):
        return BASE_URL_ADVICE
    if _is_directory(error):
        return "name the files in it"
    if is_key_taken(error):
        return AGAIN_ADVICE
    return next((advice for kind, advice in _ADVICE if isinstance(error, kind)), error.advice)


def is_key_taken(error: LivepeerError) -> bool:
    """Whether an asset that was made before stands in the way, under the same key."""
    if isinstance(error, SourceChanged):
        return error.asset_id is not None
    return isinstance(error, KeyTaken)


def status_of(errors: Iterable[LivepeerError | None]) -> Status:
    """Give the exit status for all that was done; what a new key would cure outranks the rest."""
    statuses = {_status(error) for error in errors if error is not None}
    for status in (Status.NOT_AUTHORISED, Status.USAGE, Status.FAILED):
        if status in statuses:
            return status
    return Status.OK


def _status(error: LivepeerError) -> Status:
    if isinstance(error, NotAuthenticated | Forbidden):
        return Status.NOT_AUTHORISED
    return Status.USAGE if isinstance(error, ConfigurationError) else Status.FAILED


def _is_misdirected(error: LivepeerError) -> bool:
    """Whether the API isn't where it was looked for."""
    if isinstance(error, NotFound):
        return error.url.rpartition("/")[2] in _COLLECTIONS
    # Redirects aren't followed.
    return isinstance(error, ApiError) and _is_redirect(error.status)


def _can_go_on(error: LivepeerError) -> bool:
    is_there = isinstance(error, TusError) and error.upload_url is not None
    return is_there and not isinstance(error, UploadGone)


def _is_redirect(status: int) -> bool:
    return HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST


def _is_directory(error: LivepeerError) -> bool:
    # The error has no fact for it; what stands in front is the path, which may hold any words.
    return isinstance(error, SourceNotReadable) and str(error).endswith(
        " is a directory; wanted a video file"
    )


def _advise_on_upload(error: IntegrityError | TusError) -> str:
    if isinstance(error, IntegrityError):
        return f"{_delete(error.asset_id)} and upload the file again"
    if error.asset_id is None or error.upload_url is None:
        return "upload the file again"
    return f"{_delete(error.asset_id)}, which holds a part of it, and upload the file again"


def _advise_on_asset(error: AssetError, *, is_upload: bool) -> str:
    if isinstance(error, AssetTimeout):
        return f"it may still become ready: livepeer-async assets wait {error.asset_id}"
    if isinstance(error, AssetFailed):
        if error.is_retryable:
            return f"{_delete(error.asset_id)} and upload the file again"
        return f"check that the file plays as a video, and {_delete(error.asset_id)}"
    return "upload the file again" if is_upload else ""


def _delete(asset_id: str) -> str:
    return f"delete the asset (livepeer-async assets delete {asset_id})"
