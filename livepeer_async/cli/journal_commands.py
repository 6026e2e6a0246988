"""The commands below `livepeer-async journal`, as typer reads them; `journals` does the work."""

# ruff: noqa: PLC0415 - a command imports what it needs: `--help` shouldn't wait for all of it

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from livepeer_async.cli.options import AsJson, JournalFile

journal = typer.Typer(
    help="See what is remembered of uploads, and what they left behind.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@journal.command("list")
def list_records(*, journal: JournalFile = None, json: AsJson = False) -> None:
    """List the uploads that the journal remembers.

    States: requested (no answer yet), ticketed (an asset, no bytes), created (bytes on their way),
    arrived (the server has all bytes), ready.
    """
    from livepeer_async.cli.journals import list_records
    from livepeer_async.cli.running import run

    run(partial(list_records, journal, is_json=json))


@journal.command("orphans")
def show_orphans(
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete those that are certainly ours.")
    ] = False,
    journal: JournalFile = None,
    json: AsJson = False,
) -> None:
    """List assets that are left on the server of uploads that came to nothing.

    Certainly ours are those whose ID the journal has. Others fit, by name and time, a request
    whose answer was lost: they may be somebody else's, and are never deleted here.
    """
    from livepeer_async.cli.journals import show_orphans
    from livepeer_async.cli.running import run

    run(partial(show_orphans, journal, is_deleting=delete, is_json=json))


@journal.command("forget")
def forget(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY", help="Keys, or paths of files, of uploads.")
    ],
    *,
    journal: JournalFile = None,
) -> None:
    """Forget uploads, so that the next run begins them anew; deletes nothing on the server."""
    from livepeer_async.cli.journals import forget
    from livepeer_async.cli.running import run

    run(partial(forget, keys, journal))
