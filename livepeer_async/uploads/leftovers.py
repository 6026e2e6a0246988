"""What may be left on the server of uploads that came to nothing.

In come the journal's notes; out come assets: those that are certainly ours, because the journal has
their ID, and those of which only name and time of creation fit a request whose answer was lost.
Somebody else may have asked for the same name in the same second, so these are never deleted here.
"""

from __future__ import annotations

import time
from contextlib import suppress

from msgspec import Struct

from livepeer_async.api import requests
from livepeer_async.api.session import Session
from livepeer_async.errors import NotFound
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import Orphan, UnconfirmedRequest
from livepeer_async.models import Asset, AssetPhase
from livepeer_async.polling.phases import GONE, has_left_uploading
from livepeer_async.redaction import redacted, show_source

# Clocks are compared through a header that counts whole seconds.
CLOCK_DOUBT = 2.0


@redacted(key=show_source)
class Leftover(Struct, frozen=True, kw_only=True):
    """An asset that is left on the server.

    Attributes:
        asset: as the server describes it.
        is_ours: whether the journal has its ID; else only its name and its time fit.
        key: of the upload that it was made for; "" where it had none.
    """

    asset: Asset
    is_ours: bool
    key: str


async def find_created(
    session: Session, name: str, *, since: float, until: float, is_import: bool = False
) -> list[Asset]:
    """Find assets of a name that were made in a span of this machine's time.

    Args:
        session: asks.
        name: of the assets.
        since: seconds since 1970.
        until: seconds since 1970.
        is_import: whether the server was to fetch the bytes; else only what has none is looked for.
    """
    phase = None if is_import else AssetPhase.UPLOADING
    recent = await session.send(requests.find_newest(session.account, name, phase))
    # The server's clock runs ahead of this one by so much.
    ahead = 0.0 if recent.server_time is None else recent.server_time - time.time()
    earliest = (since + ahead - CLOCK_DOUBT) * 1000
    latest = (until + ahead + CLOCK_DOUBT) * 1000
    return [
        asset
        for asset in recent.assets
        if asset.name == name and earliest <= (asset.created_at or 0) <= latest
    ]


async def find_leftovers(session: Session, journal: Journal) -> list[Leftover]:
    """Look on the server for what the journal's notes name; notes of what isn't there are dropped.

    Raises:
        LivepeerError: the server can't be asked, or the journal not be read.
    """
    found = [
        it for orphan in await journal.orphans() for it in await _look(session, journal, orphan)
    ]
    records = [*await journal.records(), *await journal.keyless_records()]
    known = {record.asset_id for record in records}
    known |= {leftover.asset.id for leftover in found}
    for unconfirmed in await journal.unconfirmed_requests():
        for leftover in await _resolve(session, journal, unconfirmed):
            if leftover.asset.id not in known:
                known.add(leftover.asset.id)
                found.append(leftover)
    return found


async def _look(session: Session, journal: Journal, orphan: Orphan) -> list[Leftover]:
    with suppress(NotFound):
        asset = await session.send(requests.get_asset(session.account, orphan.asset_id))
        if asset.phase not in GONE and (orphan.is_useless or not has_left_uploading(asset)):
            return [Leftover(asset=asset, is_ours=True, key=orphan.key)]
    await journal.drop_orphan(orphan.asset_id)
    return []


async def _resolve(
    session: Session, journal: Journal, unconfirmed: UnconfirmedRequest
) -> list[Leftover]:
    span = {"since": unconfirmed.since, "until": unconfirmed.until}
    made = await find_created(session, unconfirmed.name, **span, is_import=unconfirmed.is_import)
    if not made and time.time() > unconfirmed.until:
        await journal.drop_unconfirmed(unconfirmed)
    return [Leftover(asset=asset, is_ours=False, key=unconfirmed.key) for asset in made]
