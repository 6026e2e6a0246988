"""One upload from its beginning to its end: brought over, ready, compared.

In come a source and the asset that it shall become; out comes an `UploadResult`, or one typed
error that leaves nothing half-open. How the bytes get there stands in `transfer`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import UNSET

from livepeer_async.errors import AssetError, AssetFailed, IntegrityError, UploadStopped
from livepeer_async.models import NewAsset
from livepeer_async.taskgroups import finish
from livepeer_async.tus.driver import Send
from livepeer_async.tus.limits import ServerLimits
from livepeer_async.uploads.blocks import Digest
from livepeer_async.uploads.claim import Claim
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.retry import Restarts, RetryPolicy
from livepeer_async.uploads.source import Source
from livepeer_async.uploads.tickets import CANCELLED_TIMEOUT, DISCARD_TIMEOUT, Tickets
from livepeer_async.uploads.transfer import Order, Transfers
from livepeer_async.uploads.upload import Upload, UploadResult
from livepeer_async.uploads.verify import Verified, verify_asset
from livepeer_async.waiting import Waiter
from livepeer_async.watch import Watch


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
