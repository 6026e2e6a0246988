"""Scans of the list of changed assets for watched assets.

A scan reads the changes since a sync point, or the newest assets if there is none, page by page. It
marks assets that need a single poll. Pure.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from livepeer_async.api.calls import Page
from livepeer_async.models import Asset
from livepeer_async.polling.watched_asset import WatchedAsset

# The server's own limit.
MAX_PAGE_SIZE = 1000
# Without a sync point, pages are small if few assets are watched, because an account may be large.
MIN_PAGE_SIZE = 100
ROWS_PER_ASSET = 4
# A change may become visible later than its timestamp, and the servers' clocks differ.
MARGIN_MS = 2000
# The changes since an older sync point may fill more pages than the newest assets.
MAX_SYNC_POINT_AGE = 300.0
MAX_PAGES = 10
# Lists omit deleted assets, so an asset that no list contains is polled after this many seconds.
MAX_SILENCE = 300.0
# If more assets are missed, the next scan lists the newest assets before any is polled singly.
MAX_MISSED = 10


class SyncPoint(Struct, frozen=True):
    """A point in time: the server dates changes after `at`, by the local clock, `since` or later.

    Attributes:
        since: milliseconds since 1970, by the server's clock.
        at: seconds, by the local monotonic clock.
    """

    since: int
    at: float


class ChangeScan(Struct):
    """A scan in progress.

    Attributes:
        sync_point: where the changes start; `None` to scan the newest assets.
        limit: rows per page.
        at: time when the scan started.
        newest: latest date on the first page, in milliseconds since 1970.
        cursor: cursor of the next page.
        pages: pages read so far.
        is_over: whether no page is left to read.
    """

    sync_point: SyncPoint | None
    limit: int
    at: float
    newest: int | None = None
    cursor: str | None = None
    pages: int = 0
    is_over: bool = False

    @property
    def since(self) -> int | None:
        """The earliest change to list, in milliseconds since 1970; `None` for the newest assets."""
        return self.sync_point.since if self.sync_point else None

    def consume_page(
        self, page: Page[Asset], watched_assets: Collection[WatchedAsset], at: float
    ) -> list[WatchedAsset]:
        """Update the watched assets on a page; return those that changed.

        A row that moves during the scan may be missed. The next scan starts before the newest row
        of this one's first page, and finds it.
        """
        rows = {row.id: row for row in page.items}
        found = [watched for watched in watched_assets if watched.asset_id in rows]
        changed = [watched for watched in found if watched.update(rows[watched.asset_id], None, at)]
        if not self.pages:
            dates = [row.status.updated_at for row in page.items if row.status]
            self.newest = max((date for date in dates if date is not None), default=None)
        self.pages += 1
        self.cursor = page.cursor
        is_incomplete = any(watched.known_until < self.at for watched in watched_assets)
        is_useful = bool(found) or self.sync_point is not None
        self.is_over = not (page.cursor and is_incomplete and is_useful and self.pages < MAX_PAGES)
        return changed

    def finish(self, watched_assets: Collection[WatchedAsset]) -> SyncPoint | None:
        """Mark the watched assets that the scan missed; return the sync point of the next scan."""
        before = self.sync_point
        if before is not None and self.cursor and self.pages >= MAX_PAGES:
            return None
        missed: list[WatchedAsset] = []
        for watched in watched_assets:
            if before is not None and watched.known_until >= before.at:
                watched.known_until = max(watched.known_until, self.at)
            is_silent = self.at - watched.last_confirmed > MAX_SILENCE
            if (watched.known_until < self.at or is_silent) and not watched.needs_single_poll:
                missed.append(watched)
        if before is not None and len(missed) > MAX_MISSED:
            return None
        for watched in missed:
            watched.needs_single_poll = True
        if self.newest is not None:
            return SyncPoint(self.newest - MARGIN_MS, self.at)
        return before and SyncPoint(before.since, self.at)


def begin_scan(sync_point: SyncPoint | None, count: int, now: float) -> ChangeScan:
    """Start a scan of the changes, or of the newest assets if the sync point is missing or old.

    Args:
        sync_point: the previous scan's.
        count: number of watched assets.
        now: the time.
    """
    if sync_point is not None and now - sync_point.at <= MAX_SYNC_POINT_AGE:
        return ChangeScan(sync_point, MAX_PAGE_SIZE, now)
    limit = min(max(MIN_PAGE_SIZE, count * ROWS_PER_ASSET), MAX_PAGE_SIZE)
    return ChangeScan(None, limit, now)
