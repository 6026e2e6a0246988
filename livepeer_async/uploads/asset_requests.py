"""Requests assets and uploads, and deletes those that are no longer needed.

Two equal requests make two assets. After a lost response the client therefore looks for what the
first request made, and reports it, before it sends another.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio
from msgspec import UNSET

from livepeer_async.api import requests
from livepeer_async.api.requests import Call
from livepeer_async.api.session import Session
from livepeer_async.concurrency import plain_task_group, run_shielded
from livepeer_async.errors import (
    AmbiguousRequest,
    ApiError,
    DecodeError,
    JournalError,
    LivepeerError,
    NetworkError,
    NotFound,
    TooManyRequests,
    is_transient,
)
from livepeer_async.journal.lease import Lease
from livepeer_async.journal.records import MAX_CREATION_DELAY
from livepeer_async.models import Asset, ImportTicket, NewAsset, NewAssetFromUrl, UploadTicket
from livepeer_async.polling.phases import GONE, has_left_uploading
from livepeer_async.tus.driver import Driver
from livepeer_async.tus.states import LEGAL_COMMANDS, Command
from livepeer_async.uploads.leftovers import find_created

T = TypeVar("T", UploadTicket, ImportTicket)

_log = logging.getLogger("livepeer_async")

# Cleaning up after a failure must not outlast the patience of one who waits for it.
DISCARD_TIMEOUT = 15.0
CANCELLED_TIMEOUT = 1.5
# For the termination of an upload beside the deletion of its asset, which matters more.
TERMINATE_TIMEOUT = 1.0
# One who cancels waits no longer than 2 s: so long for a ticket on its way, then for its deletion.
TICKET_TIMEOUT = 1.1
GIVE_BACK_TIMEOUT = 0.7
# Assets of imports that are kept in mind: more than any client asks for in the seconds by which two
# clocks may differ. Older ones are told by their time.
MOST_TAKEN = 1000


class AssetRequests:
    """The desk where uploads are asked for and given back.

    Args:
        session: sends the API's calls.
        deleter: sends those that delete what is given up, also while everything else pauses.
        restarts: times that a request may be repeated after its answer was lost.
    """

    def __init__(self, session: Session, deleter: Session, *, restarts: int) -> None:
        self._session = session
        self._deleter = deleter
        self._restarts = restarts
        self._asking: WeakValueDictionary[tuple[str, str], anyio.Lock] = WeakValueDictionary()
        self._taken: deque[str] = deque(maxlen=MOST_TAKEN)

    async def request_upload(self, new_asset: NewAsset, lease: Lease) -> UploadTicket:
        """Ask for an upload; after a lost answer look what it made, and ask again.

        Raises:
            ApiError: the server refused.
            AmbiguousRequest: answers were lost too often; `asset_ids` may be left over.
        """
        call = requests.request_upload(self._session.account, new_asset)
        return await self._request(call, new_asset.name, lease)

    async def request_import(self, wanted: NewAssetFromUrl, lease: Lease) -> Asset:
        """Have the server fetch a URL; after a lost answer take the asset that it made of it.

        What an earlier run has asked for without an answer is looked for first.

        Raises:
            ApiError: the server refused.
            AmbiguousRequest: answers were lost too often; `asset_ids` may be left over.
        """
        # Of two that want the same, one would take the other's asset before its ticket has come.
        lock = self._asking.setdefault((wanted.name, wanted.url), anyio.Lock())
        async with lock:

            async def adopt(found: list[Asset]) -> ImportTicket | None:
                # A whole journal is read for it: only where there is something to take.
                fitting = [asset for asset in found if _matches(asset, wanted)]
                taken = await lease.reserved_assets() if fitting else set[str]()
                free = (it for it in fitting if it.id not in taken and it.id not in self._taken)
                return next((ImportTicket(asset=asset) for asset in free), None)

            ticket = await self._find_requested(lease, adopt)
            if ticket is None:
                call = requests.upload_from_url(self._session.account, wanted)
                ticket = await self._request(call, wanted.name, lease, adopt=adopt)
            self._taken.append(ticket.asset.id)
            return ticket.asset

    async def _find_requested(
        self, lease: Lease, adopt: Callable[[list[Asset]], Awaitable[ImportTicket | None]]
    ) -> ImportTicket | None:
        """Find what an earlier run has asked the server to fetch, and has no answer of."""
        record = lease.record
        if record is None or record.asset_id is not None:
            return None
        until = min(time.time(), record.requested_at + MAX_CREATION_DELAY)
        span = {"since": record.requested_at, "until": until}
        made = await find_created(self._session, record.name, **span, is_import=True)
        ticket = await adopt(made)
        if ticket is None:
            await lease.abandon()
        else:
            await lease.record_asset(ticket.asset)
        return ticket

    async def _request(
        self,
        call: Call[T],
        name: str,
        lease: Lease,
        *,
        adopt: Callable[[list[Asset]], Awaitable[T | None]] | None = None,
    ) -> T:
        lost = 0
        while True:
            since = time.time()
            await lease.record_request(name)
            try:
                return await self._request_once(call, lease)
            except (AmbiguousRequest, ApiError, NetworkError) as error:
                if not _may_have_created(error):
                    await self._forget(lease)
                    raise
                made = await self._reconcile(name, lease, since, error)
                try:
                    ticket = await adopt(made) if adopt is not None else None
                except JournalError as unknown:
                    raise error from unknown
                if ticket is not None:
                    await lease.record_asset(ticket.asset)
                    return ticket
                await lease.abandon()
                lost += 1
                if lost > self._restarts:
                    raise
                await self._session.back_off(error, min(lost, self._session.retry.attempts))
            except DecodeError:
                await lease.abandon()
                raise

    async def find_asset(self, asset_id: str, lease: Lease) -> Asset | None:
        """Look at the asset that an earlier run has made; `None` where it is there no more."""
        try:
            asset = await self._session.send(requests.get_asset(self._session.account, asset_id))
        except NotFound:
            asset = None
        if asset is None or asset.phase in GONE:
            await lease.abandon(is_useless=False)
            return None
        return asset

    async def is_uploaded(self, asset_id: str) -> bool:
        """Look whether the server has all bytes of an asset; `False` where nobody can tell."""
        try:
            asset = await self._session.send(requests.get_asset(self._session.account, asset_id))
        except LivepeerError:
            return False
        return has_left_uploading(asset) and asset.phase not in GONE

    async def discard_previous(self, lease: Lease) -> None:
        """Give up what an earlier run has begun and nobody can finish."""
        if lease.record is None:
            return
        if lease.record.asset_id is None:
            await lease.abandon()
        else:
            await self.discard(lease.record.asset_id, lease)

    async def discard(
        self,
        asset_id: str,
        lease: Lease,
        driver: Driver | None = None,
        *,
        once_cancelled: float = CANCELLED_TIMEOUT,
    ) -> None:
        """Throw away what can't be used any more; what fails here must not hide the reason.

        Args:
            asset_id: the asset to delete.
            lease: remembers the asset until it is deleted.
            driver: of its upload, which is terminated too.
            once_cancelled: seconds that it may take when the caller is cancelled.
        """

        async def throw_away() -> None:
            with suppress(LivepeerError):
                await self.delete_asset(asset_id, lease, driver)
                thrown_away.set()

        thrown_away = anyio.Event()
        try:
            # Nobody else knows of this asset, so a cancellation only shortens the time for it.
            await run_shielded(throw_away, timeout=DISCARD_TIMEOUT, grace=once_cancelled)
        finally:
            if not thrown_away.is_set():
                _log.warning("asset %s is of no use and couldn't be deleted", asset_id)

    async def delete_asset(self, asset_id: str, lease: Lease, driver: Driver | None = None) -> None:
        """Delete an asset, and terminate its upload.

        Raises:
            LivepeerError: it couldn't be deleted.
        """
        # A journal that can't be written must not keep the asset alive.
        with suppress(JournalError):
            await lease.abandon()
        failure: LivepeerError | None = None
        # Both at once: an upload host that is silent must not keep the asset alive.
        async with plain_task_group() as tasks:
            tasks.start_soon(_terminate, driver)
            try:
                await self._deleter.send(requests.delete_asset(self._session.account, asset_id))
                await lease.record_deletion(asset_id)
            except LivepeerError as error:
                failure = error
        if failure is not None:
            raise failure

    async def _forget(self, lease: Lease) -> None:
        with suppress(JournalError):
            await lease.forget()

    async def _request_once(self, call: Call[T], lease: Lease) -> T:
        """Ask; cancelled, wait a moment for the answer and give the asset back."""
        asset_requests: list[T] = []

        async def ask() -> None:
            ticket = await self._session.send(call)
            asset_requests.append(ticket)
            await lease.record_asset(ticket.asset)

        try:
            # An asset whose ticket nobody has read could be found by nobody.
            await run_shielded(ask, grace=TICKET_TIMEOUT)
        except BaseException:
            # Cancelled, or the journal failed.
            if asset_requests:
                await self.discard(
                    asset_requests[0].asset.id, lease, once_cancelled=GIVE_BACK_TIMEOUT
                )
            raise
        return asset_requests[0]

    async def _reconcile(
        self, name: str, lease: Lease, since: float, error: LivepeerError
    ) -> list[Asset]:
        """Look what a request whose answer was lost has made; nobody has the ticket for it."""
        span, is_import = {"since": since, "until": time.time()}, lease.is_import
        try:
            found = await find_created(self._session, name, **span, is_import=is_import)
        except LivepeerError as unknown:
            # The record of an import stays, so that whoever asks next looks first.
            if not is_import:
                await lease.abandon()
            # What was lost is the thing to say; that it can't be looked for stands behind it.
            raise error from unknown
        asset_ids = tuple(asset.id for asset in found)
        if isinstance(error, AmbiguousRequest):
            error.asset_ids += asset_ids
        _log.warning(
            "the answer to a request for an upload was lost (%s); it may have made %s",
            error,
            ", ".join(asset_ids) or "nothing: no such asset was found",
        )
        return found


async def _terminate(driver: Driver | None) -> None:
    """Terminate an unfinished upload, if the server answers in time."""
    if driver is None or driver.upload.is_over:
        return
    if Command.TERMINATE in LEGAL_COMMANDS[driver.upload.state]:
        with anyio.move_on_after(TERMINATE_TIMEOUT), suppress(LivepeerError):
            await driver.terminate()


def _matches(asset: Asset, wanted: NewAssetFromUrl) -> bool:
    """Whether an asset is what was wanted, so that nobody else can play it."""
    if asset.source is None or asset.source.url != wanted.url:
        return False
    found, asked = asset.playback_policy, wanted.playback_policy or None
    was = (found.type, found.webhook_id) if found else ("public", None)
    shall_be = (asked.type, asked.webhook_id or None) if asked else ("public", None)
    return was == shall_be and (asset.source.encryption is None) == (wanted.encryption is UNSET)


def _may_have_created(error: AmbiguousRequest | ApiError | NetworkError) -> bool:
    """Whether an asset may have been made although no ticket came."""
    if isinstance(error, ApiError):
        # Unlike `is_transient`: a 429 is refused before anything is made.
        return is_transient(error) and not isinstance(error, TooManyRequests)
    # Of what met a NetworkError alone the server has seen nothing.
    return isinstance(error, AmbiguousRequest)
