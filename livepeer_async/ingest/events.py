"""Events of an ingestion.

Pure. First come a `BadRow` for each entry that can't be used and one `Checked`, then the others as
they happen. A `BadRow` after `Checked` is a row whose file disappeared in the meantime, or that
`probe` refuses.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from livepeer_async.errors import LivepeerError
from livepeer_async.ingest.rows import BadRow, RepeatedRow, Row
from livepeer_async.models.asset_fields import make_player_url
from livepeer_async.redaction import redacted


class RowState(StrEnum):
    """The state in which a row ended."""

    READY = "ready"
    """The asset is ready and verified as requested."""
    UPLOADED = "arrived"
    """The server has all bytes; the ingestion doesn't wait for `ready`."""
    # Deprecated name of UPLOADED.
    ARRIVED = "arrived"
    FAILED = "failed"
    """The row failed; `error` says why."""
    UNFINISHED = "unfinished"
    """The row was stopped, or another process owns it; the next run resumes it."""


class Checked(Struct, frozen=True, kw_only=True):
    """The whole manifest was checked; rows start after this.

    Attributes:
        rows: good rows.
        bad: rows that can't be used.
        length: bytes of all files; the length of URLs is unknown.
        urls: good rows with a URL.
        skipped: files in folders that aren't videos.
        repeated: rows that repeat an earlier one, as `RepeatedRow` says.
    """

    rows: int
    bad: int
    length: int
    urls: int
    skipped: int
    repeated: int = 0


@redacted()
class RowStarted(Struct, frozen=True):
    """A row starts, for the first time or after it was deferred."""

    row: Row


@redacted()
class RowDeferred(Struct, frozen=True):
    """An attempt failed; the row is retried after the other rows.

    Attributes:
        row: the row.
        error: why the attempt failed.
    """

    row: Row
    error: LivepeerError


@redacted()
class Halted(Struct, frozen=True):
    """The server doesn't respond; no row starts until it does.

    Attributes:
        error: the error of the last ping.
        delay: seconds until the next ping.
    """

    error: LivepeerError
    delay: float


class Resumed(Struct, frozen=True):
    """The server responds again, and rows start again.

    Attributes:
        seconds: the length of the outage.
    """

    seconds: float


class Notice(Struct, frozen=True):
    """A fact about the whole run: a full queue, or a worker of a cluster that can't be used.

    Attributes:
        message: a sentence for people.
    """

    message: str


@redacted()
class RowEnded(Struct, frozen=True, kw_only=True):
    """A row ended.

    Attributes:
        row: the row.
        state: the state in which it ended.
        asset_id: the ID of the asset; with an error, the asset that the error concerns, if any.
        playback_id: the asset's playback ID.
        length: bytes; `None` if the server fetched the video itself.
        seconds: from the row's first start in this run to its end.
        attempts: uploads, including repeated ones; 0 if an earlier run sent all bytes.
        verified: the strongest check that passed; `None` if nothing was compared.
        error: why the row failed; of an `UNFINISHED` row, the last error, if any.
        is_earlier: whether an earlier run finished the row; no request was sent in this run.
    """

    row: Row
    state: RowState
    # `Any` stands for None: a type checker can't tell that a row in the state READY has both.
    asset_id: str | Any = None
    playback_id: str | Any = None
    length: int | None = None
    seconds: float = 0.0
    attempts: int = 0
    verified: str | None = None
    error: LivepeerError | None = None
    is_earlier: bool = False

    @property
    def player_url(self) -> str | None:
        """A page that plays the asset once it is ready; see `Asset.player_url`."""
        policy = self.row.new_asset.playback_policy if self.row.new_asset else None
        return make_player_url(self.playback_id, policy or None)


Event = (
    BadRow | RepeatedRow | Checked | RowStarted | RowDeferred | Halted | Resumed | Notice | RowEnded
)
