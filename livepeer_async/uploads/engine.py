"""One upload, room by room: ticket, tus, out of `uploading`, ready, compared.

In come a source and the asset that it shall become; out comes an `UploadResult`, or one typed
error that leaves nothing half-open. An upload that can be resumed is left on the server; one that
can't be is terminated and its asset deleted.
"""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf

import anyio
from msgspec import UNSET

from livepeer_async.api import calls
from livepeer_async.api.caller import Caller
from livepeer_async.errors import (
    AssetTimeout,
    LivepeerError,
    SourceError,
    TusError,
    UploadGone,
)
from livepeer_async.models import NewAsset, UploadTicket
from livepeer_async.polling import has_left_uploading, is_ready
from livepeer_async.taskgroups import plain_task_group
from livepeer_async.tus.driver import Driver, Send
from livepeer_async.tus.limits import ServerLimits, for_stream
from livepeer_async.tus.metadata import MetadataValue
from livepeer_async.tus.states import LEGAL, Command
from livepeer_async.tus.upload import TusUpload
from livepeer_async.uploads.blocks import Digest
from livepeer_async.uploads.retry import RetryPolicy
from livepeer_async.uploads.source import Source, check_length
from livepeer_async.uploads.upload import Upload, UploadResult
from livepeer_async.uploads.verify import Verified, verify_asset
from livepeer_async.waiting import Waiter, Watch

# After its last 204 Studio took 10 to 45 ms to leave `uploading`: a look before that is wasted.
FIRST_LOOK_AFTER = 0.05
# An asset that stays much longer has lost the end of the upload; an empty PATCH makes the server
# look again.
NUDGE_AFTER = 10.0
LEAVE_TIMEOUT = 60.0
# Cleaning up after a failure must not outlast the patience of one who waits for it.
DISCARD_TIMEOUT = 15.0
CANCELLED_TIMEOUT = 1.5
# The name travels in the asset; in Upload-Metadata, which nobody reads, this much is enough.
LONGEST_FILENAME = 255


