"""`livepeer-async assets`: the commands that show, change, download and delete assets."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livepeer_async.cli import options
from livepeer_async.cli.command import Command, Group
from livepeer_async.defaults import READY_TIMEOUT
from livepeer_async.deferred import deferred_module
from livepeer_async.models.enums import AssetPhase

if TYPE_CHECKING:
    from livepeer_async.cli import (
        asset_changes,
        asset_download,
        asset_import,
        asset_list,
        client_options,
        runner,
    )
else:
    # Imported by the command that runs; its help needs none of them.
    asset_changes = deferred_module("livepeer_async.cli.asset_changes")
    asset_download = deferred_module("livepeer_async.cli.asset_download")
    asset_import = deferred_module("livepeer_async.cli.asset_import")
    asset_list = deferred_module("livepeer_async.cli.asset_list")
    client_options = deferred_module("livepeer_async.cli.client_options")
    runner = deferred_module("livepeer_async.cli.runner")

AssetId = Annotated[str, typer.Argument(metavar="ID", help="ID of the asset.")]
AssetIds = Annotated[list[str], typer.Argument(metavar="ID", help="IDs of the assets.")]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="The file, or a folder; - is standard output. By default a file in the working "
        "directory with the asset's name. With several IDs a folder.",
    ),
]
Mp4Option = Annotated[
    bool,
    typer.Option("--mp4", help="The largest MP4 rendition, instead of the video as uploaded."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
RetriesOption = Annotated[
    int,
    typer.Option(
        metavar="NUMBER", min=0, help="Retries of a broken connection since the last byte."
    ),
]

app = typer.Typer(
    cls=Group,
    help="Show, change, download and delete assets.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command("get", cls=Command)
def get_asset(asset_id: AssetId, *, json: options.Json = False) -> None:
    """Show an asset."""
    runner.run_command(partial(asset_list.show_asset, asset_id, json=json))


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
    runner.run_command(partial(asset_list.list_assets, phase=phase, limit=limit, json=json))


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
    runner.run_command(partial(asset_list.wait_for_assets, asset_ids, timeout=timeout, json=json))


@app.command("delete", cls=Command)
def delete_assets(
    asset_ids: AssetIds,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Delete assets permanently, after confirmation on a terminal."""
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("without a terminal, --yes is needed to delete assets")
    asset_ids = list(dict.fromkeys(asset_ids))
    runner.run_command(partial(asset_list.delete_assets, asset_ids, ask=not yes))


@app.command("import", cls=Command)
def import_assets(
    urls: Annotated[list[str], typer.Argument(metavar="URL", help="http, https, ipfs or ar.")],
    *,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Name of the asset, with one URL; by default its last part."
        ),
    ] = None,
    playback_policy: options.PlaybackPolicy = None,
    creator_id: options.CreatorId = None,
    no_wait: options.NoWait = False,
    ready_timeout: options.ReadyTimeout = READY_TIMEOUT,
    json: options.Json = False,
) -> None:
    """Have Livepeer fetch videos from URLs, and wait until they are ready.

    Each call makes new assets. `livepeer-async ingest` takes lists of URLs, skips those that an
    earlier run has imported, and with --relay fetches them itself.
    """
    fields = client_options.read_asset_fields(playback_policy, creator_id)
    if name is not None and len(urls) > 1:
        raise typer.BadParameter("--name needs a single URL")
    asset_import.check_urls(urls)
    if name is not None:
        fields["name"] = name
    timeout = None if no_wait else ready_timeout
    runner.run_command(
        partial(asset_import.import_assets, urls, fields, timeout=timeout, json=json),
        on_interrupt=_describe_begun,
    )


@app.command("update", cls=Command)
def update_asset(
    asset_id: AssetId,
    *,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="New name.")] = None,
    playback_policy: options.PlaybackPolicy = None,
    creator_id: options.CreatorId = None,
    ipfs: Annotated[bool, typer.Option("--ipfs", help="Start an export to IPFS.")] = False,
    json: options.Json = False,
) -> None:
    """Change a ready asset, and show it.

    What isn't named stays as it is. A public asset can't become private, nor a private one public.
    """
    patch = client_options.read_asset_fields(playback_policy, creator_id)
    if name is not None:
        patch["name"] = name
    if ipfs:
        patch["storage"] = {"ipfs": True}
    if not patch:
        raise typer.BadParameter(
            "nothing to change; wanted --name, --playback-policy, --creator-id or --ipfs"
        )
    runner.run_command(partial(asset_changes.update_asset, asset_id, patch, name=name, json=json))


@app.command("retry", cls=Command)
def retry_assets(
    asset_ids: AssetIds,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until they are ready.")] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Seconds to wait, with --wait.")
    ] = READY_TIMEOUT,
    json: options.Json = False,
) -> None:
    """Process failed assets again, without a second upload.

    The server calls them failed until the new run has ended. `livepeer-async assets wait ID` waits
    for that, as --wait does.

    With --json, each asset gets a line: the API's document once it is ready, with --wait; otherwise
    its asset_id and whether it is_retried.
    """
    runner.run_command(
        partial(asset_changes.retry_assets, asset_ids, wait=wait, timeout=timeout, json=json),
        on_interrupt=_describe_begun,
    )


@app.command("download", cls=Command)
def download_assets(
    asset_ids: AssetIds,
    *,
    output_file: OutputOption = None,
    mp4: Mp4Option = False,
    force: ForceOption = False,
    retries: RetriesOption = options.RETRIES,
    json: options.Json = False,
) -> None:
    """Download the videos of ready assets to files, one after the other.

    A file appears once it is complete. After a broken connection the download continues, if the
    server can continue it; otherwise it starts again.

    With --json, each file gets a line with asset_id, file, bytes and seconds.
    """
    asset_ids = list(dict.fromkeys(asset_ids))
    _check_output(output_file, len(asset_ids))
    is_stdout = output_file == options.STANDARD_OUTPUT
    if is_stdout and json:
        raise typer.BadParameter("--json can't be combined with -o -")
    if is_stdout and force:
        raise typer.BadParameter("--force can't be combined with -o -")
    if is_stdout and sys.stdout.isatty():
        raise typer.BadParameter("standard output is a terminal: pipe it, or name a file with -o")
    command = asset_download.Downloads(output_file, use_mp4=mp4, force=force, json=json)
    retry = client_options.RetryPolicy(attempts=retries)
    runner.run_command(
        partial(command.run, asset_ids, client_options.ClientOptions(retry=retry)),
        on_interrupt=command.describe_interruption,
    )


@app.command("open", cls=Command)
def open_asset(asset_id: AssetId) -> None:
    """Open the page that plays an asset, and print its link."""
    runner.run_command(partial(asset_changes.open_asset, asset_id))


def _check_output(output_file: str | None, number: int) -> None:
    """Check that there is a place for several files."""
    if number == 1 or output_file is None:
        return
    if output_file == options.STANDARD_OUTPUT or not Path(output_file).is_dir():
        raise typer.BadParameter("several IDs need an existing folder for -o")


def _describe_begun() -> str:
    return "interrupted; what was begun goes on: livepeer-async assets list"
