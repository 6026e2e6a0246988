"""Requests assets and uploads, and deletes those that are no longer needed.

Two equal requests create two assets. After a lost response the client therefore looks for the asset
of the first request, and logs it, before it sends another.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

import anyio
from msgspec import UNSET

from livepeer_async.api import requests
from livepeer_async.api.calls import REFUSALS, Call
from livepeer_async.api.session import Session
from livepeer_async.concurrency import LoopLocal, plain_task_group, run_shielded
from livepeer_async.errors import (
    AmbiguousRequest,
    ApiError,
    AssetError,
    DecodeError,
    Forbidden,
    JournalError,
    JournalUnavailable,
    LivepeerError,
    NetworkError,
    NotFound,
    TooManyOpenFiles,
    TooManyRequests,
    UploadInUse,
    is_transient,
)
from livepeer_async.journal.lease import Lease
from livepeer_async.journal.records import MAX_CREATION_DELAY
from livepeer_async.models import Asset, ImportTicket, NewAsset, NewAssetFromUrl, UploadTicket
from livepeer_async.polling.phases import GONE, has_left_uploading
from livepeer_async.telemetry.events import (
    ASSET_DELETED,
    ASSET_NOT_DELETED,
    RESPONSE_LOST,
    log_event,
)
from livepeer_async.uploads.leftovers import delete_certain, find_created

if TYPE_CHECKING:
    # Imports SQLite, which only a client with a journal needs.
    from livepeer_async.journal.journal import Journal

Terminate = Callable[[], Awaitable[object]]
T = TypeVar("T", UploadTicket, ImportTicket)
# Returns a ticket for one of the assets found, if one matches the request.
ChooseAsset = Callable[[list[Asset]], Awaitable[T | None]]

# Seconds for the deletion of an asset, and for the rest of it once the caller is cancelled.
DISCARD_TIMEOUT = 15.0
CANCELLED_TIMEOUT = 1.5
# For the termination of an upload, which matters less than the deletion of its asset.
TERMINATE_TIMEOUT = 1.0
# A cancelled caller waits at most 2 s: for the ticket in flight, then for its asset's deletion.
TICKET_TIMEOUT = 1.1
TICKET_DISCARD_TIMEOUT = 0.7
# Bytes of an upload before which a key is checked, and seconds for it: smaller uploads find out
# soon enough.
MAX_UNCHECKED_LENGTH = 8 * 1024 * 1024
CHECK_TIMEOUT = 5.0
# Recent imports to remember: more than any client requests in the seconds by which the server's
# clock may differ. Older ones are recognised by their time.
MAX_RECENT_IMPORTS = 1000


class AssetRequests:
    """Requests, adopts and deletes assets for one client.

    Args:
        session: sends API calls.
        deleter: sends deletions, even while other calls are paused.
        restarts: how often a request is repeated after a lost response.
    """

    def __init__(self, session: Session, deleter: Session, *, restarts: int) -> None:
        self._session = session
        self._deleter = deleter
        self._restarts = restarts
        self._is_key_checked = False
        self._import_locks = LoopLocal(WeakValueDictionary[tuple[str, str], anyio.Lock])
        self._recent_imports: deque[str] = deque(maxlen=MAX_RECENT_IMPORTS)

    async def request_upload(self, new_asset: NewAsset, lease: Lease) -> UploadTicket:
        """Request an upload, and again after a lost response.

        Raises:
            ApiError: the server refused.
            AmbiguousRequest: too many responses were lost; `asset_ids` may have been created.
        """
        if lease.identity.length > MAX_UNCHECKED_LENGTH:
            await self._check_key()
        call = requests.request_upload(self._session.account, new_asset)
        return await self._request(call, new_asset.name, lease)

    async def _check_key(self) -> None:
        """Check once whether the key may look at assets, which each upload needs at its end.

        Raises:
            Forbidden: it may not.
        """
        if self._is_key_checked:
            return
        # Other errors say nothing about the key, and the next request has them too.
        with anyio.move_on_after(CHECK_TIMEOUT):
            try:
                await self._session.send_once(requests.check_key(self._session.account))
                self._is_key_checked = True
            except Forbidden:
                raise
            except LivepeerError:
                pass

    async def request_import(self, wanted: NewAssetFromUrl, lease: Lease) -> Asset:
        """Request that the server fetches a URL; after a lost response, adopt the asset.

        An unconfirmed request of an earlier run is looked up first.

        Raises:
            ApiError: the server refused.
            AmbiguousRequest: too many responses were lost; `asset_ids` may have been created.
        """
        # Of two equal imports, one could adopt the asset of the other, whose ticket is in flight.
        locks = self._import_locks.get()
        lock = locks.setdefault((wanted.name, wanted.url), anyio.Lock())
        async with lock:

            async def adopt(found: list[Asset]) -> ImportTicket | None:
                matching = [asset for asset in found if _matches(asset, wanted)]
                # Reads the whole journal, so only if an asset matches.
                reserved = await lease.reserved_assets() if matching else set[str]()
                reserved.update(self._recent_imports)
                free = (asset for asset in matching if asset.id not in reserved)
                return next((ImportTicket(asset=asset) for asset in free), None)

            ticket = await self._find_unconfirmed(lease, adopt)
            if ticket is None:
                call = requests.upload_from_url(self._session.account, wanted)
                ticket = await self._request(call, wanted.name, lease, adopt=adopt)
            self._recent_imports.append(ticket.asset.id)
            return ticket.asset

    async def _find_unconfirmed(
        self, lease: Lease, adopt: ChooseAsset[ImportTicket]
    ) -> ImportTicket | None:
        """Find the asset of an import that an earlier run requested without a response."""
        record = lease.record
        if record is None or record.asset_id is not None:
            return None
        until = min(time.time(), record.requested_at + MAX_CREATION_DELAY)
        span = {"since": record.requested_at, "until": until}
        try:
            created = await find_created(self._session, record.name, **span, is_import=True)
        except REFUSALS as error:
            raise AmbiguousRequest(
                f"an earlier request to import {record.name!r} got no response, and the API key "
                "may not list assets to find what it created",
                advice="look for the asset at https://livepeer.studio, or remove the key from the "
                "journal to import it again",
            ) from error
        ticket = await adopt(created)
        if ticket is None:
            await lease.abandon()
        else:
            await lease.record_asset(ticket.asset)
        return ticket

    async def _request(
        self, call: Call[T], name: str, lease: Lease, *, adopt: ChooseAsset[T] | None = None
    ) -> T:
        lost = 0
        while True:
            since = time.time()
            await lease.record_request(name)
            try:
                return await self._request_once(call, lease)
            except (AmbiguousRequest, ApiError, NetworkError, TooManyOpenFiles) as error:
                if not _may_have_created(error):
                    with suppress(JournalError, TooManyOpenFiles):
                        await lease.forget()
                    raise
                created = await self._reconcile(name, lease, since, error)
                try:
                    ticket = await adopt(created) if adopt is not None else None
                except (JournalError, TooManyOpenFiles) as journal_error:
                    raise error from journal_error
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

    async def _request_once(self, call: Call[T], lease: Lease) -> T:
        """Send the request; if cancelled, wait for the ticket and delete its asset."""
        tickets: list[T] = []

        async def request() -> None:
            tickets.append(await self._session.send(call))
            await lease.record_asset(tickets[0].asset)

        try:
            # Without the ticket, nothing would know the ID of the asset.
            await run_shielded(request, grace=TICKET_TIMEOUT)
        except BaseException:
            # Cancelled, or the journal failed.
            if tickets:
                await self.discard(tickets[0].asset.id, lease, grace=TICKET_DISCARD_TIMEOUT)
            raise
        return tickets[0]

    async def _reconcile(
        self, name: str, lease: Lease, since: float, error: LivepeerError
    ) -> list[Asset]:
        """Find and log the assets that a request with a lost response may have created.

        Raises:
            LivepeerError: `error`, if the assets can't be listed.
        """
        span, is_import = {"since": since, "until": time.time()}, lease.is_import
        try:
            found = await find_created(self._session, name, **span, is_import=is_import)
        except LivepeerError as list_error:
            if isinstance(list_error, REFUSALS) and not is_import:
                # The asset would not be used: without an upload, it has no bytes.
                log_event(
                    RESPONSE_LOST,
                    "the response to a request for an upload of %r was lost (%s); it may have "
                    "created an asset, but the API key may not list assets",
                    name,
                    error,
                    asset_name=name,
                    reason=str(error),
                )
                return []
            # The record of an import stays: the next run looks for the asset first.
            if not is_import:
                await lease.abandon()
            raise error from list_error
        asset_ids = tuple(asset.id for asset in found)
        if isinstance(error, AmbiguousRequest):
            error.asset_ids += asset_ids
        log_event(
            RESPONSE_LOST,
            "the response to a request for an upload was lost (%s); it may have created %s",
            error,
            ", ".join(asset_ids) or "nothing: no such asset was found",
            asset_ids=asset_ids,
            asset_name=name,
            reason=str(error),
        )
        return found

    async def find_asset(self, asset_id: str, lease: Lease) -> Asset | None:
        """Return the asset of an earlier run; None if it was deleted."""
        try:
            asset = await self._session.send(requests.get_asset(self._session.account, asset_id))
        except NotFound:
            asset = None
        if asset is None or asset.phase in GONE:
            await lease.abandon(is_useless=False)
            return None
        return asset

    async def is_uploaded(self, asset_id: str) -> bool:
        """Whether the server has all bytes of an asset; false if it doesn't respond."""
        try:
            asset = await self._session.send(requests.get_asset(self._session.account, asset_id))
        except LivepeerError:
            return False
        return has_left_uploading(asset) and asset.phase not in GONE

    async def discard_previous(self, lease: Lease) -> None:
        """Discard the upload of an earlier run that can't be resumed."""
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
        terminate: Terminate | None = None,
        *,
        grace: float | None = None,
    ) -> None:
        """Delete a useless asset; a failure is logged and must not hide the reason.

        Args:
            asset_id: the asset.
            lease: records the asset until it is deleted.
            terminate: terminates its upload; None if there is none.
            grace: seconds that it may take after a cancellation, `CANCELLED_TIMEOUT` by default.
        """
        is_deleted, reason = False, "there was no time"

        async def delete() -> None:
            nonlocal is_deleted, reason
            try:
                await self._delete(asset_id, lease, terminate)
                is_deleted = True
            except LivepeerError as error:
                reason = str(error)

        grace = CANCELLED_TIMEOUT if grace is None else grace
        try:
            await run_shielded(delete, timeout=DISCARD_TIMEOUT, grace=grace)
        finally:
            if not is_deleted:
                message = "asset %s is useless and couldn't be deleted: %s"
                facts = {"asset_id": asset_id, "reason": reason}
                log_event(ASSET_NOT_DELETED, message, asset_id, reason, **facts)

    async def delete(self, asset_id: str, lease: Lease, terminate: Terminate | None = None) -> None:
        """Delete an asset and terminate its upload, as an abort does.

        Raises:
            LivepeerError: it wasn't deleted, or not in time.
        """
        delete = partial(self._delete, asset_id, lease, terminate)
        # The caller wants it deleted, even if everything else is cancelled.
        if not await run_shielded(delete, timeout=DISCARD_TIMEOUT, grace=CANCELLED_TIMEOUT):
            raise AssetError(
                f"asset {asset_id} isn't deleted after {DISCARD_TIMEOUT:.0f} s", asset_id=asset_id
            )

    async def _delete(self, asset_id: str, lease: Lease, terminate: Terminate | None) -> None:
        try:
            await lease.abandon()
        except (JournalUnavailable, UploadInUse):
            # Another process may be using the asset by now.
            raise
        except (JournalError, TooManyOpenFiles):
            # It is deleted even if the journal can't be written.
            pass
        failure: LivepeerError | None = None
        # Both at once: the asset is deleted even if the upload host doesn't respond.
        async with plain_task_group() as tasks:
            if terminate is not None:
                tasks.start_soon(_terminate_briefly, terminate)
            try:
                await self._deleter.send(requests.delete_asset(self._session.account, asset_id))
                log_event(ASSET_DELETED, "asset %s is deleted", asset_id, asset_id=asset_id)
                await lease.record_deletion(asset_id)
            except LivepeerError as error:
                failure = error
        if failure is not None:
            raise failure

    async def delete_leftovers(self, journal: Journal) -> int:
        """Delete the leftovers in the journal that certainly are ours and useless.

        Returns:
            How many assets were deleted.
        """
        return await delete_certain(self._session, self._deleter, journal)


async def _terminate_briefly(terminate: Terminate) -> None:
    """Terminate an upload, if the server responds in time."""
    with anyio.move_on_after(TERMINATE_TIMEOUT), suppress(LivepeerError):
        await terminate()


def _matches(asset: Asset, wanted: NewAssetFromUrl) -> bool:
    """Whether an asset has the requested URL, playback policy and encryption."""
    if asset.source is None or asset.source.url != wanted.url:
        return False
    found, policy = asset.playback_policy, wanted.playback_policy or None
    has = (found.type, found.webhook_id) if found else ("public", None)
    wants = (policy.type, policy.webhook_id or None) if policy else ("public", None)
    return has == wants and (asset.source.encryption is None) == (wanted.encryption is UNSET)


def _may_have_created(error: LivepeerError) -> bool:
    """Whether a failed request may have created an asset."""
    if isinstance(error, ApiError):
        # Unlike `is_transient`: a 429 refuses before anything is created.
        return is_transient(error) and not isinstance(error, TooManyRequests)
    # A bare NetworkError means that the server has received nothing.
    return isinstance(error, AmbiguousRequest)
