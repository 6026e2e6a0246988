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
# Seconds of silence that are worth a word: a server that stores a part may take as many.
QUIET = 10.0


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
        journal: the option that names the journal, which knows how far the rows came; "" for the
            user's own, `None` without one.
        put_off: rows that were given up for now and come again after the others.
        leftovers: assets that uploads may have left on the server, once all has ended.
        is_stopping: whether rows are only brought to an end.
        is_paused: tells whether the server has asked for less load.
        quiet: gives the seconds for which requests have been out, and neither a byte moved nor an
            answer came.
    """

    def __init__(self) -> None:
        self.board = Board(window=RATE_WINDOW)
        self.tally = Tally()
        self.halt: Halt | None = None
        self.journal: str | None = None
        self.put_off = 0
        self.leftovers = 0
        self.is_stopping = False
        self.is_paused: Callable[[], bool] = lambda: False
        self.quiet: Callable[[], float] = lambda: 0.0

    @property
    def is_remembered(self) -> bool:
        """Whether a journal knows how far the rows came."""
        return self.journal is not None

    @property
    def silence(self) -> float:
        """Seconds without a byte or an answer, where they are worth a word; else 0."""
        seconds = self.quiet()
        return seconds if seconds >= QUIET else 0.0

    @property
    def had_nothing_to_send(self) -> bool:
        """Whether all is done, and no byte was sent for it in this run."""
        board, tally = self.board, self.tally
        is_done = 0 < board.number == board.done and not board.moved
        return is_done and (board.is_measured or tally.earlier == board.number)

    def counts(self) -> list[str]:
        """Say how many rows are where, the most needed first."""
        board, tally = self.board, self.tally
        bad = [count(tally.bad, "bad row")] if tally.bad else []
        if tally.checked is None:
            return ["checking the manifest", *bad]
        waiting = [item.stage for item in board.items if item.setback is not None]
        numbers = {
            "uploading": board.count(Stage.UPLOADING) - waiting.count(Stage.UPLOADING),
            "processing": board.count(Stage.PROCESSING) - waiting.count(Stage.PROCESSING),
            "waiting for the next attempt": len(waiting),
            "starting": board.count(Stage.WAITING),
            "coming again later": self.put_off,
            "by an earlier run": tally.earlier,
        }
        told = [f"{number:,} {where}" for where, number in numbers.items() if number]
        return [board.summary(), *told, *bad]

    def obstacle(self, now: float) -> tuple[str, str] | None:
        """Say what keeps rows from starting, and what comes next; `None` where nothing does."""
        silence = self.silence
        quiet = f"nothing has moved for {show_countdown(int(silence))}" if silence else ""
        if self.is_stopping:
            left = self.board.count(Stage.UPLOADING)
            if not left:
                return None
            what = quiet or f"{count(left, 'upload')} to the end of the chunk"
            return f"stopping: {what}", "Ctrl-C again ends at once"
        if self.halt is not None:
            seconds = self.halt.until - now
            when = f"next try in {show_countdown(seconds)}" if seconds > 0 else "trying"
            return f"halted: {self.halt.reason}", when
        if quiet:
            return quiet, "waiting for the server"
        if self.is_paused():
            return "paused: the server is busy or its queue is full", "it is asked again soon"
        return None
