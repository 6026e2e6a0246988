"""Messages between the coordinator of an ingestion and the processes of its workers.

They are pickled and wrapped in `Hidden`: Dask logs arguments, and rows may hold signed URLs. The
version stands outside: a process of another version doesn't unpickle the rest.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.errors import LivepeerError
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.ingest.events import Event, RowDeferred, RowEnded, RowStarted
from livepeer_async.ingest.row_worker import RowOptions
from livepeer_async.ingest.rows import BadRow, Row
from livepeer_async.redaction import Hidden, redacted
from livepeer_async.uploads.progress import Progress
from livepeer_async.version import __version__

# The topic of all updates; a scheduler keeps the last 1,000 messages of each topic.
TOPIC = "livepeer-async"
# The manifest of a row in a worker, whose line is the number of the row in the run.
MANIFEST = "row"

Call = Hidden[tuple[str, bytes]]


class Run(Struct, frozen=True, kw_only=True):
    """What all processes of a run share.

    Attributes:
        id: the random ID of the run.
        account: the fingerprint of the account.
        journal: the path or the URL of the journal, without a password.
        journal_id: what `Journal.identify` returns.
        machine: the machine of a journal that is a file; None for any.
        retry: the retry policy.
        timeouts: the time limits of the network.
        concurrency: concurrent uploads in each process; None to adapt.
        max_rate: bytes per second of each process; None for no limit.
        options: the options of all rows.
        outage_timeout: as for `ingest`.
    """

    id: str
    account: str
    journal: str
    journal_id: str
    machine: str | None
    retry: RetryPolicy
    timeouts: Timeouts
    concurrency: int | None
    max_rate: float | None
    options: RowOptions
    outage_timeout: float

    @property
    def stop_event(self) -> str:
        """The name of the `distributed.Event` that stops the run."""
        return f"livepeer-async-stop-{self.id}"


@redacted("key")
class Batch(Struct, frozen=True, kw_only=True):
    """Rows for one task.

    Attributes:
        key: the key of the task.
        run: the run.
        rows: the rows, as `to_worker` returns them.
    """

    key: str
    run: Run
    rows: list[Row]


class Refusal(Struct, frozen=True):
    """A process can't run rows, and the error says why."""

    error: LivepeerError


class Outcome(Struct, frozen=True, kw_only=True):
    """The result of a batch; updates have reported how its rows ended.

    Attributes:
        worker: the address of the worker.
        missing: numbers of the rows whose file isn't on the worker.
        error: the error that ended the batch.
    """

    worker: str
    missing: list[int]
    error: LivepeerError | None = None


class RowProgress(Struct, frozen=True):
    """The progress of a row since the last update.

    Attributes:
        number: the number of the row.
        stages: the first and the last progress in each stage.
    """

    number: int
    stages: list[Progress]


class Update(Struct, frozen=True):
    """What happened in a process since its last update, each with the key of its batch."""

    events: list[tuple[str, Event | RowProgress]]


class RowList:
    """Rows as an ingestion reads them from a manifest.

    Args:
        rows: the rows.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self.skipped = 0

    def __iter__(self) -> Iterator[Row | BadRow]:
        return iter(self._rows)

    def snapshot(self) -> AbstractContextManager[None]:
        """Do nothing: the rows don't change."""
        return nullcontext()


def seal(message: Batch | Run) -> Call:
    """Wrap a message for a worker."""
    return Hidden((__version__, pickle.dumps(message)), "<rows of livepeer-async>")


def to_worker(row: Row, number: int, source: str) -> Row:
    """Return a row as workers get it: with its number, and to be measured there.

    Args:
        row: the row.
        number: its number in the run.
        source: its URL, or the absolute path of its file.
    """
    return replace(
        row,
        source=source,
        manifest=MANIFEST,
        line=number,
        sheet_row=None,
        length=None,
        modified_ns=None,
    )


def without_row(event: Any) -> Any:
    """Return an event of a worker with nothing of its row but the number."""
    if isinstance(event, RowStarted | RowDeferred | RowEnded):
        line, length = event.row.line, event.row.length
        stub = Row(source="", is_url=False, key="", manifest=MANIFEST, line=line, length=length)
        event = replace(event, row=stub)
    error: LivepeerError | None = getattr(event, "error", None)
    if error is not None:
        # A secret, and the journal has it.
        error.upload_url = None
    return event


def number_of(event: Event) -> int | None:
    """Return the number of the row that a worker's event is about."""
    match event:
        case RowStarted(row=row) | RowDeferred(row=row) | RowEnded(row=row):
            return row.line
        case BadRow(location=location):
            return int(location.rpartition(":")[2])
        case _:
            return None
