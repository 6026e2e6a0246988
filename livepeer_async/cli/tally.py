"""What became of the rows of a manifest, counted: as small after 100,000 rows as after one.

In come the events that end rows; out come numbers, and for each kind of failure an example. Pure.
"""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from livepeer_async.cli.outcome import Status, describe, status_of
from livepeer_async.errors import LivepeerError, SourceError
from livepeer_async.ingest.events import Checked, RowEnded, RowState
from livepeer_async.ingest.rows import Row
from livepeer_async.models.redaction import show_source


class Kind(Struct):
    """Failures of one kind.

    Attributes:
        number: how many.
        place: where the first of them stands.
        sentence: what was said of it.
        error: the error itself.
    """

    number: int
    place: str
    sentence: str
    error: LivepeerError


class Tally:
    """The rows of an ingestion.

    Attributes:
        checked: what the manifest came to; `None` until it was looked through.
        bad: rows that can't be used, so far.
        earlier: rows that an earlier run had finished.
        kinds: of failures, by the error's class.
    """

    def __init__(self) -> None:
        self.checked: Checked | None = None
        self.bad = 0
        self.earlier = 0
        self.kinds: dict[str, Kind] = {}
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
        if ended.error is None:
            return
        kind = self.kinds.setdefault(
            type(ended.error).__name__, Kind(0, ended.row.place, sentence, ended.error)
        )
        kind.number += 1

    def status(self) -> Status:
        """Give the exit status that the rows deserve."""
        if status_of(kind.error for kind in self.kinds.values()) is Status.NOT_AUTHORISED:
            return Status.NOT_AUTHORISED
        is_well = not self.bad and not self.kinds and not self.count(RowState.UNFINISHED)
        return Status.OK if is_well else Status.FAILED


def tell_failure(row: Row, error: LivepeerError, *, is_remembered: bool) -> str:
    """Say why a row failed, and what to do; what is wrong with a source names it itself."""
    said = describe(error, is_upload=True, is_remembered=is_remembered)
    is_named = isinstance(error, SourceError) or row.manifest is None
    return said if is_named else f"{show_source(row.source)}: {said}"
