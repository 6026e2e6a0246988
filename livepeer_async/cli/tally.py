"""What became of the rows of a manifest, counted: as small after 100,000 rows as after one.

In come the events that end rows; out come numbers, and for each kind of failure an example. Pure.
"""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from livepeer_async.cli.outcome import Status, status_of
from livepeer_async.cli.row_advice import comes_again
from livepeer_async.errors import LivepeerError, UploadInUse
from livepeer_async.ingest.events import Checked, RowEnded, RowState


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
