"""`livepeer-async assets get`, `list`, `wait` and `delete`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Any, cast

import anyio.to_thread

from livepeer_async.cli.asset_changes import print_failure, print_ready_assets
from livepeer_async.cli.asset_ids import NEWEST_FIRST, explain_id
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
from livepeer_async.cli.session import open_client
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import LivepeerError
from livepeer_async.models import Asset

MAX_PAGE_SIZE = 100
# Assets whose names are shown before they are deleted.
MAX_ASKED = 10


async def show_asset(asset_id: str, *, json: bool) -> ExitStatus:
    """Show an asset."""
    async with open_client() as livepeer, explain_id(livepeer, asset_id):
        print_asset(await livepeer.assets.get(asset_id), json=json)
    return ExitStatus.OK


async def wait_for_assets(asset_ids: Sequence[str], *, timeout: float, json: bool) -> ExitStatus:
    """Show assets once they are ready."""
    async with open_client() as livepeer:
        errors = await print_ready_assets(livepeer, asset_ids, timeout=timeout, json=json)
    return exit_status_for(errors)


async def list_assets(*, phase: str | None, limit: int, json: bool) -> ExitStatus:
    """List assets, newest first."""
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


async def delete_assets(asset_ids: Sequence[str], *, ask: bool) -> ExitStatus:
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
