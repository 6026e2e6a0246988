"""The commands below `livepeer-async assets`, as typer reads them; `assets` does the work."""

# ruff: noqa: PLC0415 - a command imports what it needs: `--help` shouldn't wait for all of it

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from livepeer_async.cli.options import AsJson
from livepeer_async.waiting import READY_TIMEOUT

assets = typer.Typer(
    help="Look at assets, wait for one, delete some.", no_args_is_help=True, rich_markup_mode=None
)
AssetId = Annotated[str, typer.Argument(metavar="ID", help="ID of the asset.")]


@assets.command("get")
def get_asset(asset_id: AssetId, *, json: AsJson = False) -> None:
    """Show an asset."""
    from livepeer_async.cli.assets import get_asset
    from livepeer_async.cli.running import run

    run(partial(get_asset, asset_id, is_json=json))


@assets.command("list")
def list_assets(
    *,
    phase: Annotated[
        str | None, typer.Option(help="Only those in this phase: uploading, ready, failed...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most assets to show, newest first.")] = 50,
    json: AsJson = False,
) -> None:
    """List assets, the newest first."""
    from livepeer_async.cli.assets import list_assets
    from livepeer_async.cli.running import run

    run(partial(list_assets, phase=phase, limit=limit, is_json=json))


@assets.command("wait")
def wait_for_asset(
    asset_id: AssetId,
    *,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds to wait at the most.")
    ] = READY_TIMEOUT,
    json: AsJson = False,
) -> None:
    """Wait until an asset is ready."""
    from livepeer_async.cli.assets import wait_for_asset
    from livepeer_async.cli.running import run

    run(partial(wait_for_asset, asset_id, timeout=timeout, is_json=json))


@assets.command("delete")
def delete_assets(
    asset_ids: Annotated[list[str], typer.Argument(metavar="ID", help="IDs of the assets.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete assets for good; asks before, on a terminal."""
    from livepeer_async.cli.assets import delete_assets, is_confirmed
    from livepeer_async.cli.running import run

    answer = True if yes else is_confirmed(len(asset_ids))
    if answer is None:
        raise typer.BadParameter("there is no terminal to ask on: say --yes to delete them")
    if not answer:
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit(1)
    run(partial(delete_assets, asset_ids))
