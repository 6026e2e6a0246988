"""What the phases of an asset mean for a wait: ready, failed, deleted, or go on."""

from __future__ import annotations

from livepeer_async.errors import AssetDeleted, AssetError, AssetFailed
from livepeer_async.models import Asset, AssetPhase
from livepeer_async.redaction import redact

# Phases of an asset that is there no more, or will be so soon.
GONE = frozenset({AssetPhase.DELETING, AssetPhase.DELETED})


# What the task runner says where a URL gave it nothing.
NOT_FETCHED = "file download failed"


# What it says of failures that another run may not meet.
RETRYABLE_FAILURES = (
    "internal error processing file",
    NOT_FETCHED,
    "error saving file to storage",
    "execution timeout",
)


def is_ready(asset: Asset) -> bool:
    """Whether the asset can be played and nothing more will come."""
    return asset.phase == AssetPhase.READY


def has_left_uploading(asset: Asset) -> bool:
    """Whether the server has taken note that all bytes are there."""
    return asset.phase not in {AssetPhase.UPLOADING, None}


def failure_of(asset: Asset) -> AssetError | None:
    """Give the error that an asset's phase stands for; `None` where it may still become ready.

    A phase that nobody knew of when this was written may lead anywhere: it is waited out.
    """
    if asset.phase == AssetPhase.FAILED:
        # The pipeline's sentences may quote the signed URL that it couldn't open.
        said = redact((asset.status and asset.status.error_message) or "no explanation")
        can_retry = any(mark in said.lower() for mark in RETRYABLE_FAILURES)
        return AssetFailed(
            f"asset {asset.id} failed: {said}",
            asset_id=asset.id,
            error_message=said,
            is_retryable=can_retry,
        )
    if asset.phase in GONE:
        return deleted_error(asset.id)
    return None


def deleted_error(asset_id: str) -> AssetDeleted:
    """Give the error for an asset that is there no more."""
    return AssetDeleted(f"asset {asset_id} was deleted while it was waited for", asset_id=asset_id)
