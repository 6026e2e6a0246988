"""Where an ingestion stands, in words: how many rows are where, and what they wait for.

In come counts and moments; out come sentences for the displays. Time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from livepeer_async.cli.board import Board
from livepeer_async.cli.item import Stage
from livepeer_async.cli.tally import Tally
from livepeer_async.cli.text import count, show_countdown

# Files of a manifest come and go; over a short time the rate of all would jump with each.
RATE_WINDOW = 30.0


class Halt(Struct, frozen=True):
    """Why nothing starts.

    Attributes:
        reason: what the last question to the server met.
        until: when the next one is.
    """

    reason: str
    until: float


class Standing:
    """Where an ingestion stands.

    Attributes:
        board: the rows that run, and sums.
        tally: what became of those that ended.
        halt: why nothing starts, `None` while rows do.
        is_remembered: whether a journal knows how far the rows came.
        is_stopping: whether rows are only brought to an end.
        is_paused: tells whether the server has asked for less load.
    """

    def __init__(self) -> None:
        self.board = Board(window=RATE_WINDOW)
        self.tally = Tally()
        self.halt: Halt | None = None
        self.is_remembered = False
        self.is_stopping = False
        self.is_paused: Callable[[], bool] = lambda: False

    def counts(self) -> list[str]:
        """Say how many rows are where, the most needed first."""
        board, tally = self.board, self.tally
        bad = [count(tally.bad, "bad row")] if tally.bad else []
        if tally.checked is None:
            return ["checking the manifest", *bad]
        running = {
            "uploading": board.count(Stage.UPLOADING),
            "processing": board.count(Stage.PROCESSING),
            "by an earlier run": tally.earlier,
        }
        told = [f"{number:,} {where}" for where, number in running.items() if number]
        return [board.summary(), *told, *bad]

    def obstacle(self, now: float) -> tuple[str, str] | None:
        """Say what keeps rows from starting, and what comes next; `None` where nothing does."""
        if self.is_stopping:
            left = self.board.count(Stage.UPLOADING)
            if not left:
                return None
            what = f"stopping: {count(left, 'upload')} to the end of the chunk that runs"
            return what, "Ctrl-C again ends at once"
        if self.halt is not None:
            seconds = self.halt.until - now
            when = f"next try in {show_countdown(seconds)}" if seconds > 0 else "trying"
            return f"halted: {self.halt.reason}", when
        if self.is_paused():
            return "paused: the server is busy or its queue is full", "it is asked again soon"
        return None
