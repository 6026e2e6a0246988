"""Pagination: iterates over all pages of a list and yields each row once.

The server's cursor is an offset. While rows are added or move, the next page repeats some of them,
so rows are deduplicated by ID.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

from livepeer_async.api.requests import Call, Page
from livepeer_async.api.session import Session
from livepeer_async.errors import DecodeError

# Rows that move between two pages are seen twice; so many pages of nothing else lead nowhere.
MOST_PAGES_WITHOUT_NEWS = 10


class HasId(Protocol):
    """A row of a list."""

    @property
    def id(self) -> str | None:
        """Tells it from all others."""


Row = TypeVar("Row", bound=HasId)


async def paginate(
    session: Session, page_call: Callable[[str | None], Call[Page[Row]]]
) -> AsyncIterator[Row]:
    """Give every row once; `page_call` makes the call for a cursor, `None` for the first page.

    Raises:
        DecodeError: the pages lead in circles.
    """
    seen: set[str | None] = set()
    cursors: set[str | None] = {None}
    cursor: str | None = None
    pages_without_news = 0
    while True:
        page = await session.send(page_call(cursor))
        pages_without_news += 1
        for row in page.items:
            if row.id not in seen:
                seen.add(row.id)
                pages_without_news = 0
                yield row
        cursor = page.cursor
        if cursor is None:
            return
        if cursor in cursors or pages_without_news > MOST_PAGES_WITHOUT_NEWS:
            message = f"the pages of the list lead in circles: page {len(cursors)} has nothing new"
            raise DecodeError(message, path="$")
        cursors.add(cursor)
