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
from livepeer_async.concurrency import finish, plain_task_group
from livepeer_async.errors import (
    AssetError,
    AssetFailed,
    ConfigurationError,
    IntegrityError,
    LivepeerError,
    UploadStopped,
)
from livepeer_async.http.retry import Restarts, RetryPolicy
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.lease import Claim, claim
from livepeer_async.journal.records import access_of
from livepeer_async.models import NewAsset
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import Watch
from livepeer_async.scheduling.slots import Turns
from livepeer_async.sources.blocks import Digest
from livepeer_async.sources.opening import SourcesInUse, open_source
from livepeer_async.sources.source import Source, SourceLike, source_key, source_name
from livepeer_async.tus.driver import Send
from livepeer_async.tus.limits import ServerLimits
from livepeer_async.uploads.asset_requests import CANCELLED_TIMEOUT, DISCARD_TIMEOUT, Tickets
from livepeer_async.uploads.many import UploadJob, length_of
from livepeer_async.uploads.options import UploadOptions, UploadResult
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.transfer import Order, Transfers
from livepeer_async.uploads.upload import Upload
from livepeer_async.uploads.verify import Verified, verify_asset


class Uploader:
    """Runs uploads of one client.

    Args:
        engine: carries them.
        journal: where they are written; `None` for none.
        turns: where single uploads take their slots.
        limits_for: gives the server's limits for an upload of so many bytes.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal | None,
        turns: Turns,
        *,
        limits_for: Callable[[int], ServerLimits],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._turns = turns
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
        with self._turns.joined(is_patient=False) as place:
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
            claim(self._journal, key, opened, access=access_of(wanted), url=options.url) as claimed,
        ):
            upload = Upload(source, opened.name, opened.length, options)
            async with self.closable(opened.name), plain_task_group() as tasks:
                tasks.start_soon(self._engine.run, upload, opened, wanted, claimed)
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
        tickets: the desk for uploads.
        processing: waits for the server's work.
        send: carries tus requests; never sees the API key.
        wait_out_pause: waits while the server is to be left alone.
        retry: how many setbacks are borne.
        limits_for: gives the server's limits for an upload of so many bytes.
    """

    def __init__(  # noqa: PLR0913 - the parts that an upload needs
        self,
        waiter: Waiter,
        tickets: Tickets,
        processing: Processing,
        send: Send,
        *,
        wait_out_pause: Callable[[], Awaitable[None]],
        retry: RetryPolicy,
        limits_for: Callable[[int], ServerLimits],
    ) -> None:
        self._processing = processing
        self._tickets = tickets
        self._transfers = Transfers(
            waiter,
            tickets,
            send,
            wait_out_pause=wait_out_pause,
            retry=retry,
            limits_for=limits_for,
        )

    async def run(self, upload: Upload, source: Source, new_asset: NewAsset, claim: Claim) -> None:
        """Take an upload to its end; `upload.result` says how it went.

        Raises:
            LivepeerError: the one thing that ended it.
        """
        started = time.monotonic()
        digest = Digest() if upload.options.verify == "hash" else None
        order = Order(upload, source, new_asset, claim, digest, Restarts())
        try:
            with upload.scope:
                verified, sha256 = await self._deliver(order)
                upload.end(
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
            await claim.failed()
            raise
        finally:
            upload.close()

    async def _deliver(self, order: Order) -> tuple[Verified | None, str | None]:
        """Bring the bytes over and compare; replace a wrong asset once, where that is wanted."""
        upload, claim = order.upload, order.claim
        can_repeat = upload.options.on_mismatch == "reupload"
        while True:
            watch = await self._transfers.bring(order)
            await claim.arrived()
            sha256 = await order.digest.finish(order.source) if order.digest else None
            claim.check_sha256(order.source, sha256)
            try:
                verified = await self._finish(order, watch, sha256)
            except IntegrityError as error:
                # What an earlier run has finished may be in use.
                can_repeat = can_repeat and order.source.can_begin_anew
                if not can_repeat or claim.is_finished:
                    raise
                can_repeat = False
                await self._tickets.discard(error.asset_id, claim)
            else:
                return verified, sha256

    async def _finish(self, order: Order, watch: Watch, sha256: str | None) -> Verified | None:
        """Wait until the asset is ready and compare it, as far as the options want it."""
        upload, options = order.upload, order.upload.options
        if not options.wait:
            return None
        asset = await self._processing.until_ready(
            watch, options, on_change=upload.saw, on_setback=upload.set_back
        )
        verified: Verified | None = None
        if options.verify is not None:
            is_encrypted = order.new_asset.encryption is not UNSET
            verified = verify_asset(
                asset, length=upload.length, sha256=sha256, is_encrypted=is_encrypted
            )
        await order.claim.ready(asset, verified, sha256)
        return verified

    async def _abort(self, order: Order) -> None:
        """Delete what there is of an upload that `Upload.abort` has stopped."""
        if order.claim.is_finished:
            return
        upload, driver = order.upload, self._transfers.driver_of(order)
        throw_away = partial(self._tickets.throw_away, upload.asset.id, order.claim, driver)
        # Whoever aborts wants it gone, also where everything else is cancelled.
        if not await finish(throw_away, within=DISCARD_TIMEOUT, once_cancelled=CANCELLED_TIMEOUT):
            raise AssetError(
                f"asset {upload.asset.id} isn't deleted after {DISCARD_TIMEOUT:.0f} s",
                asset_id=upload.asset.id,
            )


def _stopped(upload: Upload) -> UploadStopped:
    error = UploadStopped(f"the upload of {upload.name} was stopped")
    error.upload_url = upload.upload_url
    error.asset_id = upload.last_asset.id if upload.last_asset else None
    return error
