"""Scans the lists of changed assets for those that are waited for.

A scan reads the changes since a point in time, page by page, or the newest assets if there is no
such point. It says which assets must be polled singly. Pure.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from livepeer_async.api.requests import Account, Call, Page, list_changes
from livepeer_async.models import Asset
from livepeer_async.polling.watched_asset import WatchedAsset

# The most that the server gives, and enough where few are sought in a large account.
LONGEST_PAGE = 1000
SHORT_PAGE = 100
ROWS_A_WATCH = 4
# A change may become visible later than it is dated, by a clock that isn't quite the others'.
MARGIN_MS = 2000
# Changes since long ago may fill more pages than the newest assets do.
MAX_SYNC_POINT_AGE = 300.0
MOST_PAGES = 10
# A deleted asset vanishes from the lists without a word.
LONGEST_SILENCE = 300.0
# So many can be looked at one by one; more are sought among the newest assets.
FEW_MISSED = 10


class SyncPoint(Struct, frozen=True):
    """What has changed after `at`, by our clock, is dated `since` or later, by the server's."""

    since: int
    at: float


class ChangeScan(Struct):
    """A list on its way.

    Attributes:
        sync_point: where the changes begin; `None` for the newest assets of all.
        limit: rows of a page.
        at: when it began.
        newest: the latest date on the first page, in milliseconds since 1970.
        cursor: of the next page.
        pages: how many have come.
        is_over: whether there is nothing more to ask for.
    """

    sync_point: SyncPoint | None
    limit: int
    at: float
    newest: int | None = None
    cursor: str | None = None
    pages: int = 0
    is_over: bool = False

    def next_page(self, account: Account) -> Call[Page[Asset]]:
        """Give the call for the next page."""
        since = self.sync_point.since if self.sync_point else None
        return list_changes(account, since, limit=self.limit, cursor=self.cursor)

    def consume_page(
        self, page: Page[Asset], watches: Collection[WatchedAsset], at: float
    ) -> list[WatchedAsset]:
        """Hand the rows of a page to the watches; give those for whom that is news.

        Rows that move while the pages are read are older than what moved them: the next sweep
        begins before the first page's newest, and meets them again.
        """
        rows = {row.id: row for row in page.items}
        found = [watch for watch in watches if watch.asset_id in rows]
        news = [watch for watch in found if watch.update(rows[watch.asset_id], None, at)]
        if not self.pages:
            dates = [row.status.updated_at for row in page.items if row.status]
            self.newest = max((date for date in dates if date is not None), default=None)
        self.pages += 1
        self.cursor = page.cursor
        is_open = any(watch.known_until < self.at for watch in watches)
        leads_on = bool(found) or self.sync_point is not None
        self.is_over = not (page.cursor and is_open and leads_on and self.pages < MOST_PAGES)
        return news

    def finish(self, watches: Collection[WatchedAsset]) -> SyncPoint | None:
        """Note whom the list has passed over; give the horizon of the next sweep."""
        before = self.sync_point
        if before is not None and self.cursor and self.pages >= MOST_PAGES:
            return None
        missed: list[WatchedAsset] = []
        for watch in watches:
            if before is not None and watch.known_until >= before.at:
                watch.known_until = max(watch.known_until, self.at)
            is_silent = self.at - watch.last_confirmed > LONGEST_SILENCE
            if (watch.known_until < self.at or is_silent) and not watch.needs_single_poll:
                missed.append(watch)
        if before is not None and len(missed) > FEW_MISSED:
            return None
        for watch in missed:
            watch.needs_single_poll = True
        if self.newest is not None:
            return SyncPoint(self.newest - MARGIN_MS, self.at)
        return before and SyncPoint(before.since, self.at)


def begin_scan(sync_point: SyncPoint | None, count: int, now: float) -> ChangeScan:
    """Begin a list of changes, or of the newest assets where the horizon is none or long ago.

    Args:
        sync_point: what the sweep before gave.
        count: assets that are waited for.
        now: the time.
    """
    if sync_point is not None and now - sync_point.at <= MAX_SYNC_POINT_AGE:
        return ChangeScan(sync_point, LONGEST_PAGE, now)
    return ChangeScan(None, min(max(SHORT_PAGE, count * ROWS_A_WATCH), LONGEST_PAGE), now)
