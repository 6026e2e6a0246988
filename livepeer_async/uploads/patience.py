"""How long a call waits for the journal's file, and whether anybody still waits for the call.

SQLite's own wait can't be ended from outside. So it is kept short and repeated here, in worker
threads; in between, a call that was cancelled is noticed.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# SQLite's own wait. Short beside the second within which a cancelled call is back.
TURN_SECONDS = 0.05
# Some refusals come at once, as that of the switch to WAL: between these it is slept.
PAUSE_SECONDS = 0.01


class GivenUp(Exception):
    """Nobody waits for the call any more; nothing of it was done."""


class Patience:
    """The patience of one call, which runs out or is taken away from it.

    Args:
        seconds: how long it may wait, counted from here: the time in a queue is part of it.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """End the waiting, from any thread; what is done already is done."""
        self._given_up.set()

    def shorten(self, seconds: float) -> None:
        """Let it wait for so long from here at the most."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)

    def check(self) -> None:
        """Raise `GivenUp` where nobody waits any more."""
        if self._given_up.is_set():
            raise GivenUp

    def acquire(self, lock: threading.Lock) -> None:
        """Wait for a lock whose holder has a patience of its own, which runs out earlier."""
        self.check()
        while not lock.acquire(timeout=TURN_SECONDS):
            self.check()

    def keep_trying(self, attempt: Callable[[], T]) -> T:
        """Try, at least once, until the file isn't busy.

        Raises:
            GivenUp: nobody waits any more.
            sqlite3.OperationalError: it stays busy, or something else is wrong.
        """
        while True:
            self.check()
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > self._deadline:
                    raise
            self._given_up.wait(PAUSE_SECONDS)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else has a lock: the only error that passes by itself."""
    return (getattr(error, "sqlite_errorname", "") or "").startswith("SQLITE_BUSY")
