"""A cancellable busy timeout for SQLite."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from livepeer_async.http.shortages import is_shortage

T = TypeVar("T")

# SQLite's own wait, after which cancellation is checked: a cancelled call must return in a second.
SQLITE_TIMEOUT = 0.05
# Between attempts, because SQLite refuses some requests at once, such as the switch to WAL.
PAUSE_SECONDS = 0.01
# Between attempts without a free file descriptor, of which each attempt may need several.
SHORTAGE_PAUSE_SECONDS = 0.1


class WaitCancelled(Exception):
    """The wait was cancelled before anything was done."""


class BusyTimeout:
    """The time that one call may wait for locks; another thread may cancel the wait.

    Args:
        seconds: the time, including that in a queue before the first attempt.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Cancel the wait, from any thread; completed work stays."""
        self._cancelled.set()

    def shorten(self, seconds: float) -> None:
        """Reduce the remaining time to at most this many seconds."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds until the time is up; 0 from then on."""
        return max(self._deadline - time.monotonic(), 0.0)

    @property
    def is_cancelled(self) -> bool:
        """Whether the wait was cancelled."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise `WaitCancelled` if the wait was cancelled."""
        if self._cancelled.is_set():
            raise WaitCancelled

    def acquire(self, lock: threading.RLock) -> None:
        """Wait for a lock; its holder has a busy timeout of its own, which ends earlier."""
        self.check()
        while not lock.acquire(timeout=SQLITE_TIMEOUT):
            self.check()

    def retry_while_busy(self, attempt: Callable[[], T]) -> T:
        """Call a function at least once, and again while the file is busy.

        Raises:
            WaitCancelled: the wait was cancelled.
            sqlite3.OperationalError: the time is up, or it is another error.
        """
        while True:
            self.check()
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > self._deadline:
                    raise
            self._cancelled.wait(PAUSE_SECONDS)

    def retry_while_short(self, attempt: Callable[[], T]) -> T:
        """Call a function at least once, and again while no file descriptor is free.

        Raises:
            WaitCancelled: the wait was cancelled.
            Exception: the time is up, or it is another error.
        """
        while True:
            self.check()
            try:
                return attempt()
            except (sqlite3.Error, OSError) as error:
                if time.monotonic() > self._deadline or not is_shortage(error):
                    raise
            self._cancelled.wait(SHORTAGE_PAUSE_SECONDS)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock: the only error that is worth waiting for."""
    return (getattr(error, "sqlite_errorname", "") or "").startswith("SQLITE_BUSY")
