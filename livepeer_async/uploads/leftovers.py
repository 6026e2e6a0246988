"""Leftovers: assets that failed uploads have left on the server, found by the journal.

An asset whose ID is in the journal is certainly ours. One that only matches a request with a lost
response by name and time may belong to another process. It is never deleted automatically, and
reported once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from livepeer_async.api import requests
from livepeer_async.api.calls import REFUSALS
from livepeer_async.api.session import Session
from livepeer_async.errors import BadRequest, InvalidRequest, NotFound
from livepeer_async.journal.records import Orphan, UnconfirmedRequest, leftover_from
from livepeer_async.models import Asset, AssetPhase
from livepeer_async.models.model import Model
from livepeer_async.polling.phases import GONE, has_left_uploading
from livepeer_async.redaction import redacted, show_source

if TYPE_CHECKING:
    # Imports SQLite, which only a client with a journal needs.
    from livepeer_async.journal.journal import Journal

# Clocks are compared by the Date header, which has whole seconds.
CLOCK_TOLERANCE = 2.0


@redacted(key=show_source)
class Leftover(Model, frozen=True, kw_only=True):
    """An asset that an upload has left on the server.

    Attributes:
        asset: the asset.
        is_ours: whether the journal has its ID; otherwise only its name and time match.
        key: the key of the upload; "" without one.
    """

    asset: Asset
    is_ours: bool
    key: str


class LeftoverReport(Model, frozen=True, kw_only=True):
    """Possible leftovers that were not reported before.

    Attributes:
        found: the assets.
        unsearchable: lost responses whose assets a restricted key can't look for.
    """

    found: tuple[Leftover, ...] = ()
    unsearchable: int = 0


async def find_created(
    session: Session, name: str, *, since: float, until: float, is_import: bool = False
) -> list[Asset]:
    """Find assets by name and time of creation.

    Args:
        session: sends the call.
        name: name of the assets.
        since: start of the time span, in seconds since 1970 by this machine's clock.
        until: end of the time span.
        is_import: whether the server fetches the bytes; otherwise only assets without bytes count.
    """
    phase = None if is_import else AssetPhase.UPLOADING
    recent = await session.send(requests.find_newest(session.account, name, phase))
    # How far the server's clock is ahead of this one.
    ahead = 0.0 if recent.server_time is None else recent.server_time - time.time()
    earliest = (since + ahead - CLOCK_TOLERANCE) * 1000
    latest = (until + ahead + CLOCK_TOLERANCE) * 1000
    return [
        asset
        for asset in recent.assets
        if asset.name == name and earliest <= (asset.created_at or 0) <= latest
    ]


async def find_leftovers(session: Session, journal: Journal) -> list[Leftover]:
    """Find the leftovers in the journal, and drop its entries for assets that are gone.

    A restricted key that may not list assets finds those that the journal has the IDs of.

    Raises:
        LivepeerError: the server or the journal can't be read.
    """
    found: list[Leftover] = []
    interrupted = [
        leftover_from(record, time.time(), is_useless=False)
        for record in await journal.interrupted()
    ]
    for orphan in [*await journal.orphans(), *interrupted]:
        if isinstance(orphan, Orphan):
            with suppress(*REFUSALS):
                found += await _check_orphan(session, journal, orphan)
    records = [*await journal.records(), *await journal.keyless_records()]
    known = {record.asset_id for record in records}
    known |= {leftover.asset.id for leftover in found}
    for unconfirmed in [*await journal.unconfirmed_requests(), *interrupted]:
        if isinstance(unconfirmed, Orphan):
            continue
        with suppress(*REFUSALS):
            for leftover in await _check_unconfirmed(session, journal, unconfirmed):
                if leftover.asset.id not in known:
                    known.add(leftover.asset.id)
                    found.append(leftover)
    return found


async def delete_certain(session: Session, deleter: Session, journal: Journal) -> int:
    """Delete the leftovers that certainly are ours and were never used; return their number.

    An upload whose URL the caller may have kept is left alone.

    Args:
        session: sends API calls.
        deleter: sends deletions, even while other calls are paused.
        journal: has the leftovers.
    """
    deleted = 0
    for orphan in await journal.orphans():
        # An asset that can't be deleted must not keep the others.
        with suppress(BadRequest, InvalidRequest, *REFUSALS):
            if not orphan.is_deletable:
                continue
            if not orphan.is_useless and not await _check_orphan(session, journal, orphan):
                continue
            try:
                await deleter.send(requests.delete_asset(session.account, orphan.asset_id))
            except NotFound:
                # Gone, unless a restricted key is refused in this way.
                await _check_orphan(session, journal, orphan)
                continue
            deleted += 1
            await journal.drop_orphan(orphan.asset_id)
    journal.has_new_orphans = False
    return deleted


async def clean_up(session: Session, deleter: Session, journal: Journal | None) -> LeftoverReport:
    """Delete the leftovers that are certain; return those that no earlier call has returned.

    Arguments as for `delete_certain`; without a journal there are none.
    """
    if journal is None:
        return LeftoverReport()
    await delete_certain(session, deleter, journal)
    found: list[Leftover] = []
    unsearchable = 0
    for orphan in await journal.orphans():
        with suppress(*REFUSALS):
            leftovers = await _check_orphan(session, journal, orphan)
            if leftovers and not orphan.is_reported:
                found += leftovers
                await journal.mark_reported(orphan)
    for unconfirmed in await journal.unconfirmed_requests():
        try:
            leftovers = await _check_unconfirmed(session, journal, unconfirmed)
        except REFUSALS:
            leftovers = []
            unsearchable += not unconfirmed.is_reported
            await journal.mark_reported(unconfirmed)
        if leftovers and not unconfirmed.is_reported:
            found += leftovers
            await journal.mark_reported(unconfirmed)
    return LeftoverReport(found=tuple(found), unsearchable=unsearchable)


async def dismiss(journal: Journal | None, leftovers: Iterable[Leftover] | None) -> int:
    """Forget leftovers, whose assets stay on the server; return how many entries that were.

    Args:
        journal: has the leftovers; without one there are none.
        leftovers: what to forget; `None` for all requests whose responses were lost.
    """
    if journal is None:
        return 0
    ids = {it.asset.id for it in leftovers or () if it.is_ours}
    names = {it.asset.name for it in leftovers or () if not it.is_ours}
    for asset_id in ids:
        await journal.drop_orphan(asset_id)
    unconfirmed_requests = await journal.unconfirmed_requests()
    lost = [it for it in unconfirmed_requests if leftovers is None or it.name in names]
    for unconfirmed in lost:
        await journal.drop_unconfirmed(unconfirmed)
    return len(ids) + len(lost)


async def _check_orphan(session: Session, journal: Journal, orphan: Orphan) -> list[Leftover]:
    with suppress(NotFound):
        asset = await session.send(requests.get_asset(session.account, orphan.asset_id))
        if asset.phase not in GONE and (orphan.is_useless or not has_left_uploading(asset)):
            return [Leftover(asset=asset, is_ours=True, key=orphan.key)]
    await journal.drop_orphan(orphan.asset_id)
    return []


async def _check_unconfirmed(
    session: Session, journal: Journal, unconfirmed: UnconfirmedRequest
) -> list[Leftover]:
    span = {"since": unconfirmed.since, "until": unconfirmed.until}
    created = await find_created(session, unconfirmed.name, **span, is_import=unconfirmed.is_import)
    if not created and time.time() > unconfirmed.until:
        await journal.drop_unconfirmed(unconfirmed)
    return [Leftover(asset=asset, is_ours=False, key=unconfirmed.key) for asset in created]
