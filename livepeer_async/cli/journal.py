"""`livepeer-async journal`: the commands that show recorded uploads, and delete leftovers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from livepeer_async.cli import options
from livepeer_async.cli.command import Command, Group
from livepeer_async.deferred import deferred_module

if TYPE_CHECKING:
    from livepeer_async.cli import journal_records, journal_release, orphans, runner
else:
    # Imported by the command that runs; its help needs none of them.
    journal_records = deferred_module("livepeer_async.cli.journal_records")
    orphans = deferred_module("livepeer_async.cli.orphans")
    journal_release = deferred_module("livepeer_async.cli.journal_release")
    runner = deferred_module("livepeer_async.cli.runner")

app = typer.Typer(
    cls=Group,
    help="Show recorded uploads, and clean up leftovers of failed ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command("list", cls=Command)
def list_records(*, journal: options.JournalPath = None, json: options.Json = False) -> None:
    """List the recorded uploads, of all default journals if no API key is set.

    States: requested (no response yet), ticketed (an asset without bytes), created (bytes are
    being sent), arrived (the server has all bytes), ready, failed (it couldn't process them).
    """
    runner.run_command(partial(journal_records.list_records, journal, json=json))


@app.command("orphans", cls=Command)
def list_orphans(
    asset_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Only these; with --delete, uncertain ones too."),
    ] = None,
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the assets that the journal has the IDs of.")
    ] = False,
    dismiss: Annotated[
        bool, typer.Option("--dismiss", help="Keep the assets, and forget that they are left over.")
    ] = False,
    journal: options.JournalPath = None,
    json: options.Json = False,
) -> None:
    """List assets that failed uploads left on the server.

    An asset that the journal knows by its ID is certainly yours, and later uploads delete it if
    they can. Others are known by the name and time of a request whose response was lost. They may
    belong to another user, and are only deleted if their IDs are given.

    Only the server knows which assets are still there, so this needs an API key; --dismiss without
    IDs needs none.

    The exit status is 1 if --delete leaves something that was to be deleted.
    """
    if delete and dismiss:
        raise typer.BadParameter("--delete can't be combined with --dismiss")
    if asset_ids and not (delete or dismiss):
        raise typer.BadParameter("IDs need --delete or --dismiss")
    if dismiss and not asset_ids:
        runner.run_command(partial(journal_records.dismiss_requests, journal))
    action = orphans.print_orphans
    if delete or dismiss:
        action = orphans.delete_orphans if delete else orphans.dismiss_orphans
    runner.run_command(partial(orphans.run_on_orphans, journal, action, asset_ids or [], json=json))


@app.command("forget", cls=Command, context_settings={"ignore_unknown_options": True})
def forget_records(
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY", help="Keys of uploads, paths of their files, or asset IDs."),
    ],
    *,
    journal: options.JournalPath = None,
) -> None:
    """Forget uploads: the next run starts them again. Nothing is deleted on the server."""
    runner.run_command(partial(journal_records.forget_records, keys, journal))


@app.command("release", cls=Command)
def release_claims(
    owners: Annotated[
        list[int] | None,
        typer.Argument(metavar="OWNER", help="The owners whose sessions are ended."),
    ] = None,
    *,
    journal: options.JournalPath = None,
    json: options.Json = False,
) -> None:
    """List the owners of claims in a PostgreSQL database, or end their sessions.

    A claim makes one process the only writer of an upload, and ends with the session of its
    process. Some servers and proxies keep the session of a process that is gone; to end it, the
    role must be the same, a superuser, or a member of pg_signal_backend. A process that still runs
    stops its uploads, connects again, and goes on with its claims.
    """
    url = journal_release.check_url(journal)
    runner.run_command(partial(journal_release.release, url, owners or [], json=json))
