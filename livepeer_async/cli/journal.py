"""`livepeer-async journal`: shows recorded uploads, and deletes leftovers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

import anyio
import typer

from livepeer_async.cli import options
from livepeer_async.cli.output.console import (
    output,
    print_error,
    print_json,
    print_note,
    print_table,
)
from livepeer_async.cli.output.error_messages import ExitStatus, exit_status_for, format_error
from livepeer_async.cli.output.formatting import format_timestamp, pluralize
from livepeer_async.cli.output.names import label_names
from livepeer_async.cli.runner import run_command
from livepeer_async.cli.session import open_client
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import JournalError, LivepeerError
from livepeer_async.journal.journal import Journal
from livepeer_async.redaction import show_source
from livepeer_async.sources.source import source_key
from livepeer_async.uploads.leftovers import Leftover

UNKNOWN = "-"

app = typer.Typer(
    help="Show recorded uploads, and clean up leftovers of failed ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_records(*, journal: options.JournalPath = None, json: options.Json = False) -> None:
    """List the recorded uploads.

    States: requested (no response yet), ticketed (an asset without bytes), created (bytes are
    being sent), arrived (the server has all bytes), ready, failed (it couldn't process them).
    """
    run_command(partial(_list_records, journal, json=json))


@app.command("orphans")
def list_orphans(
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the assets that are certainly yours.")
    ] = False,
    journal: options.JournalPath = None,
    json: options.Json = False,
) -> None:
    """List assets that failed uploads left on the server.

    An asset is certainly yours if the journal has its ID. Others only match the name and time of a
    request whose response was lost; they may belong to another user, and are never deleted here.
    """
    run_command(partial(_list_orphans, journal, delete=delete, json=json))


@app.command("forget")
def forget_records(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY", help="Keys of uploads, or paths of their files.")
    ],
    *,
    journal: options.JournalPath = None,
) -> None:
    """Forget uploads: the next run starts them again. Nothing is deleted on the server."""
    run_command(partial(_forget_records, keys, journal))


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


async def _list_records(path: str | None, *, json: bool) -> ExitStatus:
    async with _open_journal(path) as (_, journal):
        records = await journal.records() if journal else []
    for record in records if json else ():
        print_json(
            {
                "key": show_source(record.key),
                "state": str(record.state),
                "name": record.name,
                "asset_id": record.asset_id,
                "playback_id": record.playback_id,
                "size": record.identity.length,
            }
        )
    if not records:
        print_note("the journal is empty")
    elif not json:
        headers = ["name", "asset ID", "playback ID", "state", "requested", "key"]
        names = label_names({show_source(it.key): it.name for it in records})
        rows = [
            [
                names[show_source(record.key)],
                record.asset_id or UNKNOWN,
                record.playback_id or UNKNOWN,
                record.state,
                format_timestamp(record.requested_at),
                show_source(record.key),
            ]
            for record in records
        ]
        shown = print_table(headers, rows, order=["state", "key", "playback ID", "requested"])
        if "key" not in shown:
            print_note("the keys don't fit: use --json or a wider terminal to see them")
    return ExitStatus.OK


async def _list_orphans(path: str | None, *, delete: bool, json: bool) -> ExitStatus:
    async with _open_journal(path, check_connection=True) as (client, _):
        leftovers = await client.leftovers()
        owned = [leftover.asset.id for leftover in leftovers if leftover.is_ours]
        errors = await _delete_leftovers(client, owned) if delete else {}
    deleted = set(owned) - errors.keys() if delete else set[str]()
    if json:
        for leftover in leftovers:
            print_json(_leftover_document(leftover, deleted))
        return exit_status_for(errors.values())
    if leftovers:
        headers = ["name", "asset ID", "phase", "created", "certainly yours"]
        rows = [_leftover_row(leftover) for leftover in leftovers]
        print_table(headers, rows, order=["certainly yours", "phase", "created"])
    else:
        print_note("no assets are left over")
    if delete and owned:
        print_note(f"deleted {pluralize(len(deleted), 'asset')}")
    elif owned:
        print_note("use --delete to delete those that are certainly yours")
    if len(owned) < len(leftovers):
        print_note(
            "the others only match by name and time, and may belong to another user: check each, "
            "then use livepeer-async assets delete ID"
        )
    return exit_status_for(errors.values())


async def _forget_records(keys: Sequence[str], path: str | None) -> ExitStatus:
    status = ExitStatus.OK
    async with _open_journal(path) as (_, journal):
        for key in dict.fromkeys(keys):
            if journal is not None and await _forget_record(journal, key):
                output().print(f"forgot {key}")
            else:
                print_error(f"the journal has no {key!r}; see livepeer-async journal list")
                status = ExitStatus.FAILED
    return status


async def _forget_record(journal: Journal, key: str) -> bool:
    """Forget a record by its key, by the path of its file, or by its displayed key."""
    path = source_key(key) or key
    if await journal.forget(key) or await journal.forget(path):
        return True
    shown = [record.key for record in await journal.records() if show_source(record.key) == key]
    if len(shown) > 1:
        print_error(f"{len(shown)} records are shown as {key!r}: use the whole URL")
    return len(shown) == 1 and await journal.forget(shown[0])


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


def _leftover_row(leftover: Leftover) -> list[str]:
    asset = leftover.asset
    return [
        show_source(asset.name or leftover.key),
        asset.id,
        asset.phase or UNKNOWN,
        format_timestamp(asset.created_at / 1000 if asset.created_at else None),
        "yes" if leftover.is_ours else "perhaps",
    ]


def _leftover_document(leftover: Leftover, deleted: set[str]) -> dict[str, object]:
    asset = leftover.asset
    return {
        "asset_id": asset.id,
        "name": asset.name,
        "phase": asset.phase,
        "key": show_source(leftover.key),
        "is_ours": leftover.is_ours,
        "is_deleted": asset.id in deleted,
    }
