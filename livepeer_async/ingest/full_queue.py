"""Detects that the account's full queue limits an ingestion, which more machines can't change."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from livepeer_async.ingest.events import Event, Notice
from livepeer_async.ingest.rows import Row
from livepeer_async.uploads.progress import Progress

# One 429 may come from a burst at the start.
MIN_RESPONSES = 3
# The limits of Livepeer Studio, November 2026.
MESSAGE = (
    "the account's queue is full, and limits this run: by default, an account processes 5 videos "
    "at once and holds 100; more machines help only if files are spread over them or the quota is "
    "raised"
)


class FullQueue:
    """Sends one `Notice` after some responses with the status 429.

    Args:
        notify: receives it; must not block.
    """

    def __init__(self, notify: Callable[[Event], None]) -> None:
        self._notify = notify
        self._responses: set[tuple[str, int, float]] = set()

    def observe(
        self,
        on_progress: Callable[[Row, Progress], None] | None,
        row: Row,
        progress: Progress,
    ) -> None:
        """Observe the progress of a row, and pass it on."""
        retry = progress.retry
        is_full = retry is not None and retry.status == HTTPStatus.TOO_MANY_REQUESTS
        if retry is not None and is_full and len(self._responses) < MIN_RESPONSES:
            self._responses.add((row.key, retry.attempt, retry.delay))
            if len(self._responses) == MIN_RESPONSES:
                self._notify(Notice(MESSAGE))
        if on_progress is not None:
            on_progress(row, progress)
