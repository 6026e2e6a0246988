"""Transfers the bytes of uploads: resumes an earlier run, or starts with a new ticket.

The server's response that it has all bytes isn't trusted: a transfer ends when the asset has left
`uploading`. After an error, an upload that can be resumed is kept; any other is terminated and its
asset deleted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    AssetFailed,
    JournalError,
    LivepeerError,
    RetriesExhausted,
    SourceChanged,
    SourceError,
    TusError,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.messages import origin_of
from livepeer_async.http.observers import report_event
from livepeer_async.http.retry import RetryEvent, RetryPolicy
from livepeer_async.journal.records import FULLY_UPLOADED, ResumeAction
from livepeer_async.models import Asset
from livepeer_async.polling.phases import has_left_uploading
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.redaction import Hidden
from livepeer_async.scheduling.throttled_transport import ThrottledTransport
from livepeer_async.sources.blocks import Digest
from livepeer_async.telemetry.events import UPLOAD_RESTARTED, log_event
from livepeer_async.tus.driver import Callbacks, Driver
from livepeer_async.tus.limits import ServerLimits, limits_for_stream, plan_creation
from livepeer_async.tus.metadata import MetadataValue
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.tus.requests import predict_upload_urls
from livepeer_async.tus.states import LEGAL_COMMANDS, Command, State
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.completion import LEAVE_TIMEOUT, leave_uploading
from livepeer_async.uploads.direct import DirectUploads, media_type
from livepeer_async.uploads.upload import Upload

# Attempts to get the offset of an upload whose creation was lost: a new ticket is soon better.
SEARCH_ATTEMPTS = 3
# The asset has the full name. In Upload-Metadata, which Livepeer ignores, the beginning is enough.
MAX_FILENAME_LENGTH = 255
HiddenUrls = Hidden[tuple[str, ...]]
NO_URLS = HiddenUrls(())


class Transfers:
    """Transfers bytes for one client.

    Args:
        waiter, asset_requests: wait for assets; request and delete them.
        transport: sends tus requests, without the API key.
        retry, clock: the retry policy, and time and jitter.
        limits_for: returns the server's limits for an upload of a given length.

    Attributes:
        limits_for: as passed.
    """

    def __init__(
        self,
        waiter: Waiter,
        asset_requests: AssetRequests,
        transport: ThrottledTransport,
        *,
        retry: RetryPolicy,
        limits_for: Callable[[int], ServerLimits],
        clock: Clock | None = None,
    ) -> None:
        self.limits_for = limits_for
        self._waiter = waiter
        self._asset_requests = asset_requests
        self._transport = transport
        self._retry = retry
        self._clock = clock or Clock()
        self._direct = DirectUploads(
            transport,
            asset_requests,
            retry=retry,
            clock=self._clock,
            sleep=self._sleep,
            wait_to_retry=self._wait_to_retry,
        )

    async def transfer(self, upload: Upload) -> WatchedAsset:
        """Transfer the bytes that the server doesn't have yet.

        Raises:
            LivepeerError: the transfer failed.
        """
        return await self._resume(upload) or await self._transfer_with_new_request(upload)

    def make_terminator(self, upload: Upload) -> Callable[[], Awaitable[bool]] | None:
        """Return a function that terminates the tus upload; None if it can't be terminated."""
        tus = upload.tus
        if tus is None or tus.is_over or Command.TERMINATE not in LEGAL_COMMANDS[tus.state]:
            return None
        send = upload.lease.guarded(self._transport.send)
        driver = Driver(tus, upload.source, send, retry=self._retry)
        driver.cookies = upload.cookies
        return driver.terminate

    async def _resume(self, upload: Upload) -> WatchedAsset | None:
        """Resume the upload of an earlier run; None if there is nothing to resume."""
        lease, source = upload.lease, upload.source
        record, action = lease.record, lease.plan_resume()
        if record is None or record.asset_id is None or action is ResumeAction.RESTART:
            await self._asset_requests.discard_previous(lease)
            return None
        asset = await self._asset_requests.find_asset(record.asset_id, lease)
        if asset is None:
            return None
        if action is ResumeAction.REJECT:
            raise lease.access_changed_error()
        is_changed = await _is_changed(upload, action)
        if is_changed and not await self._waiter.has_failed(asset):
            raise lease.source_changed_error(source)
        if not is_changed and (record.state in FULLY_UPLOADED or has_left_uploading(asset)):
            return await self._skip_transfer(upload, asset)
        # A network that needs a direct upload may block the tus upload of an earlier run.
        if is_changed or record.upload_url is None or upload.options.is_direct:
            await self._asset_requests.discard_previous(lease)
            return None
        limits = self.limits_for(source.length)
        tus = TusUpload(upload_url=record.upload_url, length=source.length, limits=limits)
        upload.origin = origin_of(record.upload_url)
        return await self._send_upload(upload, asset, tus, partial(self._send_tus, upload, tus))

    async def _transfer_with_new_request(self, upload: Upload) -> WatchedAsset:
        """Transfer the bytes with a new ticket, and with another one if the upload is lost."""
        source, timeouts = upload.source, 0
        while True:
            await upload.sleep()
            await upload.acquire_slot()
            if upload.options.is_direct:
                watched = await self._transfer_directly(upload)
                if watched is not None:
                    return watched
                continue
            limits = self.limits_for(source.length)
            if timeouts or upload.restarts.count > 1:
                # The bytes in the creation request may be the reason that it gets lost.
                limits = replace(limits, with_creation=0)
            ticket = await self._asset_requests.request_upload(upload.new_asset, upload.lease)
            tus = TusUpload(
                endpoint=ticket.tus_endpoint,
                length=source.length,
                limits=limits_for_stream(limits) if source.is_stream else limits,
                metadata=_metadata(source.name),
            )
            urls = Hidden(predict_upload_urls(ticket.tus_endpoint, ticket.asset.playback_id))
            upload.origin = origin_of(ticket.tus_endpoint)
            sending = partial(self._send_tus, upload, tus, urls)
            watched = await self._send_upload(upload, ticket.asset, tus, sending)
            if watched is not None:
                return watched
            timeouts = tus.chunks.timeouts

    async def _transfer_directly(self, upload: Upload) -> WatchedAsset | None:
        """Transfer the bytes with a new ticket and one PUT; None as for `_send_upload`."""
        self._direct.check(upload.source)
        ticket = await self._asset_requests.request_upload(upload.new_asset, upload.lease)
        upload.origin = origin_of(ticket.url or "")
        send = partial(self._direct.send, upload, Hidden(ticket.url or ""))
        return await self._send_upload(upload, ticket.asset, None, send)

    async def _send_upload(
        self,
        upload: Upload,
        asset: Asset,
        tus: TusUpload | None,
        send: Callable[[], Awaitable[Driver | None]],
    ) -> WatchedAsset | None:
        """Transfer the bytes to one asset; None if they are lost and another may be tried.

        Args:
            upload: the upload.
            asset: the asset that gets the bytes.
            tus: the tus upload; None for a direct one.
            send: sends until the server responds that it has all bytes; returns the tus driver.
        """
        is_uploaded = False
        try:
            upload.attach(asset, tus)
            driver = await send()
            is_uploaded = True
            # A direct upload that is stopped now is kept once its asset shows that it is complete.
            upload.release_slot() if driver is None else upload.mark_uploaded()
            watched = await leave_uploading(self._waiter, upload, driver, clock=self._clock)
            if driver is None:
                await upload.lease.mark_uploaded()
            upload.mark_uploaded()
            await upload.source.check()
        except (TusError, SourceError) as error:
            last = upload.tus or tus
            reached = last.offset if last else 0
            is_lost = await self._give_up(error, upload)
            if not is_lost or not upload.source.can_restart:
                raise
            retry_event = self._report_restart(error, upload, reached)
        except BaseException as error:
            # The server has all bytes, and only its API or the asset failed: keep the asset.
            is_kept = is_uploaded and (upload.is_stopped or isinstance(error, LivepeerError))
            # Cancelled, or the caller's own code failed: keep only a resumable upload.
            if not is_kept and not upload.is_resumable:
                await self._discard(upload)
            raise
        else:
            return watched
        await self._wait_to_retry(upload, retry_event.delay)
        return None

    async def _send_tus(self, upload: Upload, tus: TusUpload, urls: HiddenUrls = NO_URLS) -> Driver:
        """Send until the server responds that it has all bytes.

        Args:
            upload: the upload.
            tus: the tus upload.
            urls: upload URLs to check if the response to the creation is lost.
        """
        driver = self._driver(upload, tus)
        try:
            await driver.run()
        except UploadGone:
            # Without a URL only the response to the creation is lost; the request may have arrived.
            if tus.upload_url is not None:
                raise
            found = await self._find_created_tus(upload, driver, urls)
            if found is None:
                raise
            driver = found
            if not driver.upload.is_over:
                await driver.run()
        return driver

    async def _find_created_tus(
        self, upload: Upload, lost: Driver, urls: HiddenUrls
    ) -> Driver | None:
        """Find the upload whose creation got no response; None for a new ticket.

        An upload created without bytes is resumed: it is empty, and nothing is in flight. One
        created with bytes counts only if the server has all of them. Otherwise the abandoned
        request may still store the rest, invisibly and for minutes, and a chunk beside it would be
        a second writer. The wait for the rest, at most one part, is as long as the server has been
        slow, and ends early if it stops responding.
        """
        late, settle = lost.upload.late, lost.upload.limits.settle
        while True:
            await self._sleep(upload, late.next_wait(settle))
            try:
                found = await self._poll_created_tus(upload, lost, urls)
            except RetriesExhausted:
                return None
            if found is not None or not late.is_pending:
                return found

    async def _poll_created_tus(
        self, upload: Upload, lost: Driver, urls: HiddenUrls
    ) -> Driver | None:
        """Look once for the upload whose creation got no response.

        Raises:
            RetriesExhausted: the upload host doesn't respond.
        """
        retry = replace(self._retry, attempts=min(self._retry.attempts, SEARCH_ATTEMPTS))
        limits = lost.upload.limits
        sent = plan_creation(limits, lost.upload.length)
        if sent and await self._asset_requests.is_uploaded(upload.asset.id):
            return lost
        for url in map(Hidden, urls.value):
            tus = TusUpload(
                upload_url=url.value, length=upload.length, limits=limits, max_offset=sent
            )
            try:
                await self._driver(upload, tus, retry).find_offset()
            except (UploadGone, UploadRefused):
                continue
            if sent and tus.state is not State.COMPLETE:
                break
            upload.tus = tus
            await upload.lease.record_upload_url(url.value)
            return self._driver(upload, tus)
        # The bytes may have been stored meanwhile.
        return lost if sent and await self._asset_requests.is_uploaded(upload.asset.id) else None

    def _driver(self, upload: Upload, tus: TusUpload, retry: RetryPolicy | None = None) -> Driver:
        driver = Driver(
            tus,
            upload.source,
            upload.lease.guarded(self._transport.send),
            retry=retry or self._retry,
            callbacks=Callbacks(
                on_transfer=upload.update_transfer,
                on_created=upload.lease.record_upload_url,
                wait_to_retry=partial(self._wait_to_retry, upload),
            ),
            digest=upload.digest,
            clock=Clock(sleep=partial(self._sleep, upload)),
        )
        driver.cookies = upload.cookies
        return driver

    async def _sleep(self, upload: Upload, seconds: float) -> None:
        """Sleep before a request, and while the client is paused; `stop` takes effect here."""
        await upload.sleep(seconds / self._clock.speed)
        await self._transport.wait_while_paused()
        await upload.wait_while_paused()
        upload.request_started()

    async def _wait_to_retry(self, upload: Upload, seconds: float) -> None:
        """Wait before a retry, at most until the upload host recovers; `stop` takes effect here."""
        await upload.sleep()
        await self._transport.recovery.wait(upload.origin, seconds)

    def _report_restart(
        self, error: TusError | SourceError, upload: Upload, reached: int
    ) -> RetryEvent:
        """Count and report a restart.

        Raises:
            TusError: `error`, after too many restarts without progress.
        """
        jitter = self._clock.random()
        retry_event = upload.restarts.next_retry(
            self._retry, error=error, reached=reached, jitter=jitter
        )
        if retry_event is None:
            raise error
        log_event(UPLOAD_RESTARTED, "the upload restarts: %s", retry_event, **retry_event.facts)
        report_event(retry_event)
        return retry_event

    async def _give_up(self, error: TusError | SourceError, upload: Upload) -> bool:
        """Discard an upload that can't be resumed; return whether only its URL was lost."""
        if isinstance(error, TusError):
            error.asset_id = upload.asset.id
            has_url = error.upload_url is not None and not isinstance(error, UploadGone)
            if has_url and upload.source.is_replayable:
                with suppress(JournalError):
                    await upload.lease.keep_for_caller()
                return False
            if has_url:
                error.upload_url = None
        elif upload.lease.is_resumable and not isinstance(error, SourceChanged):
            # A later run may be able to read the source.
            return False
        await self._discard(upload)
        return isinstance(error, UploadGone)

    async def _discard(self, upload: Upload) -> None:
        """Terminate an upload that can't be resumed, and delete its asset."""
        terminate, upload.tus = self.make_terminator(upload), None
        await self._asset_requests.discard(upload.asset.id, upload.lease, terminate)

    async def _skip_transfer(self, upload: Upload, asset: Asset) -> WatchedAsset:
        """Use the asset of an earlier run that has sent all bytes.

        Raises:
            AssetFailed: the server couldn't process it, and isn't processing it again.
        """
        upload.attach(asset, None, is_complete=True)
        upload.mark_uploaded()
        watched = WatchedAsset(asset.id, asset)
        try:
            await self._waiter.wait_until(watched, has_left_uploading, timeout=LEAVE_TIMEOUT)
        except AssetFailed as error:
            if not upload.options.may_reprocess(error):
                raise
        if upload.on_begun is not None:
            upload.on_begun(upload)
        upload.update_asset(watched.asset or asset)
        return watched


async def _is_changed(upload: Upload, action: ResumeAction) -> bool:
    """Whether the source has changed since an earlier run; a recorded SHA-256 decides."""
    if action is ResumeAction.COMPARE_SHA256:
        sha256 = await (upload.digest or Digest()).finish(upload.source)
        return not upload.lease.has_sha256(sha256)
    return action is ResumeAction.SOURCE_CHANGED


def _metadata(name: str) -> dict[str, MetadataValue]:
    filename = name.encode()[:MAX_FILENAME_LENGTH].decode("utf-8", "ignore")
    metadata: dict[str, MetadataValue] = {"filename": filename}
    if kind := media_type(filename):
        metadata["filetype"] = kind
    return metadata
