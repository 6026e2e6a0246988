"""`livepeer.tasks`: the server's work on assets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from livepeer_async.api import calls
from livepeer_async.api.caller import Caller
from livepeer_async.api.paging import every
from livepeer_async.models import Task


class Tasks:
    """The task calls of one account."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, task_id: str) -> Task:
        """Fetch a task.

        Raises:
            NotFound: there is no such task.
            Forbidden: it is somebody else's.
        """
        return await self._caller.perform(calls.get_task(self._caller.account, task_id))

    def list(
        self,
        *,
        order: str = calls.STABLE_ORDER,
        filters: Mapping[str, calls.FilterValue] | None = None,
        page_size: int = calls.PAGE_SIZE,
    ) -> AsyncIterator[Task]:
        """Go through all tasks, page by page and none twice.

        Args:
            order: field and direction, as "createdAt-true" for the newest first.
            filters: field to value, as `{"outputAssetId": asset.id}`.
            page_size: rows that are asked for at once, 1 to 1,000.
        """
        return every(
            self._caller,
            lambda cursor: calls.list_tasks(
                self._caller.account,
                limit=page_size,
                order=order,
                filters=filters,
                cursor=cursor,
            ),
        )
