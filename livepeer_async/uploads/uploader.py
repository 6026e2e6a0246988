"""Runs single uploads: opens the source, takes the lease, transfers, waits and verifies.

It knows the running uploads, so that closing the client can end them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from msgspec import UNSET
from msgspec.structs import replace

from livepeer_async.api.requests import as_new_asset
from livepeer_async.concurrency import plain_task_group, run_shielded
from livepeer_async.errors import (
    AssetError,
    AssetFailed,
    ConfigurationError,
    IntegrityError,
    LivepeerError,
    UploadStopped,
)
from livepeer_async.http.retry import RestartCounter, RetryPolicy
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.lease import Lease, acquire_lease
from livepeer_async.journal.records import access_fingerprint
from livepeer_async.models import NewAsset
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.scheduling.slots import SlotQueue
from livepeer_async.sources.blocks import Digest
from livepeer_async.sources.opening import SourcesInUse, open_source
from livepeer_async.sources.source import Source, SourceLike, source_key, source_name
from livepeer_async.tus.driver import Send
from livepeer_async.tus.limits import ServerLimits
from livepeer_async.uploads.asset_requests import CANCELLED_TIMEOUT, DISCARD_TIMEOUT, AssetRequests
from livepeer_async.uploads.many import UploadJob, length_of
from livepeer_async.uploads.options import UploadOptions, UploadResult
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.transfer import TransferContext, Transfers
from livepeer_async.uploads.upload import Upload
from livepeer_async.uploads.verify import Verified, verify_asset


class Uploader:
    """Runs uploads of one client.

    Args:
        engine: carries them.
        journal: where they are written; `None` for none.
        slot_queue: where single uploads take their slots.
        limits_for: gives the server's limits for an upload of so many bytes.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal | None,
        slot_queue: SlotQueue,
        *,
        limits_for: Callable[[int], ServerLimits],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._slot_queue = slot_queue
        self._limits_for = limits_for
        self._sources = SourcesInUse()
        self._running: dict[anyio.CancelScope, anyio.Event] = {}

    async def aclose(self) -> None:
        """Cancel what runs, and wait for its end."""
        running = dict(self._running)
        for scope in running:
            scope.cancel()
        for ended in running.values():
            await ended.wait()

    @asynccontextmanager
    async def open(
        self, source: SourceLike, new_asset: NewAsset | str | None, options: UploadOptions
    ) -> AsyncGenerator[Upload, None]:
        """Begin an upload; the block is entered once its asset exists, and left at its end.

        It waits for no slot, and takes one from those of `upload_many` while it sends.

        Raises:
            LivepeerError: the one thing that ended it.
        """
        length = await length_of(UploadJob(source, length=options.length))
        with self._slot_queue.register(waits_for_slot=False) as place:
            options = replace(options, slot=place.start(length))
            async with self._open(source, new_asset, options) as upload:
                yield upload

    @asynccontextmanager
    async def _open(
        self, source: SourceLike, new_asset: NewAsset | str | None, options: UploadOptions
    ) -> AsyncGenerator[Upload, None]:
        wanted = as_new_asset(source_name(source) if new_asset is None else new_asset)
        most = self._limits_for(options.length or 1).max_length
        opening = open_source(source, length=options.length, max_length=most)
        key = options.key
        if key is None and self._journal is not None:
            key = source_key(source)
        async with (
            self._sources.reserve(source),
            opening as opened,
            acquire_lease(
                self._journal, key, opened, access=access_fingerprint(wanted), url=options.url
            ) as lease,
        ):
            upload = Upload(source, opened.name, opened.length, options)
            async with self.closable(opened.name), plain_task_group() as tasks:
                tasks.start_soon(self._engine.run, upload, opened, wanted, lease)
                await upload.has_begun.wait()
                yield upload

    async def run(
        self,
        job: UploadJob,
        options: Callable[[], UploadOptions],
        *,
        on_begun: Callable[[Upload], None] | None = None,
    ) -> UploadResult:
        """Run one upload of many: an error is its result.

        Args:
            job: what to upload.
            options: makes them; what the job says of its length and its key stands in them.
            on_begun: called with the upload once its asset exists.
        """
        started = time.monotonic()
        upload: Upload | None = None
        failure: LivepeerError | None = None
        try:
            async with self._open(job.source, job.new_asset, options()) as upload:
                if on_begun is not None:
                    on_begun(upload)
        except LivepeerError as error:
            failure = error
        if upload is not None and upload.is_done:
            return upload.result
        return UploadResult(
            source=job.source,
            asset=upload.last_asset if upload else None,
            error=failure,
            length=upload.length if upload else None,
            seconds=time.monotonic() - started,
            attempts=upload.attempts if upload else 0,
        )

    @asynccontextmanager
    async def closable(self, name: str) -> AsyncGenerator[None, None]:
        """Let `aclose` cancel what is within, and wait for its end.

        Raises:
            ConfigurationError: it did.
        """
        scope = anyio.CancelScope()
        ended = self._running[scope] = anyio.Event()
        try:
            with scope:
                yield
        finally:
            del self._running[scope]
            ended.set()
        if scope.cancelled_caught:
            raise ConfigurationError(f"the client was closed while {name} was uploaded")


