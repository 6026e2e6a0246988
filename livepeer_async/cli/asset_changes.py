"""`livepeer-async assets update`, `retry` and `open`."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping, Sequence

from livepeer_async.cli.asset_ids import explain_error, explain_id
from livepeer_async.cli.journal_records import note_change
from livepeer_async.cli.output.asset_details import print_asset
from livepeer_async.cli.output.console import output, print_error, print_json, print_note
from livepeer_async.cli.output.error_messages import ExitStatus, exit_status_for, format_error
from livepeer_async.cli.output.formatting import MAX_NAME_WIDTH, shorten
from livepeer_async.cli.output.links import is_server_local
from livepeer_async.cli.session import open_client
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import LivepeerError
from livepeer_async.models import AssetPhase


async def update_asset(
    asset_id: str, patch: Mapping[str, object], *, name: str | None, json: bool
) -> ExitStatus:
    """Change an asset, and show it; the journal gets its new name, if it has one."""
    async with open_client() as livepeer, explain_id(livepeer, asset_id):
        asset = await livepeer.assets.update(asset_id, patch)
        if name is not None:
            await note_change(livepeer, asset_id, name=name)
        print_asset(asset, json=json)
    return ExitStatus.OK


async def retry_assets(
    asset_ids: Sequence[str], *, wait: bool, timeout: float, json: bool
) -> ExitStatus:
    """Retry assets; a failure doesn't stop the others."""
    errors: list[LivepeerError] = []
    retried: list[str] = []
    async with open_client() as livepeer:
        for asset_id in dict.fromkeys(asset_ids):
            try:
                async with explain_id(livepeer, asset_id):
                    await livepeer.assets.retry(asset_id)
            except LivepeerError as error:
                errors.append(error)
                print_failure(asset_id, error)
            else:
                retried.append(asset_id)
                _print_retried(asset_id, json=json and not wait)
        if wait:
            errors += await print_ready_assets(livepeer, retried, timeout=timeout, json=json)
        elif retried and not json:
            it_is = "it is" if len(retried) == 1 else "they are"
            ids = " ".join(retried)
            print_note(f"to wait until {it_is} ready: livepeer-async assets wait {ids}")
    return exit_status_for(errors)


async def print_ready_assets(
    livepeer: AsyncLivepeer, asset_ids: Sequence[str], *, timeout: float, json: bool
) -> list[LivepeerError]:
    """Wait for assets, and print each once it is ready or has failed; return the errors."""
    errors: list[LivepeerError] = []
    async for result in livepeer.assets.wait_many(asset_ids, timeout=timeout):
        if result.error is None:
            print_asset(result.asset, json=json)
        else:
            errors.append(await explain_error(livepeer, result.asset_id, result.error))
            print_failure(result.asset_id, errors[-1])
    return errors


def _print_retried(asset_id: str, *, json: bool) -> None:
    if json:
        print_json({"asset_id": asset_id, "is_retried": True})
    else:
        print_note(f"{shorten(asset_id, MAX_NAME_WIDTH)}: the server processes it again")


def print_failure(asset_id: str, error: LivepeerError) -> None:
    """Print an error, after the ID unless the message names it."""
    message = format_error(error)
    name = "" if asset_id in message else f"{shorten(asset_id, MAX_NAME_WIDTH)}: "
    print_error(f"{name}{message}")


async def open_asset(asset_id: str) -> ExitStatus:
    """Open the page that plays an asset, and print its link."""
    async with open_client() as livepeer, explain_id(livepeer, asset_id):
        asset = await livepeer.assets.get(asset_id)
    link = asset.player_url
    if link is None:
        why = "has no playback ID" if not asset.playback_id else "isn't public"
        print_error(f"asset {asset.id} {why}; the page plays public assets only")
        return ExitStatus.FAILED
    output().print(link, soft_wrap=True)
    if is_server_local():
        print_note("the page can't play it: it plays assets of Livepeer, not of this machine")
    elif asset.phase != AssetPhase.READY:
        print_note(
            f"it is {asset.phase or 'in an unknown phase'} and may not play yet: "
            f"livepeer-async assets wait {asset.id}"
        )
    # In this thread: a text browser takes over the terminal until it ends.
    if not webbrowser.open(link):
        print_error("no web browser could be opened; open the link yourself")
        return ExitStatus.FAILED
    return ExitStatus.OK
