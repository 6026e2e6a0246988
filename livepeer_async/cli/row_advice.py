"""What the failure of a row means to whoever runs the ingestion: a sentence, and whose turn it is.

In come a row and its error; out come words, and whether the same command tries again. Pure.
"""

from __future__ import annotations

import shlex

from livepeer_async.cli.outcome import advise, found, is_key_taken
from livepeer_async.errors import (
    AssetError,
    AssetFailed,
    AssetTimeout,
    BadRequest,
    IntegrityError,
    InvalidRequest,
    LivepeerError,
    SourceChanged,
    SourceError,
    SourceNotReadable,
    TusError,
    UploadInUse,
)
from livepeer_async.ingest.decisions import judge
from livepeer_async.ingest.rows import Row
from livepeer_async.models.redaction import show_source

URL_ADVICE = "see whether the URL can be fetched from here, or has run out"


def comes_again(error: LivepeerError) -> bool:
    """Whether the same command tries the row again, and that may help as things are."""
    if isinstance(error, AssetFailed):
        return error.is_retryable
    return isinstance(error, AssetTimeout | SourceNotReadable) or judge(error).comes_again


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
