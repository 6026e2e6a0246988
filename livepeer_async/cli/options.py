"""Options that several commands have, as typer reads them."""

from __future__ import annotations

from typing import Annotated

import typer

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
