"""Deferred rows, each of which waits for another attempt."""

from __future__ import annotations

import heapq
import time
from itertools import count
from math import inf

from livepeer_async.ingest.row_worker import RowJob

# Seconds before a deferred row is retried, even if no other row is left.
RETRY_DELAY = 5.0
# The same for a row that another process has, at most: doubled each time, because hours may pass.
MAX_IN_USE_DELAY = 60.0


class DeferredRows:
    """The deferred rows of an ingestion, in the order in which they are due."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, RowJob]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, job: RowJob, *, is_in_use: bool) -> None:
        """Add a row.

        Args:
            job: the row.
            is_in_use: whether another process has it.
        """
        job.waits = job.waits + 1 if is_in_use else 0
        delay = min(RETRY_DELAY * 2 ** max(job.waits - 1, 0), MAX_IN_USE_DELAY)
        heapq.heappush(self._rows, (time.monotonic() + delay, next(self._numbers), job))

    @property
    def delay(self) -> float:
        """Seconds until the first row is due; infinity without rows."""
        return self._rows[0][0] - time.monotonic() if self._rows else inf

    def pop(self) -> RowJob:
        """Remove and return the row that is due first."""
        return heapq.heappop(self._rows)[2]
