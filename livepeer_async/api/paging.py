"""Goes through all pages of a list, and hands each row on once.

The server's cursor is an offset: while rows are added or moved, the next page repeats some. Rows
are told apart by their ID.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

from livepeer_async.api.caller import Caller
from livepeer_async.api.calls import Call, Page


class HasId(Protocol):
    """A row of a list."""

    @property
    def id(self) -> str | None:
        """Tells it from all others."""


Row = TypeVar("Row", bound=HasId)


async def every(
    caller: Caller, page_call: Callable[[str | None], Call[Page[Row]]]
) -> AsyncIterator[Row]:
    """Give every row once; `page_call` makes the call for a cursor, `None` for the first page."""
    seen: set[str | None] = set()
    cursor: str | None = None
    while True:
        page = await caller.perform(page_call(cursor))
        for row in page.items:
            if row.id not in seen:
                seen.add(row.id)
                yield row
        cursor = page.cursor
        if cursor is None:
            return
