"""Error messages for the shell: one sentence, the advice, and the exit status.

Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from enum import IntEnum
from http import HTTPStatus

from rich.cells import cell_len

from livepeer_async.cli.output.formatting import LONGEST_SENTENCE, shorten, show_countdown
from livepeer_async.errors import (
    ApiError,
    AssetError,
    AssetFailed,
    AssetTimeout,
    BadRequest,
    ConfigurationError,
    ConnectFailed,
    DecodeError,
    Forbidden,
    IntegrityError,
    InvalidRequest,
    KeyTaken,
    LivepeerError,
    NetworkError,
    NotAuthenticated,
    NotFound,
    ServerError,
    SourceChanged,
    SourceEmpty,
    SourceError,
    SourceNotReadable,
    SourceTooLarge,
    TooManyRequests,
    TusError,
    UploadGone,
    UploadInUse,
)
from livepeer_async.http.retry import RetryEvent
from livepeer_async.ingest.decisions import classify_error
from livepeer_async.ingest.rows import Row
from livepeer_async.redaction import show_source

URL_ADVICE = "see whether the URL can be fetched from here, or has run out"
# What a reason says first; where, and who said it, is for a log.
_REASON_ENDS = re.compile(r" (?:to|from) (?:[A-Z]+ )?https?://| for [A-Z]+ https?://| \(|: |; | \[")


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


def comes_again(error: LivepeerError) -> bool:
    """Whether the same command tries the row again, and that may help as things are."""
    if isinstance(error, AssetFailed):
        return error.is_retryable
    return isinstance(error, AssetTimeout | SourceNotReadable) or classify_error(error).retry_row


def tell_failure(row: Row, error: LivepeerError, *, journal: str | None) -> str:
    """Say why a row failed, and what to do; what is wrong with a source names it itself.

    Args:
        row: the row.
        error: what ended it.
        journal: the option that names the journal, "" for the user's own; `None` without one.
    """
    advise_on = _advise_again if comes_again(error) else _advise
    advice = advise_on(row, error, journal)
    said = "; ".join(filter(None, [find_reason(error), advice]))
    is_named = isinstance(error, SourceError) or row.manifest is None
    return said if is_named else f"{show_source(row.source)}: {said}"


def find_reason(error: LivepeerError) -> str:
    """Say what an error has found, without what it advises to who writes a program."""
    if isinstance(error, UploadInUse):
        return "it is carried by another run"
    return found(error)


def _advise_again(row: Row, error: LivepeerError, journal: str | None) -> str:
    """Say what comes of the row where the same command tries it again."""
    if isinstance(error, UploadInUse):
        return ""
    if isinstance(error, SourceNotReadable):
        return URL_ADVICE if row.is_url else advise(error)
    if isinstance(error, AssetTimeout):
        return f"it may still become ready: livepeer-async assets wait {error.asset_id}"
    if journal is not None and isinstance(error, AssetFailed):
        return "the same command has it processed again"
    if journal is not None and isinstance(error, TusError) and error.upload_url is not None:
        return "the same command goes on from there"
    return "the same command tries again"


def _advise(row: Row, error: LivepeerError, journal: str | None) -> str:
    """Say what has to be done before the row can do better."""
    if isinstance(error, InvalidRequest | BadRequest):
        return "mend the row" if row.manifest is not None else ""
    if is_key_taken(error):
        return f"{_forget(row, journal)} lets it be uploaded anew"
    if isinstance(error, SourceChanged):
        return "run the same command when nothing writes to it any more"
    if isinstance(error, AssetFailed):
        advice = f"check that the {'URL gives' if row.is_url else 'file plays as'} a video"
        is_stuck = row.is_url and journal is not None
        return (
            f"{advice}, and {_forget(row, journal)} lets it be fetched anew" if is_stuck else advice
        )
    is_of_server = isinstance(error, AssetError | IntegrityError | TusError)
    return "" if is_of_server else advise(error)


def _forget(row: Row, journal: str | None) -> str:
    return f"livepeer-async journal forget {shlex.quote(show_source(row.key))}{journal or ''}"


def tell_setback(retry_event: RetryEvent, seconds: float, width: int) -> str:
    """Say what came between and when it goes on, the most that fits into so many cells."""
    when = f" in {show_countdown(seconds)}" if seconds else ""
    reason = name_reason(retry_event.reason)
    attempt = f"try {retry_event.attempt} of {retry_event.attempts}{when}"
    candidates = (f"{reason}, {attempt}", f"{reason}, try{when}", attempt, f"next try{when}")
    return next((it for it in candidates if cell_len(it) <= width), f"try{when}")


def name_reason(reason: str) -> str:
    """Say in a few words what an error says in a sentence."""
    said = _REASON_ENDS.split(reason, maxsplit=1)[0]
    if said.isdecimal():
        return f"answer {said}"
    # The name of a class stands where the network gave no words.
    return "connection lost" if said.endswith("Error") else shorten(said, LONGEST_SENTENCE)
