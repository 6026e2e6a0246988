"""Transfers the bytes of one upload, resumed from an earlier run or on a new ticket.

The server's word that it has all bytes isn't trusted: a transfer ends when the asset has left
`uploading`. An upload that can be resumed is kept; any other is terminated and its asset deleted.
"""

from __future__ import annotations

import logging
import mimetypes
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import anyio
from msgspec.structs import replace

from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    AssetFailed,
    AssetTimeout,
    LivepeerError,
    RetriesExhausted,
    SourceChanged,
    SourceError,
    TusError,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.retry import RestartCounter, RetryEvent, RetryPolicy
from livepeer_async.journal.lease import Lease
from livepeer_async.journal.records import FULLY_UPLOADED, ResumeAction
from livepeer_async.models import Asset, AssetPhase, NewAsset
from livepeer_async.polling.phases import has_left_uploading
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.sources.blocks import Digest
from livepeer_async.sources.source import Source, check_length
from livepeer_async.tus.driver import Callbacks, Driver, Send
from livepeer_async.tus.limits import ServerLimits, for_stream, plan_creation
from livepeer_async.tus.metadata import MetadataValue
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.tus.requests import predict_upload_urls
from livepeer_async.tus.states import State
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.processing import check_failure, may_help
from livepeer_async.uploads.upload import Upload

_log = logging.getLogger("livepeer_async")

# After its last 204 Studio took 10 to 45 ms to leave `uploading`: a look before that is wasted.
FIRST_LOOK_AFTER = 0.05
# An asset that stays much longer has lost the end of the upload; an empty PATCH makes the server
# look again.
NUDGE_AFTER = 10.0
LEAVE_TIMEOUT = 60.0
# Setbacks of one question for an upload whose creation was lost: a new ticket is soon better.
SEARCH_ATTEMPTS = 3
# The name travels in the asset; in Upload-Metadata, which nobody reads, this much is enough.
LONGEST_FILENAME = 255


class TransferContext(NamedTuple):
    """What is to be brought over, and as what."""

    upload: Upload
    source: Source
    new_asset: NewAsset
    lease: Lease
    digest: Digest | None
    restarts: RestartCounter


