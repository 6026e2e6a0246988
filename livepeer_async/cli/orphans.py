"""`livepeer-async journal orphans`: lists, deletes or dismisses leftovers of failed uploads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from livepeer_async.cli import journal_records
from livepeer_async.cli.client_options import ClientOptions
from livepeer_async.cli.journal_places import check_exists, journal_option
from livepeer_async.cli.output.console import (
    print_error,
    print_json,
    print_note,
    print_problem,
)
from livepeer_async.cli.output.error_messages import ExitStatus, exit_status_for, format_error
from livepeer_async.cli.output.formatting import pluralize
from livepeer_async.cli.output.leftovers import COMMAND, print_leftover_table
from livepeer_async.cli.session import open_client
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import LivepeerError
from livepeer_async.journal.journal import Journal
from livepeer_async.redaction import show_source
from livepeer_async.uploads.leftovers import Leftover


@asynccontextmanager
async def _open_journal(
    path: str | None, *, check_connection: bool = False
) -> AsyncGenerator[tuple[AsyncLivepeer, Journal | None]]:
    """Open a client with an existing journal; the journal is `None` without a home directory."""
    if path is not None:
        check_exists(path)
    client_options = ClientOptions(journal=path, use_journal=True)
    async with open_client(client_options, check_connection=check_connection) as client:
        yield client, client.journal


async def run_on_orphans(
    path: str | None, action: OrphanAction, asset_ids: Sequence[str], *, json: bool
) -> ExitStatus:
    """Run an action on the leftovers of a journal, or on those with the given IDs."""
    option = journal_option(path)
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


async def print_orphans(command: OrphanCommand, leftovers: Sequence[Leftover]) -> ExitStatus:
    """Print leftovers, and how to delete or dismiss them."""
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


async def delete_orphans(command: OrphanCommand, leftovers: Sequence[Leftover]) -> ExitStatus:
    """Delete the leftovers that are certainly ours, or named by the user."""
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


async def dismiss_orphans(command: OrphanCommand, leftovers: Sequence[Leftover]) -> ExitStatus:
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
