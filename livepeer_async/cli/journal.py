"""`livepeer-async journal`: shows recorded uploads, and deletes leftovers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from shlex import quote
from typing import Annotated

import anyio
import typer
from msgspec import Struct

from livepeer_async.cli import journal_records, options
from livepeer_async.cli.command import Command, Group
from livepeer_async.cli.output.console import (
    print_error,
    print_json,
    print_note,
    print_problem,
)
from livepeer_async.cli.output.error_messages import ExitStatus, exit_status_for, format_error
from livepeer_async.cli.output.formatting import (
    pluralize,
)
from livepeer_async.cli.output.leftovers import COMMAND, print_leftover_table
from livepeer_async.cli.runner import run_command
from livepeer_async.cli.session import open_client
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import JournalError, LivepeerError
from livepeer_async.journal.journal import Journal
from livepeer_async.redaction import show_source
from livepeer_async.uploads.leftovers import Leftover

UNKNOWN = "-"

app = typer.Typer(
    cls=Group,
    help="Show recorded uploads, and clean up leftovers of failed ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", cls=Command)
def list_records(*, journal: options.JournalPath = None, json: options.Json = False) -> None:
    """List the recorded uploads, of all default journals if no API key is set.

    States: requested (no response yet), ticketed (an asset without bytes), created (bytes are
    being sent), arrived (the server has all bytes), ready, failed (it couldn't process them).
    """
    run_command(partial(journal_records.list_records, journal, json=json))


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
    action = _delete_orphans if delete else _dismiss_orphans if dismiss else _print_orphans
    if dismiss and not asset_ids:
        run_command(partial(journal_records.dismiss_requests, journal))
    else:
        run_command(partial(_run_on_orphans, journal, action, asset_ids or [], json=json))


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
    run_command(partial(journal_records.forget_records, keys, journal))


@asynccontextmanager
async def _open_journal(
    path: str | None, *, check_connection: bool = False
) -> AsyncGenerator[tuple[AsyncLivepeer, Journal | None]]:
    """Open a client with an existing journal; the journal is `None` without a home directory."""
    if path is not None and not await anyio.Path(path).exists():
        raise JournalError(f"there is no journal {path}", path=path)
    client_options = options.ClientOptions(journal=path, use_journal=True)
    async with open_client(client_options, check_connection=check_connection) as client:
        yield client, client.journal


async def _run_on_orphans(
    path: str | None, action: OrphanAction, asset_ids: Sequence[str], *, json: bool
) -> ExitStatus:
    option = f" --journal {quote(path)}" if path else ""
    async with _open_journal(path, check_connection=True) as (client, _):
        leftovers = await client.leftovers()
        known = {leftover.asset.id for leftover in leftovers}
        unknown = [asset_id for asset_id in dict.fromkeys(asset_ids) if asset_id not in known]
        for asset_id in unknown:
            print_error(f"{asset_id} isn't left over; see {COMMAND}{option}")
        chosen = [it for it in leftovers if not asset_ids or it.asset.id in asset_ids]
        command = OrphanCommand(client=client, is_named=bool(asset_ids), option=option, json=json)
        status = await action(command, chosen)
    return ExitStatus.FAILED if unknown and status is ExitStatus.OK else status


class OrphanCommand(Struct, frozen=True, kw_only=True):
    """A command for leftovers.

    Attributes:
        client: the client.
        is_named: whether the user has named the assets.
        option: the option that names the journal in suggested commands.
        json: whether to write JSON.
    """

    client: AsyncLivepeer
    is_named: bool
    option: str
    json: bool

    def show(self, leftovers: Sequence[Leftover], deleted: Collection[str] = ()) -> None:
        """Print leftovers as a table or as JSON."""
        for leftover in leftovers if self.json else ():
            print_json(_leftover_document(leftover, deleted))
        if leftovers and not self.json:
            print_leftover_table(leftovers)


OrphanAction = Callable[[OrphanCommand, Sequence[Leftover]], Awaitable[ExitStatus]]


async def _print_orphans(command: OrphanCommand, leftovers: Sequence[Leftover]) -> ExitStatus:
    command.show(leftovers)
    if not leftovers and not command.json:
        print_note("no assets are left over")
    if any(leftover.is_ours for leftover in leftovers):
        print_note(
            "those known by their IDs are certainly yours: to delete, use "
            f"{COMMAND}{command.option} --delete"
        )
    _advise_unsure([it for it in leftovers if not it.is_ours], command.option)
    journal = command.client.journal
    names = {leftover.asset.name for leftover in leftovers}
    waiting = await journal.unconfirmed_requests() if journal is not None else []
    waiting = [request for request in waiting if request.name not in names]
    if waiting:
        print_note(
            f"{pluralize(len(waiting), 'request')} got no response, and nothing that it created is "
            "found yet, or with this API key: to dismiss, use "
            f"{COMMAND}{command.option} --dismiss"
        )
    return ExitStatus.OK


async def _delete_orphans(command: OrphanCommand, leftovers: Sequence[Leftover]) -> ExitStatus:
    chosen = [it.asset.id for it in leftovers if it.is_ours or command.is_named]
    errors = await _delete_leftovers(command.client, chosen)
    deleted = set(chosen) - errors.keys()
    # The user has decided which assets the lost responses were about.
    settled = [it for it in leftovers if it.asset.id in deleted and not it.is_ours]
    if settled:
        await command.client.dismiss_leftovers(settled)
    command.show(leftovers, deleted)
    if not leftovers and not command.is_named and not command.json:
        print_note("no assets are left over")
    elif chosen:
        print_note(f"deleted {pluralize(len(deleted), 'asset')}")
    elif leftovers:
        print_problem("deleted nothing: the journal has the ID of none of them")
    unsure = [it for it in leftovers if it.asset.id not in chosen]
    _advise_unsure(unsure, command.option)
    status = exit_status_for(errors.values())
    return ExitStatus.FAILED if unsure and status is ExitStatus.OK else status


async def _dismiss_orphans(command: OrphanCommand, leftovers: Sequence[Leftover]) -> ExitStatus:
    """Forget the named leftovers."""
    count = await command.client.dismiss_leftovers(leftovers)
    journal_records.print_dismissed(count)
    return ExitStatus.OK


def _advise_unsure(unsure: Sequence[Leftover], option: str) -> None:
    if unsure:
        print_note(
            "those known by name and time may belong to another user: to delete one, use "
            f"{COMMAND}{option} --delete ID; to keep them, use {COMMAND}{option} --dismiss"
        )


async def _delete_leftovers(
    client: AsyncLivepeer, asset_ids: Sequence[str]
) -> dict[str, LivepeerError]:
    errors: dict[str, LivepeerError] = {}
    for asset_id in asset_ids:
        try:
            await client.delete_leftover(asset_id)
        except LivepeerError as error:
            errors[asset_id] = error
            print_error(f"{asset_id}: {format_error(error)}")
    return errors


def _leftover_document(leftover: Leftover, deleted: Collection[str]) -> dict[str, object]:
    asset = leftover.asset
    return {
        "asset_id": asset.id,
        "name": asset.name,
        "phase": asset.phase,
        "key": show_source(leftover.key),
        "is_ours": leftover.is_ours,
        "is_deleted": asset.id in deleted,
    }
