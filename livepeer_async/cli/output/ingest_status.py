"""The status of an ingestion in words: counts of rows by state, and what they wait for.

The time is an argument.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from livepeer_async.cli.output.error_messages import Status, comes_again, status_of
from livepeer_async.cli.output.formatting import count, show_countdown
from livepeer_async.cli.output.progress import Board, Stage
from livepeer_async.errors import LivepeerError, UploadInUse
from livepeer_async.ingest.events import Checked, RowEnded, RowState

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
        waiting = [item.stage for item in board.items if item.retry is not None]
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


class Kind(Struct):
    """Failures of one kind.

    Attributes:
        number: how many.
        place: where the first of them stands.
        sentence: what was said of it.
        error: the error itself.
        comes_again: whether the same command tries them again, and that may help.
    """

    number: int
    place: str
    sentence: str
    error: LivepeerError
    comes_again: bool


class Tally:
    """The rows of an ingestion.

    Attributes:
        checked: what the manifest came to; `None` until it was looked through.
        bad: rows that can't be used, so far.
        earlier: rows that an earlier run had finished.
        in_use: rows that another run carries.
        kinds: of failures, by the error's class and by whether the same command tries again.
    """

    def __init__(self) -> None:
        self.checked: Checked | None = None
        self.bad = 0
        self.earlier = 0
        self.in_use = 0
        self.kinds: dict[tuple[str, bool], Kind] = {}
        self._ended: Counter[RowState] = Counter()

    def count(self, state: RowState) -> int:
        """Give how many rows ended so; those that nobody began are unfinished as well."""
        if state is not RowState.UNFINISHED:
            return self._ended[state]
        if self.checked is None:
            return self._ended[state]
        # The manifest is read again for the rows themselves, and may have changed since the check.
        good = self.checked.rows - (self.bad - self.checked.bad)
        return max(0, good - self._ended.total()) + self._ended[state]

    def end(self, ended: RowEnded, sentence: str) -> None:
        """Take note of how a row ended.

        Args:
            ended: the row.
            sentence: what is said of its error.
        """
        self._ended[ended.state] += 1
        self.earlier += ended.is_earlier
        error = ended.error
        if isinstance(error, UploadInUse):
            self.in_use += 1
        elif error is not None:
            is_again = comes_again(error)
            new = Kind(0, ended.row.place, sentence, error, is_again)
            self.kinds.setdefault((type(error).__name__, is_again), new).number += 1

    @property
    def has_rows(self) -> bool:
        """Whether anything was told of any row."""
        return bool(self.bad or self._ended)

    @property
    def is_empty(self) -> bool:
        """Whether the manifest was looked through and has no row, good or bad."""
        return self.checked is not None and not self.checked.rows and not self.bad

    def status(self) -> Status:
        """Give the exit status that the rows deserve."""
        if status_of(kind.error for kind in self.kinds.values()) is Status.NOT_AUTHORISED:
            return Status.NOT_AUTHORISED
        is_well = not self.bad and not self.kinds and not self.count(RowState.UNFINISHED)
        return Status.OK if is_well and not self.is_empty else Status.FAILED