class Engine:
    """Carries uploads of one client.

    Args:
        waiter: waits for assets.
        asset_requests: the desk for uploads.
        processing: waits for the server's work.
        send: carries tus requests; never sees the API key.
        wait_out_pause: waits while the server is to be left alone.
        retry: how many setbacks are borne.
        limits_for: gives the server's limits for an upload of so many bytes.
    """

    def __init__(  # noqa: PLR0913 - the parts that an upload needs
        self,
        waiter: Waiter,
        asset_requests: AssetRequests,
        processing: Processing,
        send: Send,
        *,
        wait_out_pause: Callable[[], Awaitable[None]],
        retry: RetryPolicy,
        limits_for: Callable[[int], ServerLimits],
    ) -> None:
        self._processing = processing
        self._asset_requests = asset_requests
        self._transfers = Transfers(
            waiter,
            asset_requests,
            send,
            wait_out_pause=wait_out_pause,
            retry=retry,
            limits_for=limits_for,
        )

    async def run(self, upload: Upload, source: Source, new_asset: NewAsset, lease: Lease) -> None:
        """Take an upload to its end; `upload.result` says how it went.

        Raises:
            LivepeerError: the one thing that ended it.
        """
        started = time.monotonic()
        digest = Digest() if upload.options.verify == "hash" else None
        order = TransferContext(upload, source, new_asset, lease, digest, RestartCounter())
        try:
            with upload.scope:
                verified, sha256 = await self._deliver(order)
                upload.finish(
                    UploadResult(
                        source=upload.source,
                        asset=upload.asset,
                        verified=verified,
                        sha256=sha256,
                        length=source.length,
                        seconds=time.monotonic() - started,
                        attempts=upload.attempts,
                    )
                )
            if upload.is_aborted:
                await self._abort(order)
            elif upload.scope.cancelled_caught:
                raise _stopped(upload)
        except AssetFailed:
            await lease.mark_failed()
            raise
        finally:
            upload.close()

    async def _deliver(self, order: TransferContext) -> tuple[Verified | None, str | None]:
        """Bring the bytes over and compare; replace a wrong asset once, where that is wanted."""
        upload, lease = order.upload, order.lease
        can_repeat = upload.options.on_mismatch == "reupload"
        while True:
            watch = await self._transfers.transfer(order)
            await lease.mark_uploaded()
            sha256 = await order.digest.finish(order.source) if order.digest else None
            lease.check_sha256(order.source, sha256)
            try:
                verified = await self._finish(order, watch, sha256)
            except IntegrityError as error:
                # What an earlier run has finished may be in use.
                can_repeat = can_repeat and order.source.can_restart
                if not can_repeat or lease.is_finished:
                    raise
                can_repeat = False
                await self._asset_requests.discard(error.asset_id, lease)
            else:
                return verified, sha256

    async def _finish(
        self, order: TransferContext, watch: WatchedAsset, sha256: str | None
    ) -> Verified | None:
        """Wait until the asset is ready and compare it, as far as the options want it."""
        upload, options = order.upload, order.upload.options
        if not options.wait:
            return None
        asset = await self._processing.wait_until_ready(
            watch, options, on_change=upload.update_asset, on_retry=upload.report_retry
        )
        verified: Verified | None = None
        if options.verify is not None:
            is_encrypted = order.new_asset.encryption is not UNSET
            verified = verify_asset(
                asset, length=upload.length, sha256=sha256, is_encrypted=is_encrypted
            )
        await order.lease.mark_ready(asset, verified, sha256)
        return verified

    async def _abort(self, order: TransferContext) -> None:
        """Delete what there is of an upload that `Upload.abort` has stopped."""
        if order.lease.is_finished:
            return
        upload, driver = order.upload, self._transfers.driver_of(order)
        throw_away = partial(
            self._asset_requests.delete_asset, upload.asset.id, order.lease, driver
        )
        # Whoever aborts wants it gone, also where everything else is cancelled.
        if not await run_shielded(throw_away, timeout=DISCARD_TIMEOUT, grace=CANCELLED_TIMEOUT):
            raise AssetError(
                f"asset {upload.asset.id} isn't deleted after {DISCARD_TIMEOUT:.0f} s",
                asset_id=upload.asset.id,
            )


def _stopped(upload: Upload) -> UploadStopped:
    error = UploadStopped(f"the upload of {upload.name} was stopped")
    error.upload_url = upload.upload_url
    error.asset_id = upload.last_asset.id if upload.last_asset else None
    return error
