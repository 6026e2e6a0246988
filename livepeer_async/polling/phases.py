"""Asset phases: whether a wait has ended, and with which error."""

from __future__ import annotations

from livepeer_async.errors import AssetDeleted, AssetError, AssetFailed
from livepeer_async.models import Asset, AssetPhase, Task, TaskPhase
from livepeer_async.redaction import redact

# Phases of an asset that is deleted or being deleted.
GONE = frozenset({AssetPhase.DELETING, AssetPhase.DELETED})
# Phases of a task that does no more work.
ENDED = frozenset({TaskPhase.COMPLETED, TaskPhase.FAILED, TaskPhase.CANCELLED})
# The task runner's message when a URL can't be downloaded.
NOT_FETCHED = "file download failed"
# Its messages for failures that may not happen again.
RETRYABLE_FAILURES = (
    "internal error processing file",
    NOT_FETCHED,
    "error saving file to storage",
    "execution timeout",
)


def is_ready(asset: Asset) -> bool:
    """Whether the asset is ready for playback."""
    return asset.phase == AssetPhase.READY


def has_left_uploading(asset: Asset) -> bool:
    """Whether the server has noticed that the upload is complete."""
    return asset.phase not in {AssetPhase.UPLOADING, None}


def make_failure(asset: Asset) -> AssetError | None:
    """Return the error for an asset that can't become ready, or else `None`.

    An unknown phase isn't a failure: it may still lead to ready.
    """
    if asset.phase == AssetPhase.FAILED:
        # The message may quote the signed URL that couldn't be opened.
        message = redact((asset.status and asset.status.error_message) or "no explanation")
        return AssetFailed(
            f"asset {asset.id} failed: {message}",
            asset_id=asset.id,
            error_message=message,
            is_retryable=any(text in message.lower() for text in RETRYABLE_FAILURES),
        )
    if asset.phase in GONE:
        return deleted_error(asset.id)
    return None


def is_newer(task: Task, asset: Asset) -> bool:
    """Whether the task of a failed asset has changed since the asset failed.

    A failure has the same date in both. A task that has no date, or whose asset has none, counts as
    newer until it ends.
    """
    task_date = task.status.updated_at if task.status else None
    asset_date = asset.status.updated_at if asset.status else None
    if task_date is None or asset_date is None:
        return task.phase not in ENDED
    return task_date > asset_date


def is_reprocessed(asset: Asset, task: Task | None) -> bool:
    """Whether a failed asset is being processed again.

    After a retry, the asset stays `failed` until its task ends.

    Args:
        asset: the failed asset.
        task: its newest task.
    """
    return task is not None and task.phase not in ENDED and is_newer(task, asset)


def deleted_error(asset_id: str) -> AssetDeleted:
    """Return the error for an asset that was deleted during a wait."""
    return AssetDeleted(f"asset {asset_id} was deleted during the wait", asset_id=asset_id)