class Engine:
    """Carries uploads of one client.

    Args:
        caller: sends the API's calls.
        waiter: waits for assets.
        send: carries tus requests; never sees the API key.
        retry: how many setbacks are borne.
        limits_for: gives the server's limits for an upload of so many bytes.
    """

    def __init__(
        self,
        caller: Caller,
        waiter: Waiter,
        send: Send,
        *,
        retry: RetryPolicy,
        limits_for: Callable[[int], ServerLimits],
    ) -> None:
        self._caller = caller
        self._waiter = waiter
        self._send = send
        self._retry = retry
        self._limits_for = limits_for

    async def run(self, upload: Upload, source: Source, new_asset: NewAsset) -> None:
        """Take an upload to its end; `upload.result` says how it went.

        Raises:
            LivepeerError: the one thing that ended it.
        """
        started = time.monotonic()
        digest = Digest() if upload.options.verify == "hash" else None
        try:
            watch = await self._transfer(upload, source, new_asset, digest)
            sha256 = await digest.finish(source) if digest else None
            verified = await self._finish(upload, watch, new_asset, sha256)
        finally:
            upload.close()
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

    async def _finish(
        self, upload: Upload, watch: Watch, new_asset: NewAsset, sha256: str | None
    ) -> Verified | None:
        """Wait until the asset is ready and compare it, as far as the options want it."""
        if not upload.options.wait:
            return None
        asset = await self._waiter.until(
            watch, is_ready, timeout=upload.options.ready_timeout, on_change=upload.saw
        )
        if upload.options.verify is None:
            return None
        return verify_asset(
            asset,
            length=upload.length,
            sha256=sha256,
            is_encrypted=new_asset.encryption is not UNSET,
        )

    async def _transfer(
        self, upload: Upload, source: Source, new_asset: NewAsset, digest: Digest | None
    ) -> Watch:
        """Bring the bytes over, on a new ticket where the upload URL was lost."""
        while True:
            driver = await self._begin(upload, source, new_asset, digest)
            try:
                upload.has_begun.set()
                upload.saw(upload.asset)
                await driver.run()
                watch = await self._leave_uploading(upload, driver)
                await source.check()
            except (TusError, SourceError) as error:
                is_lost = await self._give_up(error, driver, upload)
                if not is_lost or source.is_stream or upload.attempts > self._retry.restarts:
                    raise
            except BaseException:
                # Cancelled, or the caller's own code failed: what can be resumed stays.
                if driver.upload.upload_url is None:
                    await self._discard(driver, upload.asset.id, within=CANCELLED_TIMEOUT)
                raise
            else:
                return watch

    async def _give_up(self, error: TusError | SourceError, driver: Driver, upload: Upload) -> bool:
        """Discard what can't be resumed; say whether only the upload URL was lost."""
        if isinstance(error, TusError):
            error.asset_id = upload.asset.id
            if error.upload_url is not None and not isinstance(error, UploadGone):
                return False
        await self._discard(driver, upload.asset.id)
        return isinstance(error, UploadGone)

    async def _begin(
        self, upload: Upload, source: Source, new_asset: NewAsset, digest: Digest | None
    ) -> Driver:
        limits = self._limits_for(source.length)
        check_length(source.name, source.length, limits.max_length)
        if source.is_stream:
            limits = for_stream(limits)
        ticket = await self._request_upload(new_asset)
        tus = TusUpload(
            endpoint=ticket.tus_endpoint,
            length=source.length,
            limits=limits,
            metadata=_metadata(source.name),
        )
        upload.begin(ticket.asset, tus)
        return Driver(
            tus,
            source,
            self._send,
            retry=self._retry,
            on_sent=upload.sent,
            on_setback=upload.set_back,
            digest=digest,
        )

    async def _request_upload(self, new_asset: NewAsset) -> UploadTicket:
        """Ask for an upload; cancelled, wait a moment for the answer and give the asset back."""
        account, perform = self._caller.account, self._caller.perform
        tickets: list[UploadTicket] = []
        answered = anyio.Event()
        # Shielded: an asset whose ticket nobody has read could be found by nobody.
        asking = anyio.CancelScope(shield=True)

        async def ask() -> None:
            with asking:
                tickets.append(await perform(calls.request_upload(account, new_asset)))
                answered.set()
                if asking.deadline < inf:
                    await perform(calls.delete_asset(account, tickets[0].asset.id))

        async with plain_task_group() as tasks:
            tasks.start_soon(ask)
            try:
                await answered.wait()
            except anyio.get_cancelled_exc_class():
                asking.deadline = anyio.current_time() + CANCELLED_TIMEOUT
                raise
        return tickets[0]

    async def _leave_uploading(self, upload: Upload, driver: Driver) -> Watch:
        """Believe neither 204 nor HEAD: the asset must leave `uploading`."""
        watch = Watch(upload.asset.id)
        await anyio.sleep(FIRST_LOOK_AFTER)
        wait = partial(self._waiter.until, watch, has_left_uploading, on_change=upload.saw)
        try:
            await wait(timeout=NUDGE_AFTER)
        except AssetTimeout:
            await driver.nudge()
            try:
                await wait(timeout=LEAVE_TIMEOUT)
            except AssetTimeout as error:
                raise UploadGone(
                    f"the server has taken all {upload.length} bytes, yet asset "
                    f"{upload.asset.id} is still uploading after {LEAVE_TIMEOUT:.0f} s"
                ) from error
        return watch

    async def _discard(
        self, driver: Driver, asset_id: str, *, within: float = DISCARD_TIMEOUT
    ) -> None:
        """Throw away what can't be used any more; what fails here must not hide the reason."""
        # Shielded: the caller may be cancelled, and nobody else knows of this asset.
        with anyio.move_on_after(within, shield=True):
            if Command.TERMINATE in LEGAL[driver.upload.state] and not driver.upload.is_over:
                with suppress(LivepeerError):
                    await driver.terminate()
            with suppress(LivepeerError):
                await self._caller.perform(calls.delete_asset(self._caller.account, asset_id))


def _metadata(name: str) -> dict[str, MetadataValue]:
    filename = name.encode()[:LONGEST_FILENAME].decode("utf-8", "ignore")
    kind = mimetypes.guess_type(filename)[0]
    metadata: dict[str, MetadataValue] = {"filename": filename}
    if kind:
        metadata["filetype"] = kind
    return metadata
