"""Which uploads a later run can go on with, by their errors and records. Pure."""

from __future__ import annotations

from livepeer_async.errors import (
    AssetDeleted,
    AssetFailed,
    ClientClosed,
    ConfigurationError,
    IntegrityError,
    LivepeerError,
    SourceError,
    SourceNotReadable,
    UploadGone,
    UploadInUse,
)
from livepeer_async.journal.records import Record, RecordState

# The same call would fail again, or has to send everything again.
_FINAL = (AssetDeleted, AssetFailed, IntegrityError, UploadGone)


def can_resume(error: LivepeerError, record: Record | None) -> bool:
    """Whether the same call goes on with an upload, without sending everything again.

    Args:
        error: that ended the upload, or came before it.
        record: of the upload in the journal now.
    """
    match error:
        case UploadInUse() | ClientClosed(upload_url=str()):
            # The upload of the key goes on already, and a later call with what it has sent.
            return True
        case ClientClosed() | SourceNotReadable():
            return is_resumable(record)
        case ConfigurationError() | SourceError():
            return False
        case _ if isinstance(error, _FINAL):
            return False
        case _:
            return error.upload_url is not None or is_resumable(record)


def is_resumable(record: Record | None) -> bool:
    """Whether a later run goes on with an upload, if its source and its asset are the same."""
    if record is None or record.is_keyless:
        return False
    if record.state in {RecordState.UPLOADED, RecordState.READY}:
        return True
    return record.upload_url is not None and record.identity.is_known
