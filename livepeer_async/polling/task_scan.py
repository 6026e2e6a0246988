"""Scans of the list of tasks for assets that were found failed.

The list of the tasks that have changed since the first of the assets failed shows which are
processed again; single looks would need a request for each asset. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from livepeer_async.api.calls import Page
from livepeer_async.models import Task
from livepeer_async.polling.watched_asset import WatchedAsset

# So few tasks are looked at singly.
MAX_SINGLE_LOOKS = 5
MAX_PAGES = 10


class TaskScan(Struct):
    """A scan in progress.

    Attributes:
        watched_assets: the assets, by their IDs.
        since: when the first of them failed, in milliseconds since 1970.
        tasks: the most recently changed task of each, as far as they were found.
        cursor: cursor of the next page.
        pages: pages read so far.
        failures: failed requests so far.
        is_over: whether no page is left to read.
    """

    watched_assets: dict[str, WatchedAsset]
    since: int
    tasks: dict[str, Task]
    cursor: str | None = None
    pages: int = 0
    failures: int = 0
    is_over: bool = False

    def consume_page(self, page: Page[Task]) -> None:
        """Record the tasks of a page, whose first row has changed last."""
        for task in page.items:
            if task.output_asset_id in self.watched_assets:
                self.tasks.setdefault(task.output_asset_id, task)
        self.pages += 1
        self.cursor = page.cursor
        is_complete = not page.cursor or len(self.tasks) == len(self.watched_assets)
        self.is_over = is_complete or self.pages >= MAX_PAGES

    def results(self) -> list[tuple[WatchedAsset, Task | None]]:
        """Return the assets whose state is known, with their tasks.

        Without a task, an asset isn't processed again: a retry would have changed its task.
        """
        return [
            (watched, self.tasks.get(asset_id))
            for asset_id, watched in self.watched_assets.items()
            if asset_id in self.tasks or not self.cursor
        ]


def begin_task_scan(watched_assets: Iterable[WatchedAsset], now: float) -> TaskScan | None:
    """Start a scan for the assets whose tasks are due; `None` if single looks are cheaper."""
    dates: dict[WatchedAsset, int] = {}
    for watched in watched_assets:
        status = watched.asset and watched.asset.status
        if watched.is_task_due(now) and status and status.updated_at is not None:
            dates[watched] = status.updated_at
    if len(dates) <= MAX_SINGLE_LOOKS:
        return None
    return TaskScan({watched.asset_id: watched for watched in dates}, min(dates.values()), {})
