"""Has the server fetch a video from a URL, once.

No byte passes through this machine, so nothing can be compared at the end.
"""

from __future__ import annotations

import time

from msgspec import UNSET

from livepeer_async.errors import AssetFailed, LivepeerError
from livepeer_async.http.retry import Setback
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.lease import Claim, claim
from livepeer_async.journal.records import ALL_THERE, PickUp, access_of, tell_url
from livepeer_async.models import Asset, NewAsset, NewAssetFromUrl
from livepeer_async.polling.phases import NOT_FETCHED, end_of, is_ready
from livepeer_async.polling.watched_asset import Watch
from livepeer_async.sources.source import Source
from livepeer_async.uploads.asset_requests import Tickets
from livepeer_async.uploads.options import UploadOptions, UploadResult
from livepeer_async.uploads.processing import Processing, check_outlook
from livepeer_async.uploads.progress import Progress, Stage
from livepeer_async.uploads.verify import Verified, verify_asset


class Imports:
    """Brings assets of URLs about, for one client.

    Args:
        processing: waits for assets.
        tickets: asks for assets.
        journal: where they are written; `None` for none.
    """

    def __init__(self, processing: Processing, tickets: Tickets, journal: Journal | None) -> None:
        self._processing = processing
        self._tickets = tickets
        self._journal = journal

    async def run(self, url: str, new_asset: NewAsset, options: UploadOptions) -> UploadResult:
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
        access = access_of(new_asset)
        claiming = claim(self._journal, options.key, nothing, access=access, url=tell_url(url))
        async with claiming as claimed:
            asset = await self._made_before(claimed)
            if asset is None:
                progress.attempts = 1
                wanted = NewAssetFromUrl.from_new_asset(new_asset, url=url)
                asset = await self._tickets.import_url(wanted, claimed)
                await claimed.arrived()
            progress.saw(asset)
            if options.slot is not None:
                options.slot.leave()
            if not options.wait:
                return
            check_outlook(asset, options)
            try:
                asset = await self._processing.until_ready(
                    Watch(asset.id), options, on_change=progress.saw, on_setback=progress.set_back
                )
            except AssetFailed:
                await claimed.failed()
                raise
            progress.saw(asset)
            progress.verified = _verify(asset, claimed, new_asset, options)
            await claimed.ready(asset, progress.verified, None)

    async def _made_before(self, claim: Claim) -> Asset | None:
        """Find the asset that an earlier run has brought about, or has sent bytes for."""
        record = claim.record
        if record is None or record.asset_id is None:
            return None
        is_relayed = record.identity.length > 0
        if is_relayed and record.state not in ALL_THERE:
            # Bytes were sent from here, and nobody can send the rest of them.
            await self._tickets.clear_away(claim)
            return None
        if claim.pick_up() is PickUp.REFUSE:
            raise claim.refused()
        asset = await self._tickets.find(record.asset_id, claim)
        if asset is not None and record.identity.url != claim.identity.url:
            raise claim.comes_from_elsewhere()
        if asset is not None and not is_relayed and _is_unfetched(asset):
            # The server would fetch what it was told then; the signature of today is a new one.
            await self._tickets.clear_away(claim)
            return None
        return asset

    async def give_up(self, key: str | None) -> None:
        """Delete the asset of a key, so that its video can be brought by another way."""
        async with claim(self._journal, key, Source("", 0), access="") as claimed:
            await self._tickets.clear_away(claimed)


def _is_unfetched(asset: Asset) -> bool:
    """Whether the server could get nothing from the URL."""
    end = end_of(asset)
    return isinstance(end, AssetFailed) and NOT_FETCHED in end.error_message.lower()


def _verify(
    asset: Asset, claim: Claim, new_asset: NewAsset, options: UploadOptions
) -> Verified | None:
    """Compare with what an earlier run has sent; of what the server fetched nothing is known."""
    length = claim.record.identity.length if claim.record else 0
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

    def set_back(self, setback: Setback) -> None:
        self._report(setback)

    def _report(self, setback: Setback | None = None) -> None:
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
                setback=setback,
            )
        )
