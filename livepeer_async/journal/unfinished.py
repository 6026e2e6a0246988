"""Which uploads a later run can go on with, and what it needs from the journal. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

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
from livepeer_async.journal.records import (
    FULLY_UPLOADED,
    Record,
    RecordState,
    access_fingerprints,
)
from livepeer_async.models import NewAsset

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


def is_unfinished(record: Record) -> bool:
    """Whether a later run can bring an upload with a key to its end.

    If nothing was sent, it begins again. The rest of a stream is lost with its process, and a URL
    is read again by `ingest` alone.
    """
    if record.is_keyless or record.identity.url is not None or not record.identity.length:
        return False
    if record.state in FULLY_UPLOADED:
        return record.state is RecordState.UPLOADED and not record.is_done
    return record.identity.is_known


def storable_fields(new_asset: NewAsset) -> dict[str, Any]:
    """Return the fields of a new asset without the secrets, which the journal doesn't hold."""
    fields: dict[str, Any] = msgspec.to_builtins(new_asset)
    fields.pop("encryption", None)
    policy: dict[str, Any] = fields.get("playbackPolicy") or {}
    policy.pop("webhookContext", None)
    return fields


def restore_fields(record: Record) -> tuple[NewAsset, str]:
    """Return the asset to request for a record, and why it isn't the one that was requested.

    The reason is "" if it is.
    """
    missing = "the journal doesn't hold the fields of its asset"
    try:
        new_asset = msgspec.convert(record.fields, NewAsset)
    except msgspec.ValidationError:
        return NewAsset(record.name), missing
    if record.access in access_fingerprints(new_asset):
        return new_asset, ""
    return new_asset, "the journal holds no encryption key and no webhook context"
