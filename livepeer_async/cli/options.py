"""Options that several commands have, as typer reads them, and what can be wrong with them."""

from __future__ import annotations

from typing import Annotated

import typer

from livepeer_async.cli.choices import Asked, Storage
from livepeer_async.cli.extras import need_sandbox

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
