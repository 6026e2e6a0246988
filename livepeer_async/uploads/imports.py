"""Has the server fetch a video from a URL, as often as it takes and once.

In come a URL and the asset that it shall become; out comes the result, as of an upload. No byte
passes through this machine, so that nothing can be compared in the end.
"""

from __future__ import annotations

import time

from livepeer_async.errors import LivepeerError
from livepeer_async.models import Asset, NewAsset, NewAssetFromUrl
from livepeer_async.polling import end_of, is_ready
from livepeer_async.uploads.claim import Claim, claim
from livepeer_async.uploads.journal import Journal
from livepeer_async.uploads.processing import Processing, Wait, may_help
from livepeer_async.uploads.progress import Progress, Stage
from livepeer_async.uploads.records import ALL_THERE, PickUp, access_of
from livepeer_async.uploads.retry import Setback
from livepeer_async.uploads.source import Source
from livepeer_async.uploads.tickets import Tickets
from livepeer_async.uploads.upload import UploadOptions, UploadResult
from livepeer_async.watch import Watch


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
        )

    async def _run(
        self, url: str, new_asset: NewAsset, options: UploadOptions, progress: _Progress
    ) -> None:
        # A length of 0, which no upload has, marks its record.
        nothing = Source(new_asset.name, 0)
        access = access_of(new_asset)
        async with claim(self._journal, options.key, nothing, access=access) as claimed:
            asset = await self._made_before(claimed)
            if asset is None:
                progress.attempts = 1
                wanted = NewAssetFromUrl.from_new_asset(new_asset, url=url)
                asset = await self._tickets.import_url(wanted, claimed)
                await claimed.arrived()
            progress.saw(asset)
            if options.on_arrived is not None:
                options.on_arrived()
            if not options.wait:
                return
            end = end_of(asset)
            if end is not None and not may_help(end, options):
                raise end
            wait = Wait(
                timeout=options.ready_timeout,
                reprocess=options.reprocess,
                on_change=progress.saw,
                on_setback=progress.set_back,
            )
            progress.saw(await self._processing.until_ready(Watch(asset.id), wait))
            await claimed.ready(asset, None, None)

    async def _made_before(self, claim: Claim) -> Asset | None:
        """Find the asset that an earlier run has asked for."""
        record = claim.record
        if record is None:
            return None
        if record.asset_id is None or record.state not in ALL_THERE:
            # An upload that was begun under this key, or a request without an answer.
            await self._tickets.clear_away(claim)
            return None
        if claim.pick_up() is PickUp.REFUSE:
            raise claim.refused()
        return await self._tickets.find(record.asset_id, claim)


class _Progress:
    """How far one is, told to whoever asked for it."""

    def __init__(self, options: UploadOptions) -> None:
        self._tell = options.on_progress
        self.asset: Asset | None = None
        self.attempts = 0

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
