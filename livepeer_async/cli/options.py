"""Options shared by several commands: their typer types, their values and their checks."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from msgspec import Struct

from livepeer_async.cli.extras import need_sandbox
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.uploads.options import Verify

Storage = Literal["file", "s3"]
Asked = Literal["size", "hash", "none"]

TIMEOUTS = Timeouts()
# Eight setbacks in a row survive an outage of a minute, on the average.
RETRIES = 8
# At first nothing is lost by giving up, and somebody waits: two take about a second.
FIRST_RETRIES = 2
# Nobody sits before an ingestion: each upload bears seven minutes without progress, on the average.
INGEST_RETRIES = 20
# A full queue is no failure at all, as long as it moves within a day.
INGEST_BUSY_SECONDS = 24 * 3600.0


class UploadChoices(Struct, frozen=True, kw_only=True):
    """What the command line asks of an upload.

    Attributes:
        name: of the asset, instead of the file's.
        storage: of the embedded sandbox; `None` uploads to the server of the environment.
        is_waited_for: whether to wait for `ready`.
        verify: how far to compare.
        concurrency: uploads at the same time.
        timeout: seconds to wait for `ready`.
        timeouts: the time limits of the network.
        retries: setbacks without progress that are borne.
        journal: the file that remembers the uploads; `None` for the user's own.
        is_remembered: whether there is a journal.
        is_again: whether what an earlier run has finished is uploaded anew.
        is_json: whether to write JSON instead of a table.
    """

    name: str | None = None
    storage: Storage | None = None
    is_waited_for: bool = True
    verify: Verify = "size"
    concurrency: int | None = None
    timeout: float = READY_TIMEOUT
    timeouts: Timeouts = TIMEOUTS
    retries: int = RETRIES
    journal: str | None = None
    is_remembered: bool = False
    is_again: bool = False
    is_json: bool = False


class IngestChoices(Struct, frozen=True, kw_only=True):
    """What the command line asks of an ingestion.

    Attributes:
        storage: of the embedded sandbox; `None` uploads to the server of the environment.
        is_checked_only: whether to look through the manifest and do no more.
        is_strict: whether nothing starts where a row is bad.
        is_relayed: whether URLs are fetched here and uploaded, instead of by the server.
        allow_outside: whether paths may lead out of the manifest's folder.
        is_waited_for: whether to wait for `ready`.
        verify: how far to compare.
        concurrency: uploads at the same time.
        max_rate: bytes per second of all uploads.
        timeout: seconds to wait for `ready`.
        timeouts: the time limits of the network.
        retries: setbacks without progress that are borne.
        journal: the file that remembers the uploads; `None` for the user's own.
        is_remembered: whether there is a journal.
        report: the file for a line about each row.
        is_json: whether these lines go to standard output instead of a table.
    """

    storage: Storage | None = None
    is_checked_only: bool = False
    is_strict: bool = False
    is_relayed: bool = False
    allow_outside: bool = False
    is_waited_for: bool = True
    verify: Verify = "size"
    concurrency: int | None = None
    max_rate: float | None = None
    timeout: float = READY_TIMEOUT
    timeouts: Timeouts = TIMEOUTS
    retries: int = INGEST_RETRIES
    journal: str | None = None
    is_remembered: bool = False
    report: str | None = None
    is_json: bool = False


AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, one document per line.")]
JournalFile = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        help="The journal; by default one for each key in $XDG_STATE_HOME/livepeer-async.",
    ),
]
NoJournal = Annotated[
    bool, typer.Option("--no-journal", help="Remember nothing: each run begins anew.")
]
Again = Annotated[bool, typer.Option("--again", help="Upload anew what an earlier run finished.")]
Concurrency = Annotated[
    int | None,
    typer.Option(min=1, help="Files at the same time; by default as many as the line takes."),
]
OfSandbox = Annotated[
    bool, typer.Option("--sandbox", help="Upload to an embedded sandbox: a trial, no key.")
]
StorageWithSandbox = Annotated[
    Storage | None, typer.Option("--storage", help="How the sandbox stores, with --sandbox.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Don't wait until the assets are ready.")]
Verified = Annotated[
    Asked, typer.Option("--verify", help="What to compare once an asset is ready.")
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0.001, help="Seconds to wait until an asset is ready."),
]
Stall = Annotated[
    float,
    typer.Option("--stall", min=0.001, help="Seconds without a byte accepted or received."),
]
ChunkResponse = Annotated[
    float,
    typer.Option(
        "--chunk-response",
        min=0.001,
        help="Seconds to wait for the response to a chunk that was sent. The server responds once "
        "its storage has the bytes.",
    ),
]


def check_journal(journal: str | None, *, is_forbidden: bool, is_again: bool = False) -> None:
    """Refuse options for a journal where there shall be none."""
    if is_forbidden and (journal or is_again):
        raise typer.BadParameter("--no-journal leaves nothing for --journal or --again to do")


def check_storage(storage: str | None, *, is_sandbox: bool) -> None:
    """Refuse an option for the sandbox where there is none, and a sandbox that can't be had."""
    if storage is not None and not is_sandbox:
        raise typer.BadParameter("--storage is the sandbox's: say --sandbox too")
    if is_sandbox:
        need_sandbox("--sandbox")