class Transfers:
    """Brings bytes over for one client.

    Args:
        waiter: waits for assets.
        asset_requests: the desk for uploads.
        send: carries tus requests; never sees the API key.
        wait_out_pause: waits while the server is to be left alone.
        retry: how many setbacks are borne.
        limits_for: gives the server's limits for an upload of so many bytes.
    """

    def __init__(  # noqa: PLR0913 - the parts that an upload needs
        self,
        waiter: Waiter,
        asset_requests: AssetRequests,
        send: Send,
        *,
        wait_out_pause: Callable[[], Awaitable[None]],
        retry: RetryPolicy,
        limits_for: Callable[[int], ServerLimits],
    ) -> None:
        self._waiter = waiter
        self._asset_requests = asset_requests
        self._send = send
        self._wait_out_pause = wait_out_pause
        self._retry = retry
        self._limits_for = limits_for

    async def transfer(self, order: TransferContext) -> WatchedAsset:
        """Bring the bytes over, where they aren't there already.

        Raises:
            LivepeerError: the one thing that ended it.
        """
        return await self._resume(order) or await self._begin(order)

    def driver_of(self, order: TransferContext) -> Driver | None:
        """Give a driver for what there is of an upload; `None` where there is none."""
        tus = order.upload.tus
        return Driver(tus, order.source, self._send, retry=self._retry) if tus else None

    async def _resume(self, order: TransferContext) -> WatchedAsset | None:
        """Go on where an earlier run ended; `None` where there is nothing to go on from."""
        lease = order.lease
        record, what = lease.record, lease.plan_resume()
        if record is None or record.asset_id is None or what is ResumeAction.RESTART:
            await self._asset_requests.discard_previous(lease)
            return None
        asset = await self._asset_requests.find_asset(record.asset_id, lease)
        if asset is None:
            return None
        if what is ResumeAction.REJECT:
            raise lease.access_changed_error()
        if what is ResumeAction.SOURCE_CHANGED and asset.phase != AssetPhase.FAILED:
            raise lease.source_changed_error(order.source)
        if what is ResumeAction.SOURCE_CHANGED:
            await self._asset_requests.discard_previous(lease)
            return None
        if record.state in FULLY_UPLOADED or has_left_uploading(asset):
            return _arrived(order.upload, asset)
        if record.upload_url is None:
            await self._asset_requests.discard_previous(lease)
            return None
        length = order.source.length
        limits = self._limits_for(length)
        tus = TusUpload(upload_url=record.upload_url, length=length, limits=limits)
        return await self._send_upload(order, asset, tus)

    async def _begin(self, order: TransferContext) -> WatchedAsset:
        """Bring the bytes over, on a new ticket where the upload URL was lost."""
        source, timeouts = order.source, 0
        while True:
            await order.upload.sleep()
            await order.upload.acquire_slot()
            limits = self._limits_for(source.length)
            if timeouts or order.restarts.count > 1:
                # What loses the creation, again and again, may be the bytes that go with it.
                limits = replace(limits, with_creation=0)
            check_length(source.name, source.length, limits.max_length)
            ticket = await self._asset_requests.request_upload(order.new_asset, order.lease)
            tus = TusUpload(
                endpoint=ticket.tus_endpoint,
                length=source.length,
                limits=for_stream(limits) if source.is_stream else limits,
                metadata=_metadata(source.name),
            )
            urls = predict_upload_urls(ticket.tus_endpoint, ticket.asset.playback_id)
            watch = await self._send_upload(order, ticket.asset, tus, urls=urls)
            if watch is not None:
                return watch
            timeouts = tus.chunks.timeouts

    async def _send_upload(
        self, order: TransferContext, asset: Asset, tus: TusUpload, *, urls: tuple[str, ...] = ()
    ) -> WatchedAsset | None:
        """Bring the bytes of one upload over; `None` where it was lost and another may begin.

        Args:
            order: what is to be brought over.
            asset: that the bytes are for.
            tus: the upload.
            urls: where the upload may be, should the answer to its creation be lost.
        """
        upload, source, has_arrived = order.upload, order.source, False
        upload.attach(asset, tus)
        try:
            upload.has_begun.set()
            upload.update_asset(asset)
            driver = await self._send_bytes(order, tus, urls)
            has_arrived = True
            upload.mark_uploaded()
            watch = await self._leave_uploading(upload, driver)
            await source.check()
        except (TusError, SourceError) as error:
            reached = (upload.tus or tus).offset
            is_lost = await self._give_up(error, order)
            if not is_lost or not source.can_restart:
                raise
            retry_event = self._report_retry(error, order, reached)
        except BaseException as error:
            # The server has all bytes, but its API failed, or the asset did: that stays.
            is_kept = has_arrived and isinstance(error, LivepeerError)
            # Cancelled, or the caller's own code failed: only what can be resumed stays.
            if not is_kept and not self._can_resume(order):
                await self._discard(order)
            raise
        else:
            return watch
        await upload.sleep(retry_event.delay)
        return None

    def _can_resume(self, order: TransferContext) -> bool:
        """Whether anyone could resume an upload that ends without an error that names its URL."""
        upload = order.upload
        has_url = upload.options.has_handle or upload.is_stopped or order.lease.is_resumable
        return upload.upload_url is not None and order.source.is_replayable and has_url

    async def _send_bytes(
        self, order: TransferContext, tus: TusUpload, urls: tuple[str, ...]
    ) -> Driver:
        """Send until the server says that it has all bytes."""
        driver = self._driver(order, tus)
        try:
            await driver.run()
        except UploadGone:
            # Without a URL only the answer to the creation was lost, which may have arrived.
            if tus.upload_url is not None:
                raise
            found = await self._find_created(order, driver, urls)
            if found is None:
                raise
            driver = found
            if not driver.upload.is_over:
                await driver.run()
        return driver

    async def _find_created(
        self, order: TransferContext, lost: Driver, urls: tuple[str, ...]
    ) -> Driver | None:
        """Find the upload of a creation whose answer was lost; `None` for a new ticket.

        An upload whose creation had no body is gone on with: it holds nothing, and nothing is on
        its way. One whose creation had bytes counts only where the server holds them all. Of any
        other the rest may still be stored by the request that was given up, for minutes and
        unseen, and a chunk beside that would be a second writer. It is one part at the most, and is
        waited for as long as the server has proved to be slow, unless it stops answering.
        """
        late, settle = lost.upload.late, lost.upload.limits.settle
        while True:
            await self._rest(order.upload, late.next_wait(settle))
            try:
                found = await self._look_for_created(order, lost, urls)
            except RetriesExhausted:
                return None
            if found is not None or not late.is_pending:
                return found

    async def _look_for_created(
        self, order: TransferContext, lost: Driver, urls: tuple[str, ...]
    ) -> Driver | None:
        """Look once whether a creation whose answer was lost has arrived.

        Raises:
            RetriesExhausted: the upload host doesn't answer.
        """
        retry = replace(self._retry, attempts=min(self._retry.attempts, SEARCH_ATTEMPTS))
        upload, limits = order.upload, lost.upload.limits
        sent = plan_creation(limits, lost.upload.length)
        if sent and await self._asset_requests.is_uploaded(upload.asset.id):
            return lost
        for url in urls:
            tus = TusUpload(upload_url=url, length=upload.length, limits=limits, max_offset=sent)
            try:
                await self._driver(order, tus, retry).find_offset()
            except (UploadGone, UploadRefused):
                continue
            if sent and tus.state is not State.COMPLETE:
                break
            upload.tus = tus
            await order.lease.record_upload_url(url)
            return self._driver(order, tus)
        # What was being stored may have arrived meanwhile.
        return lost if sent and await self._asset_requests.is_uploaded(upload.asset.id) else None

    def _driver(
        self, order: TransferContext, tus: TusUpload, retry: RetryPolicy | None = None
    ) -> Driver:
        upload = order.upload
        return Driver(
            tus,
            order.source,
            self._send,
            retry=retry or self._retry,
            callbacks=Callbacks(
                on_sent=upload.update_sent,
                on_retry=upload.report_retry,
                on_created=order.lease.record_upload_url,
            ),
            digest=order.digest,
            clock=Clock(sleep=partial(self._rest, upload)),
        )

    async def _rest(self, upload: Upload, seconds: float) -> None:
        """Wait before a request, also while everything pauses; there an upload can be stopped."""
        await upload.sleep(seconds)
        await self._wait_out_pause()
        upload.request_started()

    def _report_retry(
        self, error: TusError | SourceError, order: TransferContext, reached: int
    ) -> RetryEvent:
        """Count a restart, and say when it is.

        Raises:
            TusError: `error`, where there were too many without progress.
        """
        restarts, jitter = order.restarts, random.random()  # noqa: S311 - a wait, no secret
        delay = restarts.next_delay(self._retry, reached=reached, jitter=jitter)
        if delay is None:
            raise error
        attempts = self._retry.restarts
        retry_event = RetryEvent(
            reason=str(error), attempt=restarts.count, attempts=attempts, delay=delay
        )
        _log.warning("asset %s is given up: %s", order.upload.asset.id, retry_event)
        order.upload.report_retry(retry_event)
        return retry_event

    async def _give_up(self, error: TusError | SourceError, order: TransferContext) -> bool:
        """Discard what can't be resumed; say whether only the upload URL was lost."""
        asset_id = order.upload.asset.id
        if isinstance(error, TusError):
            error.asset_id = asset_id
            is_there = error.upload_url is not None and not isinstance(error, UploadGone)
            if is_there and order.source.is_replayable:
                return False
            if is_there:
                error.upload_url = None
        elif order.lease.is_resumable and not isinstance(error, SourceChanged):
            # A disk that didn't answer may do so for the next run.
            return False
        await self._discard(order)
        return isinstance(error, UploadGone)

    async def _discard(self, order: TransferContext) -> None:
        """Terminate an upload that nothing can resume, and delete its asset."""
        driver, order.upload.tus = self.driver_of(order), None
        await self._asset_requests.discard(order.upload.asset.id, order.lease, driver)

    async def _leave_uploading(self, upload: Upload, driver: Driver) -> WatchedAsset:
        """Believe neither 204 nor HEAD: the asset must leave `uploading`."""
        watch = WatchedAsset(upload.asset.id)
        await anyio.sleep(FIRST_LOOK_AFTER)
        wait = partial(
            self._waiter.wait_until, watch, has_left_uploading, on_change=upload.update_asset
        )
        try:
            await wait(timeout=NUDGE_AFTER)
        except AssetFailed as error:
            if not may_help(error, upload.options):
                raise
        except AssetTimeout:
            # What an earlier process left may hold parts twice: that mustn't be completed.
            if driver.has_sent and driver.upload.state is State.COMPLETE:
                await driver.finalize()
            try:
                await wait(timeout=LEAVE_TIMEOUT)
            except AssetTimeout as error:
                raise UploadGone(
                    f"the server has taken all {upload.length} bytes, yet asset "
                    f"{upload.asset.id} is still uploading after {LEAVE_TIMEOUT:.0f} s"
                ) from error
        return watch


def _arrived(upload: Upload, asset: Asset) -> WatchedAsset:
    """Take what an earlier run has brought over as it is.

    Raises:
        AssetFailed: the server couldn't make it ready.
    """
    upload.attach(asset, None)
    upload.mark_uploaded()
    check_failure(asset, upload.options)
    upload.has_begun.set()
    upload.update_asset(asset)
    watch = WatchedAsset(asset.id)
    watch.asset = asset
    return watch


def _metadata(name: str) -> dict[str, MetadataValue]:
    filename = name.encode()[:LONGEST_FILENAME].decode("utf-8", "ignore")
    kind = mimetypes.guess_type(filename)[0]
    metadata: dict[str, MetadataValue] = {"filename": filename}
    if kind:
        metadata["filetype"] = kind
    return metadata
