"""Pagination: iterates over all pages of a list and yields each row once.

The server's cursor is an offset. Rows that are added or move between two requests shift the pages,
so the next page repeats rows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeVar

from livepeer_async.api.calls import Call, Page
from livepeer_async.api.session import Session
from livepeer_async.errors import DecodeError

# Moving rows can cause a few consecutive pages without a new row, but not more than this.
MAX_PAGES_WITHOUT_NEW_ROWS = 10


class HasId(Protocol):
    """A row of a list."""

    @property
    def id(self) -> str | None:
        """The row's unique ID."""


Row = TypeVar("Row", bound=HasId)


async def paginate(
    session: Session, page_call: Callable[[str | None], Call[Page[Row]]]
) -> AsyncGenerator[Row, None]:
    """Yield every row once.

    Args:
        session: sends the calls.
        page_call: returns the call for a cursor; `None` means the first page.

    Raises:
        DecodeError: the cursors repeat, or too many pages have no new row.
    """
    seen: set[str | None] = set()
    cursors: set[str | None] = {None}
    cursor: str | None = None
    pages_without_new_rows = 0
    while True:
        page = await session.send(page_call(cursor))
        pages_without_new_rows += 1
        for row in page.items:
            if row.id not in seen:
                seen.add(row.id)
                pages_without_new_rows = 0
                yield row
        cursor = page.cursor
        if cursor is None:
            return
        if cursor in cursors or pages_without_new_rows > MAX_PAGES_WITHOUT_NEW_ROWS:
            message = f"the list's pages repeat: page {len(cursors)} has no new row"
            raise DecodeError(message, path="$")
        cursors.add(cursor)
