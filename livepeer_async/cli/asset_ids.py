"""Explains the IDs of commands that aren't asset IDs: playback IDs, names and beginnings of IDs."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

from livepeer_async.cli.output.formatting import MAX_NAME_WIDTH, shorten
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import LivepeerError, NotFound
from livepeer_async.models import Asset

NEWEST_FIRST = "createdAt-true"
# Assets that are searched for the beginning of an ID, which the server can't filter by.
_MAX_SEARCHED = 100
_ASSET_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# It begins with four digits of the asset's ID.
_PLAYBACK_ID = re.compile(r"[0-9a-f]{4}[0-9a-z]{12}")
_BEGINNING = re.compile(r"[0-9a-f][0-9a-f-]{3,34}", re.IGNORECASE)
_LIST = "livepeer-async assets list shows the asset IDs"


@asynccontextmanager
async def explain_id(livepeer: AsyncLivepeer, asset_id: str) -> AsyncGenerator[None, None]:
    """Explain in a `NotFound` of the block what the ID is, if it isn't that of an asset."""
    try:
        yield
    except NotFound as error:
        explained = await explain_error(livepeer, asset_id, error)
        if explained is error:
            raise
        raise explained from error


async def explain_error(
    livepeer: AsyncLivepeer, asset_id: str, error: LivepeerError
) -> LivepeerError:
    """Return an error that says what an ID is; the same error if it may be an asset's.

    Sends one request.
    """
    if not isinstance(error, NotFound) or _ASSET_ID.fullmatch(asset_id):
        return error
    shown = repr(shorten(asset_id, MAX_NAME_WIDTH))
    try:
        kind, asset = await _find(livepeer, asset_id)
    except LivepeerError:
        # The key may be allowed to look at assets, and not to list them.
        kind, asset = "", None
    if asset is None:
        return LivepeerError(f"{shown} isn't an asset ID", advice=_LIST)
    name = shorten(asset.name or "without a name", MAX_NAME_WIDTH)
    known = "" if kind == "the name" else f" ({name})"
    return LivepeerError(
        f"{shown} is {kind} of asset {asset.id}{known}", advice=f"use the asset ID {asset.id}"
    )


async def _find(livepeer: AsyncLivepeer, text: str) -> tuple[str, Asset | None]:
    """Return what a text is, and the newest asset that has it; `None` if no asset is found."""
    if _PLAYBACK_ID.fullmatch(text):
        kind, filters = "the playback ID", {"playbackId": text}
    elif _BEGINNING.fullmatch(text):
        kind, filters = "the beginning of the ID", None
    else:
        kind, filters = "the name", {"name": text}
    found = livepeer.assets.list(order=NEWEST_FIRST, filters=filters, page_size=_MAX_SEARCHED)
    count = 0
    # The generator may not be exhausted, so it must be closed.
    async with aclosing(cast("Any", found)):
        while count < _MAX_SEARCHED and (asset := await anext(found, None)):
            count += 1
            if text in (asset.playback_id, asset.name):
                return ("the name" if text == asset.name else kind), asset
            if filters is None and asset.id.startswith(text.lower()):
                return kind, asset
    return "", None
