"""What happens in an ingestion, as values.

They come in this order: a `BadRow` for each row that can't be used, one `Checked`, and then, as it
happens, `RowStarted`, `RowPutOff`, `Halted` and `Resumed`, and one `RowEnded` for each good row but
those that hadn't begun when it was stopped. A `BadRow` behind `Checked` is one that became so in
the meantime.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from livepeer_async.errors import LivepeerError
from livepeer_async.ingest.rows import BadRow, Row


class RowState(StrEnum):
    """How a row ended."""

    READY = "ready"
    """Its asset is ready, and was compared as far as that was wanted."""
    ARRIVED = "arrived"
    """The server has all of it, and nobody wanted to wait for more."""
    FAILED = "failed"
    """It came to nothing; `error` says why."""
    UNFINISHED = "unfinished"
    """It was stopped; the next run goes on with it."""


class Checked(Struct, frozen=True, kw_only=True):
    """The whole manifest was looked through; the rows begin after it.

    Attributes:
        rows: good rows.
        bad: rows that can't be used.
        length: bytes of all files; what URLs have isn't known.
        urls: good rows with a URL.
        skipped: files in folders that weren't taken, because they are no videos.
    """

    rows: int
    bad: int
    length: int
    urls: int
    skipped: int


class RowStarted(Struct, frozen=True):
    """A row has begun, or begins again after it was put off."""

    row: Row


class RowDeferred(Struct, frozen=True):
    """A row was given up for now and comes again after the others.

    Attributes:
        error: what stood in its way.
    """

    row: Row
    error: LivepeerError


class Halted(Struct, frozen=True):
    """Nothing starts until the server answers again.

    Attributes:
        error: what the last question after it met.
        delay: seconds until the next question.
    """

    error: LivepeerError
    delay: float


class Resumed(Struct, frozen=True):
    """The server answers again: rows start as before.

    Attributes:
        seconds: since the first `Halted`.
    """

    seconds: float


class RowEnded(Struct, frozen=True, kw_only=True):
    """How a row ended.

    Attributes:
        row: the row.
        state: in a word.
        asset_id: the asset that was made; with an error the one that it concerns, if any.
        playback_id: of that asset.
        length: bytes; `None` where the server fetched them.
        seconds: from its first beginning in this run to its end.
        attempts: uploads that were needed; 0 where an earlier run had brought everything over.
        verified: how far the content is proved; `None` where it wasn't compared.
        error: why it failed; or, where it is UNFINISHED, what stood in its way, if anything did.
        is_earlier: whether an earlier run had finished it, and nothing was asked of the server.
    """

    row: Row
    state: RowState
    asset_id: str | None = None
    playback_id: str | None = None
    length: int | None = None
    seconds: float = 0.0
    attempts: int = 0
    verified: str | None = None
    error: LivepeerError | None = None
    is_earlier: bool = False


Event = BadRow | Checked | RowStarted | RowDeferred | Halted | Resumed | RowEnded
