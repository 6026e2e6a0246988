"""Delivery of an upload: its bytes are transferred, processed by the server, and verified."""

from __future__ import annotations

from msgspec import UNSET

from livepeer_async.errors import AssetFailed, IntegrityError
from livepeer_async.http.observers import observe_requests
from livepeer_async.models import Asset
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.verify import Verified, verify_asset
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.telemetry.spans import start_wait_span
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.transfer import Transfers
from livepeer_async.uploads.upload import Upload


class Delivery:
    """Delivers uploads whose source is open and whose lease is held.

    Args:
        transfers: transfers bytes.
        processing: waits for the server's processing.
        asset_requests: requests and deletes assets.
    """

    def __init__(
        self, transfers: Transfers, processing: Processing, asset_requests: AssetRequests
    ) -> None:
        self._transfers = transfers
        self._processing = processing
        self._asset_requests = asset_requests

    async def run(self, upload: Upload) -> None:
        """Upload, wait and verify; delete an upload that is aborted meanwhile.

        Raises:
            LivepeerError: the upload failed, or was stopped.
        """
        try:
            with observe_requests(upload.observe), upload.scope, upload.telemetry.record(upload):
                await self._deliver(upload)
            if upload.is_aborted:
                await self._delete_aborted(upload)
            elif upload.scope.cancelled_caught:
                raise upload.stopped_error()
        except AssetFailed:
            await upload.lease.mark_failed()
            raise

    async def _deliver(self, upload: Upload) -> None:
        """Upload, and once more if the asset has other bytes and `on_mismatch` is `reupload`."""
        try:
            await self._transfer_and_verify(upload)
        except IntegrityError as error:
            can_reupload = upload.options.on_mismatch == "reupload" and upload.source.can_restart
            # The asset of a finished earlier run may be in use.
            if not can_reupload or upload.lease.is_finished:
                raise
            wrong_asset_id = error.asset_id
        else:
            return
        await self._asset_requests.discard(wrong_asset_id, upload.lease)
        await self._transfer_and_verify(upload)

    async def _transfer_and_verify(self, upload: Upload) -> None:
        watched = await self._transfers.transfer(upload)
        sha256 = await self._record_uploaded(upload)
        upload.telemetry.log_transferred(upload.attempts)
        verified = await self._await_ready(upload, watched, sha256) if upload.options.wait else None
        upload.finish(verified, sha256)

    async def finish_import(self, upload: Upload, asset: Asset) -> None:
        """Wait for an asset whose bytes the server fetches, and verify it."""
        upload.update_asset(asset)
        upload.release_slot()
        verified: Verified | None = None
        if upload.options.wait:
            try:
                verified = await self._await_ready(upload, WatchedAsset(asset.id, asset), None)
            except AssetFailed:
                await upload.lease.mark_failed()
                raise
        upload.finish(verified)

    async def _record_uploaded(self, upload: Upload) -> str | None:
        """Record that the server has all bytes; return their SHA-256 if it is wanted.

        Raises:
            SourceChanged: an earlier run has read other bytes.
        """
        await upload.lease.mark_uploaded(is_done=not upload.options.wait)
        sha256 = await upload.digest.finish(upload.source) if upload.digest else None
        upload.lease.check_sha256(upload.source, sha256)
        await upload.lease.record_sha256(sha256)
        await upload.lease.record_identity()
        return sha256

    async def _await_ready(
        self, upload: Upload, watched: WatchedAsset, sha256: str | None
    ) -> Verified | None:
        """Wait until the asset is ready and compare it with the bytes that were read."""
        with start_wait_span(watched.asset_id, "ready"):
            asset = await self._processing.wait_until_ready(
                watched, upload.options, on_change=upload.update_asset
            )
        verified: Verified | None = None
        # An import has a length only if an earlier run relayed its bytes.
        length = upload.length or upload.lease.recorded_length
        if upload.options.verify is not None and length:
            is_encrypted = upload.new_asset.encryption is not UNSET
            verified = verify_asset(asset, length=length, sha256=sha256, is_encrypted=is_encrypted)
        await upload.lease.mark_ready(asset, verified, sha256)
        return verified

    async def discard(self, upload: Upload) -> bool:
        """Delete the upload of an earlier run, and forget its record; a ready asset stays.

        Returns:
            Whether an asset was deleted.

        Raises:
            LivepeerError: the asset can't be deleted.
        """
        lease, record = upload.lease, upload.lease.record
        if record is None or record.asset_id is None:
            await lease.abandon()
            return False
        asset = await self._asset_requests.find_asset(record.asset_id, lease)
        if asset is None:
            return False
        if is_ready(asset):
            await lease.forget()
            return False
        if record.upload_url is not None:
            limits = self._transfers.limits_for(upload.length)
            tus = TusUpload(upload_url=record.upload_url, length=upload.length, limits=limits)
            upload.attach(asset, tus)
        terminate = self._transfers.make_terminator(upload)
        await self._asset_requests.delete(asset.id, lease, terminate)
        return True

    async def _delete_aborted(self, upload: Upload) -> None:
        """Delete an aborted upload, unless an earlier run had finished it."""
        if not upload.lease.is_finished:
            terminate = self._transfers.make_terminator(upload)
            await self._asset_requests.delete(upload.asset.id, upload.lease, terminate)
