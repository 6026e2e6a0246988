"""`livepeer-async assets`: shows, changes, downloads and deletes assets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Any, cast

import anyio.to_thread
import typer

from livepeer_async.cli import options
from livepeer_async.cli.asset_changes import (
    open_asset,
    print_failure,
    print_ready_assets,
    retry_assets,
    update_asset,
)
from livepeer_async.cli.asset_download import download_assets
from livepeer_async.cli.asset_ids import NEWEST_FIRST, AssetId, AssetIds, explain_id
from livepeer_async.cli.asset_import import import_assets
from livepeer_async.cli.command import Command, Group
from livepeer_async.cli.journal_records import note_change
from livepeer_async.cli.output.asset_details import (
    UNKNOWN,
    format_created,
    format_phase,
    print_asset,
)
from livepeer_async.cli.output.console import (
    messages,
    output,
    print_json,
    print_note,
    print_problem,
    print_table,
)
from livepeer_async.cli.output.error_messages import ExitStatus, exit_status_for
from livepeer_async.cli.output.formatting import (
    MAX_NAME_WIDTH,
    format_size,
    pluralize,
    shorten,
)
from livepeer_async.cli.output.report import asset_document
from livepeer_async.cli.runner import run_command
from livepeer_async.cli.session import open_client
from livepeer_async.client import AsyncLivepeer
from livepeer_async.defaults import READY_TIMEOUT
from livepeer_async.errors import LivepeerError
from livepeer_async.models import Asset, AssetPhase

MAX_PAGE_SIZE = 100
# Assets whose names are shown before they are deleted.
MAX_ASKED = 10

app = typer.Typer(
    cls=Group,
    help="Show, change, download and delete assets.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("get", cls=Command)
def get_asset(asset_id: AssetId, *, json: options.Json = False) -> None:
    """Show an asset."""

    async def command() -> ExitStatus:
        async with open_client() as livepeer, explain_id(livepeer, asset_id):
            print_asset(await livepeer.assets.get(asset_id), json=json)
        return ExitStatus.OK

    run_command(command)


@app.command("list", cls=Command)
def list_assets(
    *,
    phase: Annotated[
        AssetPhase | None, typer.Option(case_sensitive=False, help="Only assets in this phase.")
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Number of assets, newest first.")
    ] = 50,
    json: options.Json = False,
) -> None:
    """List assets, newest first."""
    run_command(partial(_list_assets, phase=phase, limit=limit, json=json))


@app.command("wait", cls=Command)
def wait_for_assets(
    asset_ids: AssetIds,
    *,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Seconds to wait for each.")
    ] = READY_TIMEOUT,
    json: options.Json = False,
) -> None:
    """Wait until assets are ready, and show each once it is."""

    async def command() -> ExitStatus:
        async with open_client() as livepeer:
            errors = await print_ready_assets(livepeer, asset_ids, timeout=timeout, json=json)
        return exit_status_for(errors)

    run_command(command)


@app.command("delete", cls=Command)
def delete_assets(
    asset_ids: AssetIds,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Delete assets permanently, after confirmation on a terminal."""
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("without a terminal, --yes is needed to delete assets")
    run_command(partial(_delete_assets, list(dict.fromkeys(asset_ids)), ask=not yes))


app.command("import", cls=Command)(import_assets)
app.command("update", cls=Command)(update_asset)
app.command("retry", cls=Command)(retry_assets)
app.command("download", cls=Command)(download_assets)
app.command("open", cls=Command)(open_asset)


async def _list_assets(*, phase: str | None, limit: int, json: bool) -> ExitStatus:
    # One more than the limit shows whether there are more.
    assets: list[Asset] = []
    async with open_client() as livepeer:
        page_size = min(limit + 1, MAX_PAGE_SIZE)
        found = livepeer.assets.list(phase=phase, order=NEWEST_FIRST, page_size=page_size)
        # The generator may not be exhausted, so it must be closed.
        async with aclosing(cast("Any", found)):
            while len(assets) <= limit and (asset := await anext(found, None)):
                assets.append(asset)
    shown = assets[:limit]
    if json:
        for asset in shown:
            print_json(asset_document(asset))
    elif shown:
        headers = ["name", "asset ID", "playback ID", "size", "phase", "created"]
        order = ["playback ID", "size", "created"]
        print_table(headers, [_table_row(asset) for asset in shown], order=order, state="phase")
    else:
        print_note(f"no assets in phase {phase}" if phase else "no assets")
    if len(assets) > limit:
        print_note(f"only the newest {limit} are shown; use --limit for more")
    return ExitStatus.OK


async def _confirm(livepeer: AsyncLivepeer, asset_ids: Sequence[str]) -> bool:
    """Ask on the terminal whether to delete assets, with the names of the first ones."""
    shown: list[str] = []
    for asset_id in asset_ids[:MAX_ASKED]:
        name = UNKNOWN
        # An ID that isn't an asset's is reported when it is to be deleted.
        with suppress(LivepeerError):
            name = (await livepeer.assets.get(asset_id)).name or UNKNOWN
        shown.append(f"{shorten(name, MAX_NAME_WIDTH)} ({shorten(asset_id, MAX_NAME_WIDTH)})")
    what = shown[0]
    if len(asset_ids) > 1:
        more = len(asset_ids) - len(shown)
        for line in [*shown, *([f"and {more:,} more"] if more else [])]:
            print_problem(f"  {line}")
        what = pluralize(len(asset_ids), "asset")
    messages().print(f"Delete {what} permanently? [y/N] ", end="", soft_wrap=True)
    answer = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    return answer.strip().lower() in {"y", "yes"}


async def _delete_assets(asset_ids: Sequence[str], *, ask: bool) -> ExitStatus:
    """Delete assets; a failure doesn't stop the others."""
    errors: list[LivepeerError] = []
    async with open_client() as livepeer:
        if ask and not await _confirm(livepeer, asset_ids):
            print_problem("nothing was deleted")
            return ExitStatus.FAILED
        for asset_id in asset_ids:
            name = shorten(asset_id, MAX_NAME_WIDTH)
            try:
                async with explain_id(livepeer, asset_id):
                    await livepeer.assets.delete(asset_id)
            except LivepeerError as error:
                errors.append(error)
                print_failure(asset_id, error)
            else:
                output().print(f"deleted {name}")
                await note_change(livepeer, asset_id, name=None)
    return exit_status_for(errors)


def _table_row(asset: Asset) -> list[str]:
    return [
        asset.name or "(no name)",
        asset.id,
        asset.playback_id or UNKNOWN,
        format_size(asset.size) if asset.size else UNKNOWN,
        format_phase(asset),
        format_created(asset),
    ]
