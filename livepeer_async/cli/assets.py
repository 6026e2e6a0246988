"""`livepeer-async assets ...`: look at assets, wait for one, delete some."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, cast

import msgspec

from livepeer_async.cli.output.console import (
    emit,
    messages,
    output,
    print_facts,
    print_rows,
    say,
    say_error,
)
from livepeer_async.cli.output.error_messages import Status, describe, status_of
from livepeer_async.cli.output.formatting import count, shorten, show_percent, show_size, show_time
from livepeer_async.cli.output.report import document_line
from livepeer_async.cli.session import open_client
from livepeer_async.errors import LivepeerError
from livepeer_async.models import Asset
from livepeer_async.redaction import redact

# Newest first: what somebody has just uploaded.
ORDER = "createdAt-true"
LARGEST_PAGE = 100
LONGEST_ID = 60
UNKNOWN = "-"


async def get_asset(asset_id: str, *, is_json: bool) -> Status:
    """Show one asset."""
    async with open_client() as livepeer:
        asset = await livepeer.assets.get(asset_id)
    _show(asset, is_json=is_json)
    return Status.OK


async def list_assets(*, phase: str | None, limit: int, is_json: bool) -> Status:
    """Show the newest assets."""
    async with open_client() as livepeer:
        # One more than is shown tells whether there are more.
        rows = livepeer.assets.list(
            phase=phase, order=ORDER, page_size=min(limit + 1, LARGEST_PAGE)
        )
        assets = await _take(rows, limit + 1)
    if is_json:
        for asset in assets[:limit]:
            emit(document_line(msgspec.to_builtins(asset)))
    elif assets:
        headers = ["name", "asset ID", "playback ID", "size", "phase", "created"]
        print_rows(output(), headers, [_row(asset) for asset in assets[:limit]])
    else:
        say("no assets" + (f" in the phase {phase}" if phase else ""))
    if len(assets) > limit:
        say(f"these are the newest {limit}; --limit shows more")
    return Status.OK


async def wait_for_asset(asset_id: str, *, timeout: float, is_json: bool) -> Status:
    """Wait until an asset is ready, and show it."""
    async with open_client() as livepeer:
        asset = await livepeer.assets.wait(asset_id, timeout=timeout)
    _show(asset, is_json=is_json)
    return Status.OK


async def delete_assets(asset_ids: Sequence[str]) -> Status:
    """Delete assets; one that can't be deleted doesn't stop the others."""
    errors: list[LivepeerError] = []
    async with open_client() as livepeer:
        for asset_id in dict.fromkeys(asset_ids):
            try:
                await livepeer.assets.delete(asset_id)
            except LivepeerError as error:
                errors.append(error)
                say_error(f"{shorten(asset_id, LONGEST_ID)}: {describe(error)}")
            else:
                output().print(f"deleted {shorten(asset_id, LONGEST_ID)}")
    return status_of(errors)


def is_confirmed(number: int) -> bool | None:
    """Ask on the terminal whether so many assets shall be deleted; `None` where there is none."""
    if not sys.stdin.isatty():
        return None
    messages().print(f"Delete {count(number, 'asset')} for good? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


async def _take(rows: AsyncIterator[Asset], most: int) -> list[Asset]:
    taken: list[Asset] = []
    # It is a generator, which has to be closed where it isn't gone through.
    async with aclosing(cast("Any", rows)):
        async for row in rows:
            taken.append(row)
            if len(taken) == most:
                break
    return taken


def _show(asset: Asset, *, is_json: bool) -> None:
    if is_json:
        emit(document_line(msgspec.to_builtins(asset)))
        return
    facts = [
        ("asset ID", asset.id),
        ("playback ID", asset.playback_id or UNKNOWN),
        ("phase", _tell_phase(asset)),
        ("size", f"{show_size(asset.size)} ({asset.size:,} bytes)" if asset.size else UNKNOWN),
        ("created", _tell_created(asset)),
    ]
    facts += [(entry.algorithm or "hash", entry.hash or UNKNOWN) for entry in asset.hash or ()]
    if asset.playback_url:
        facts.append(("playback URL", asset.playback_url))
    if asset.status and asset.status.error_message:
        facts.append(("error", redact(asset.status.error_message)))
    print_facts(output(), asset.name or "(no name)", facts)


def _row(asset: Asset) -> list[str]:
    return [
        asset.name or "(no name)",
        asset.id,
        asset.playback_id or UNKNOWN,
        show_size(asset.size) if asset.size else UNKNOWN,
        _tell_phase(asset),
        _tell_created(asset),
    ]


def _tell_phase(asset: Asset) -> str:
    progress = asset.status.progress if asset.status else None
    done = f" {show_percent(progress)}" if progress is not None else ""
    return f"{asset.phase or UNKNOWN}{done}"


def _tell_created(asset: Asset) -> str:
    return UNKNOWN if asset.created_at is None else show_time(asset.created_at / 1000)
