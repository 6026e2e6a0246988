"""What an error means to a person at a shell: one sentence, what to do, and the exit status.

In come errors of the package; out come words and numbers. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from livepeer_async.errors import (
    AssetError,
    AssetFailed,
    AssetTimeout,
    ConfigurationError,
    ConnectFailed,
    DecodeError,
    Forbidden,
    IntegrityError,
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
)


class Status(IntEnum):
    """The exit statuses of all commands."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_AUTHORISED = 3
    INTERRUPTED = 130


# The first class that fits counts.
_ADVICE: tuple[tuple[type[LivepeerError], str], ...] = (
    (NotAuthenticated, "check LIVEPEER_API_KEY"),
    (Forbidden, "use a key in LIVEPEER_API_KEY that may do this"),
    (NotFound, "check the ID, and that LIVEPEER_API_KEY belongs to the account that has it"),
    (TooManyRequests, "try again once some of the account's tasks have ended"),
    (ServerError, "the fault is the server's: try again later"),
    (ConnectFailed, "check the network and LIVEPEER_BASE_URL"),
    (NetworkError, "check the network and try again"),
    (DecodeError, "check that LIVEPEER_BASE_URL is the API's, as https://livepeer.studio/api"),
    (SourceNotReadable, "check the path and who may read it"),
    (SourceEmpty, "check that it was copied or recorded to its end"),
    (SourceTooLarge, "split the video or encode it smaller"),
    (SourceChanged, "upload it again when nothing writes to it any more"),
)


def describe(error: LivepeerError) -> str:
    """Say in one sentence what was found, what was wanted and what to do."""
    said = str(error.args[0]) if error.args else type(error).__name__
    advice = _advise(error)
    return f"{said}; {advice}" if advice else said


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


def _advise(error: LivepeerError) -> str:
    if isinstance(error, IntegrityError):
        return f"{_delete(error.asset_id)} and upload the file again"
    if isinstance(error, TusError):
        return _advise_on_upload(error)
    if isinstance(error, AssetError):
        return _advise_on_asset(error)
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return advice
    return ""


def _advise_on_upload(error: TusError) -> str:
    if error.asset_id is None or error.upload_url is None:
        return "upload the file again"
    return f"{_delete(error.asset_id)}, which holds a part of it, and upload the file again"


def _advise_on_asset(error: AssetError) -> str:
    if isinstance(error, AssetTimeout):
        return f"it may still become ready: livepeer-async assets wait {error.asset_id}"
    if isinstance(error, AssetFailed):
        cure = "upload it again" if error.is_retryable else "check that the file plays as a video"
        return f"{cure}, and delete the failed asset: livepeer-async assets delete {error.asset_id}"
    return "upload the file again"


def _delete(asset_id: str) -> str:
    return f"delete the asset (livepeer-async assets delete {asset_id})"
