"""What an event of a webhook says about a watched asset. Pure.

Events arrive several times and in any order, with snapshots of the past. A snapshot counts if it is
dated later than what is known; one that is incomplete only makes the next poll due.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf

from msgspec.structs import replace

from livepeer_async.models import Asset, AssetPhase, AssetStatus, EventName, Task, TaskPhase
from livepeer_async.polling.phases import GONE, deleted_error, is_newer
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.webhooks.events import AssetEvent, TaskEvent

# Seconds without a poll after an event. The server reports progress, with events, every 10 s.
EVENT_DELAY = 15.0
# However many events arrive, an asset is polled this many seconds after the last poll.
MAX_QUIET = 300.0

FINAL = frozenset({AssetPhase.READY, AssetPhase.FAILED, *GONE})
# The phases that events are named after.
PHASES: dict[str, AssetPhase] = {
    EventName.ASSET_READY: AssetPhase.READY,
    EventName.ASSET_FAILED: AssetPhase.FAILED,
}
AT_WORK = frozenset({TaskPhase.WAITING, TaskPhase.RUNNING})


class Notice(Enum):
    """What an event was good for."""

    NOTHING = auto()  # it is old, or of no interest
    QUIET = auto()  # events arrive, so polls can be rarer
    CHANGE = auto()  # the state has changed, or the wait has ended
    POLL = auto()  # the state must be polled


def asset_id_of(event: AssetEvent | TaskEvent) -> str | None:
    """Return the ID of the asset that an event is about."""
    return event.asset.id if isinstance(event, AssetEvent) else event.task.output_asset_id


def notice(watched: WatchedAsset, event: AssetEvent | TaskEvent, at: float) -> Notice:
    """Record an event of a watched asset.

    Args:
        watched: the asset.
        event: an event of it, or of the task that makes it.
        at: the time.
    """
    if isinstance(event, TaskEvent):
        result = _notice_task(watched, event.task, at)
    else:
        result = _notice_asset(watched, event, at)
    if result is Notice.POLL:
        watched.due, watched.quiet_until, watched.needs_single_poll = at, -inf, True
    created_at = event.created_at or 0
    if result in {Notice.QUIET, Notice.CHANGE} and created_at > watched.noticed:
        watched.noticed = created_at
        watched.quiet_until = min(at + EVENT_DELAY, watched.last_confirmed + MAX_QUIET)
        watched.due = max(watched.due, watched.quiet_until)
        return result
    return Notice.NOTHING if result is Notice.QUIET else result


def _notice_asset(watched: WatchedAsset, event: AssetEvent, at: float) -> Notice:
    asset = event.asset
    if event.event == EventName.ASSET_DELETED:
        if _is_another(watched, asset):
            return Notice.POLL
        watched.fail(deleted_error(watched.asset_id))
        return Notice.CHANGE
    if event.event == EventName.ASSET_CREATED or _is_known(watched, asset):
        return Notice.NOTHING
    is_contradictory = event.event in PHASES and asset.phase != PHASES[event.event]
    if is_contradictory or not _is_complete(watched, asset):
        return Notice.POLL
    watched.etag = None
    return Notice.CHANGE if watched.record(asset, at) else Notice.QUIET


def _is_known(watched: WatchedAsset, asset: Asset) -> bool:
    """Whether a snapshot is older than what is known, as its date or its phase says."""
    if watched.is_older(asset) or (watched.retried is not None and asset.status == watched.retried):
        return True
    known = watched.asset.phase if watched.asset else None
    return known in FINAL and (asset.phase not in FINAL or known == AssetPhase.READY)


def _is_complete(watched: WatchedAsset, asset: Asset) -> bool:
    """Whether a snapshot can replace a poll: it is dated, and of the asset that is known.

    A ready one must have what the API shows of ready assets, which verification needs.
    """
    if _is_another(watched, asset):
        return False
    if asset.status is None or asset.status.updated_at is None or not asset.playback_id:
        return False
    return asset.phase != AssetPhase.READY or bool(asset.size and asset.playback_url)


def _is_another(watched: WatchedAsset, asset: Asset) -> bool:
    """Whether a snapshot shows another asset than the one that is known, as its playback ID says.

    The ID may be equal: servers whose databases were copied send the same IDs.
    """
    known = watched.asset.playback_id if watched.asset else ""
    return bool(known and asset.playback_id and known != asset.playback_id)


def _notice_task(watched: WatchedAsset, task: Task, at: float) -> Notice:
    asset = watched.asset
    if asset is None or asset.phase == AssetPhase.READY:
        return Notice.NOTHING
    if task.phase == TaskPhase.COMPLETED:
        # The event of the asset, which comes first, is lost or late.
        return Notice.POLL
    if task.phase not in AT_WORK or task.status is None:
        return Notice.NOTHING
    if asset.phase == AssetPhase.UPLOADING:
        # No event of the asset says that its upload is complete. The date makes a later poll that
        # still finds `uploading` count as older.
        status = AssetStatus(phase=AssetPhase.WAITING, updated_at=task.status.updated_at)
        watched.record(replace(asset, status=status), at)
        return Notice.CHANGE
    if asset.phase == AssetPhase.FAILED and is_newer(task, asset):
        # It is processed again, and stays failed until that ends.
        watched.update_task(task, at, 0.5)
    return Notice.QUIET
