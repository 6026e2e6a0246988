"""What may be left on the server of uploads that came to nothing.

In come the journal's notes; out come assets: those that are certainly ours, because the journal has
their ID, and those of which only name and time of creation fit a request whose answer was lost.
Somebody else may have asked for the same name in the same second, so these are never deleted here.
"""

from __future__ import annotations

import time

from msgspec import Struct

from livepeer_async.api import calls
from livepeer_async.api.caller import Caller
from livepeer_async.errors import NotFound
from livepeer_async.models import Asset
from livepeer_async.polling import GONE, has_left_uploading
from livepeer_async.uploads.journal import Journal
from livepeer_async.uploads.records import Doubt, Orphan

# Clocks are compared through a header that counts whole seconds.
CLOCK_DOUBT = 2.0


class Leftover(Struct, frozen=True, kw_only=True):
    """An asset that is left on the server.

    Attributes:
        asset: as the server describes it.
        is_ours: whether the journal has its ID; else only its name and its time fit.
        key: of the upload that it was made for.
    """

    asset: Asset
    is_ours: bool
    key: str


async def find_made(caller: Caller, name: str, *, since: float, until: float) -> list[Asset]:
    """Find unfinished assets of a name that were made in a span of this machine's time."""
    recent = await caller.perform(calls.find_unfinished(caller.account, name))
    # The server's clock runs ahead of this one by so much.
    ahead = 0.0 if recent.server_time is None else recent.server_time - time.time()
    earliest = (since + ahead - CLOCK_DOUBT) * 1000
    latest = (until + ahead + CLOCK_DOUBT) * 1000
    return [
        asset
        for asset in recent.assets
        if asset.name == name and earliest <= (asset.created_at or 0) <= latest
    ]


async def find_leftovers(caller: Caller, journal: Journal) -> list[Leftover]:
    """Look on the server for what the journal's notes name; notes of what isn't there are dropped.

    Raises:
        LivepeerError: the server can't be asked, or the journal not be read.
    """
    found = [
        it for orphan in await journal.orphans() for it in await _look(caller, journal, orphan)
    ]
    known = {record.asset_id for record in await journal.records()}
    known |= {leftover.asset.id for leftover in found}
    for doubt in await journal.doubts():
        for leftover in await _resolve(caller, journal, doubt):
            if leftover.asset.id not in known:
                known.add(leftover.asset.id)
                found.append(leftover)
    return found


async def _look(caller: Caller, journal: Journal, orphan: Orphan) -> list[Leftover]:
    try:
        asset = await caller.perform(calls.get_asset(caller.account, orphan.asset_id))
    except NotFound:
        asset = None
    is_gone = asset is None or asset.phase in GONE
    has_become_something = asset is not None and has_left_uploading(asset)
    if asset is None or is_gone or (has_become_something and not orphan.is_useless):
        await journal.drop_orphan(orphan.asset_id)
        return []
    return [Leftover(asset=asset, is_ours=True, key=orphan.key)]


async def _resolve(caller: Caller, journal: Journal, doubt: Doubt) -> list[Leftover]:
    made = await find_made(caller, doubt.name, since=doubt.since, until=doubt.until)
    if not made and time.time() > doubt.until:
        await journal.drop_doubt(doubt)
    return [Leftover(asset=asset, is_ours=False, key=doubt.key) for asset in made]
