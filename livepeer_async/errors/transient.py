"""Errors and statuses after which the same call may succeed later."""

from __future__ import annotations

from livepeer_async.errors.requests import ApiError, DecodeError, NetworkError
from livepeer_async.errors.uploads import (
    JournalUnavailable,
    RetriesExhausted,
    TooManyOpenFiles,
    UploadInUse,
)

# The request was too slow, conflicted with another, met a lock, or came too early or too often.
_TRANSIENT_STATUSES = frozenset({408, 409, 423, 425, 429})
_MIN_SERVER_ERROR = 500
_TRANSIENT = (
    NetworkError,
    DecodeError,
    RetriesExhausted,
    JournalUnavailable,
    UploadInUse,
    TooManyOpenFiles,
)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later.

    True for network errors, API errors with a status of `is_transient_status`, undecodable
    responses (most come from a proxy), exhausted retries, an upload in use, a shared journal that
    doesn't respond, and a lack of file descriptors. False for `AmbiguousRequest`: repeated, it may
    create a second asset.
    """
    if isinstance(error, ApiError):
        return is_transient_status(error.status)
    return isinstance(error, _TRANSIENT)


def is_transient_status(status: int) -> bool:
    """Whether the same request may succeed later: 408, 409, 423, 425, 429 and 5xx."""
    return status in _TRANSIENT_STATUSES or status >= _MIN_SERVER_ERROR
