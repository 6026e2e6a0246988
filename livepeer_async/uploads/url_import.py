"""Imports videos: the server fetches them from a URL.

No byte passes through this machine, so the asset can't be compared with what was read.
"""

from __future__ import annotations

from msgspec import UNSET

from livepeer_async.errors import AssetFailed
from livepeer_async.journal.lease import Lease
from livepeer_async.journal.records import FULLY_UPLOADED, ResumeAction
from livepeer_async.models import Asset, NewAssetFromUrl
from livepeer_async.polling.phases import NOT_FETCHED, failure_of
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.processing import Processing, check_failure
from livepeer_async.uploads.upload import Upload
from livepeer_async.uploads.verify import Verified, verify_asset


class UrlImporter:
    """Imports assets from URLs for one client.

    Args:
        processing: waits for assets.
        asset_requests: requests assets.
    """

    def __init__(self, processing: Processing, asset_requests: AssetRequests) -> None:
        self._processing = processing
        self._asset_requests = asset_requests

    async def run(self, upload: Upload, url: str) -> None:
        """Import a URL, unless an earlier run has created its asset.

        Raises:
            LivepeerError: the import failed.
        """
        lease, options = upload.lease, upload.options
        asset = await self._find_existing(lease)
        if asset is None:
            upload.attempts = 1
            wanted = NewAssetFromUrl.from_new_asset(upload.new_asset, url=url)
            asset = await self._asset_requests.request_import(wanted, lease)
            await lease.mark_uploaded()
        upload.update_asset(asset)
        upload.release_slot()
        if not options.wait:
            upload.finish()
            return
        check_failure(asset, options)
        try:
            asset = await self._processing.wait_until_ready(
                WatchedAsset(asset.id),
                options,
                on_change=upload.update_asset,
                on_retry=upload.report_retry,
            )
        except AssetFailed:
            await lease.mark_failed()
            raise
        upload.update_asset(asset)
        verified = _verify(asset, upload)
        await lease.mark_ready(asset, verified, None)
        upload.finish(verified)

    async def _find_existing(self, lease: Lease) -> Asset | None:
        """Return the asset that an earlier run has imported or relayed."""
        record = lease.record
        if record is None or record.asset_id is None:
            return None
        is_relayed = record.identity.length > 0
        if is_relayed and record.state not in FULLY_UPLOADED:
            # The rest of the relayed bytes can't be sent by an import.
            await self._asset_requests.discard_previous(lease)
            return None
        if lease.plan_resume() is ResumeAction.REJECT:
            raise lease.access_changed_error()
        asset = await self._asset_requests.find_asset(record.asset_id, lease)
        if asset is not None and record.identity.url != lease.identity.url:
            raise lease.wrong_url_error()
        if asset is not None and not is_relayed and _is_unfetched(asset):
            # The server would fetch the old URL, whose signature may have expired.
            await self._asset_requests.discard_previous(lease)
            return None
        return asset


def _is_unfetched(asset: Asset) -> bool:
    """Whether the server couldn't fetch the URL."""
    failure = failure_of(asset)
    return isinstance(failure, AssetFailed) and NOT_FETCHED in failure.error_message.lower()


def _verify(asset: Asset, upload: Upload) -> Verified | None:
    """Compare with the bytes that an earlier run relayed; nothing is known of an import's bytes."""
    record = upload.lease.record
    length = record.identity.length if record else 0
    if not length or upload.options.verify is None:
        return None
    is_encrypted = upload.new_asset.encryption is not UNSET
    return verify_asset(asset, length=length, sha256=None, is_encrypted=is_encrypted)
