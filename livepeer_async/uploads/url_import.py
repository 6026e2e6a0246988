"""Imports videos: the server fetches them from a URL.

No byte passes through this machine, so the asset can't be compared with its source.
"""

from __future__ import annotations

from livepeer_async.errors import AssetFailed
from livepeer_async.journal.lease import Lease
from livepeer_async.journal.records import FULLY_UPLOADED, ResumeAction
from livepeer_async.models import Asset, NewAssetFromUrl
from livepeer_async.polling.phases import NOT_FETCHED, make_failure
from livepeer_async.polling.waiter import Waiter
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.upload import Upload


class UrlImporter:
    """Finds or creates the assets of URLs, for one client.

    Args:
        asset_requests: requests assets.
        waiter: polls them.
    """

    def __init__(self, asset_requests: AssetRequests, waiter: Waiter) -> None:
        self._asset_requests = asset_requests
        self._waiter = waiter

    async def request(self, upload: Upload, url: str) -> Asset:
        """Return the asset of a URL, created now or by an earlier run.

        Raises:
            LivepeerError: the server refused the URL.
        """
        asset = await self._find_existing(upload.lease)
        if asset is None:
            upload.attempts = 1
            wanted = NewAssetFromUrl.from_new_asset(upload.new_asset, url=url)
            asset = await self._asset_requests.request_import(wanted, upload.lease)
            await upload.lease.mark_uploaded()
        return asset

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
        if asset is None or is_relayed or not _is_unfetched(asset):
            return asset
        if await self._waiter.has_failed(asset):
            # The server would fetch the old URL, whose signature may have expired.
            await self._asset_requests.discard_previous(lease)
            return None
        return asset


def _is_unfetched(asset: Asset) -> bool:
    """Whether the server couldn't fetch the URL."""
    failure = make_failure(asset)
    return isinstance(failure, AssetFailed) and NOT_FETCHED in failure.error_message.lower()
