"""Has the server fetch a video from a URL, once.

No byte passes through this machine, so nothing can be compared at the end.
"""

from __future__ import annotations

import time

from msgspec import UNSET

from livepeer_async.errors import AssetFailed, LivepeerError
from livepeer_async.http.retry import RetryEvent
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.lease import Lease, acquire_lease
from livepeer_async.journal.records import (
    FULLY_UPLOADED,
    ResumeAction,
    access_fingerprint,
    url_fingerprint,
)
from livepeer_async.models import Asset, NewAsset, NewAssetFromUrl
from livepeer_async.polling.phases import NOT_FETCHED, failure_of, is_ready
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.sources.source import Source
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.options import UploadOptions, UploadResult
from livepeer_async.uploads.processing import Processing, check_failure
from livepeer_async.uploads.progress import Progress, Stage
from livepeer_async.uploads.verify import Verified, verify_asset


class UrlImporter:
    """Brings assets of URLs about, for one client.

    Args:
        processing: waits for assets.
        asset_requests: asks for assets.
        journal: where they are written; `None` for none.
    """

    def __init__(
        self, processing: Processing, asset_requests: AssetRequests, journal: Journal | None
    ) -> None:
        self._processing = processing
        self._asset_requests = asset_requests
        self._journal = journal

    async def import_url(
        self, url: str, new_asset: NewAsset, options: UploadOptions
    ) -> UploadResult:
        """Bring one about; an error is its result."""
        started = time.monotonic()
        progress = _Progress(options)
        error: LivepeerError | None = None
        try:
            await self._run(url, new_asset, options, progress)
        except LivepeerError as failure:
            error = failure
        return UploadResult(
            source=url,
            asset=progress.asset,
            error=error,
            seconds=time.monotonic() - started,
            attempts=progress.attempts,
            verified=progress.verified,
        )

    async def _run(
        self, url: str, new_asset: NewAsset, options: UploadOptions, progress: _Progress
    ) -> None:
        # A length of 0, which no upload has, marks its record.
        nothing = Source(new_asset.name, 0)
        access = access_fingerprint(new_asset)
        acquiring = acquire_lease(
            self._journal, options.key, nothing, access=access, url=url_fingerprint(url)
        )
        async with acquiring as lease:
            asset = await self._find_existing(lease)
            if asset is None:
                progress.attempts = 1
                wanted = NewAssetFromUrl.from_new_asset(new_asset, url=url)
                asset = await self._asset_requests.request_import(wanted, lease)
                await lease.mark_uploaded()
            progress.saw(asset)
            if options.slot is not None:
                options.slot.release()
            if not options.wait:
                return
            check_failure(asset, options)
            try:
                asset = await self._processing.wait_until_ready(
                    WatchedAsset(asset.id),
                    options,
                    on_change=progress.saw,
                    on_retry=progress.report_retry,
                )
            except AssetFailed:
                await lease.mark_failed()
                raise
            progress.saw(asset)
            progress.verified = _verify(asset, lease, new_asset, options)
            await lease.mark_ready(asset, progress.verified, None)

    async def _find_existing(self, lease: Lease) -> Asset | None:
        """Find the asset that an earlier run has brought about, or has sent bytes for."""
        record = lease.record
        if record is None or record.asset_id is None:
            return None
        is_relayed = record.identity.length > 0
        if is_relayed and record.state not in FULLY_UPLOADED:
            # Bytes were sent from here, and nobody can send the rest of them.
            await self._asset_requests.discard_previous(lease)
            return None
        if lease.plan_resume() is ResumeAction.REJECT:
            raise lease.access_changed_error()
        asset = await self._asset_requests.find_asset(record.asset_id, lease)
        if asset is not None and record.identity.url != lease.identity.url:
            raise lease.wrong_url_error()
        if asset is not None and not is_relayed and _is_unfetched(asset):
            # The server would fetch what it was told then; the signature of today is a new one.
            await self._asset_requests.discard_previous(lease)
            return None
        return asset

    async def discard(self, key: str | None) -> None:
        """Delete the asset of a key, so that its video can be brought by another way."""
        async with acquire_lease(self._journal, key, Source("", 0), access="") as lease:
            await self._asset_requests.discard_previous(lease)


def _is_unfetched(asset: Asset) -> bool:
    """Whether the server could get nothing from the URL."""
    end = failure_of(asset)
    return isinstance(end, AssetFailed) and NOT_FETCHED in end.error_message.lower()


def _verify(
    asset: Asset, lease: Lease, new_asset: NewAsset, options: UploadOptions
) -> Verified | None:
    """Compare with what an earlier run has sent; of what the server fetched nothing is known."""
    length = lease.record.identity.length if lease.record else 0
    if not length or options.verify is None:
        return None
    is_encrypted = new_asset.encryption is not UNSET
    return verify_asset(asset, length=length, sha256=None, is_encrypted=is_encrypted)


class _Progress:
    """How far one is, told to whoever asked for it."""

    def __init__(self, options: UploadOptions) -> None:
        self._tell = options.on_progress
        self.asset: Asset | None = None
        self.attempts = 0
        self.verified: Verified | None = None

    def saw(self, asset: Asset) -> None:
        self.asset = asset
        self._report()

    def report_retry(self, retry_event: RetryEvent) -> None:
        self._report(retry_event)

    def _report(self, retry_event: RetryEvent | None = None) -> None:
        if self._tell is None or self.asset is None:
            return
        status = self.asset.status
        self._tell(
            Progress(
                sent=0,
                length=0,
                stage=Stage.READY if is_ready(self.asset) else Stage.PROCESSING,
                processed=status.progress if status else None,
                asset_id=self.asset.id,
                retry=retry_event,
            )
        )
