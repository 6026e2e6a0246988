"""Waits until the server has completed an upload: until its asset has left `uploading`.

Neither a 204 nor a HEAD proves that, nor the 200 to a direct upload.
"""

from __future__ import annotations

from functools import partial

from livepeer_async.concurrency import Clock
from livepeer_async.errors import AssetFailed, AssetTimeout, UploadGone
from livepeer_async.http.observers import Watch
from livepeer_async.polling.phases import has_left_uploading
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.telemetry.spans import start_wait_span
from livepeer_async.tus.driver import Driver
from livepeer_async.tus.states import State
from livepeer_async.uploads.upload import Upload

# Studio left `uploading` 10 to 71 ms after its last response: a poll before that is wasted.
FIRST_POLL_DELAY = 0.05
# The server has then missed the end of the upload. An empty PATCH makes it check again.
FINALIZE_AFTER = 10.0
LEAVE_TIMEOUT = 60.0


async def leave_uploading(
    waiter: Waiter, upload: Upload, driver: Driver | None, *, clock: Clock
) -> WatchedAsset:
    """Wait until the asset has left `uploading`.

    Args:
        waiter: waits for assets.
        upload: the upload, all bytes of which were sent.
        driver: of its tus upload; None for a direct one.
        clock: time.

    Raises:
        UploadGone: the server doesn't complete the upload.
        LivepeerError: the asset failed, or the server can't be polled.
    """
    watched = WatchedAsset(upload.asset.id, upload.asset)
    reason = "the server hasn't completed the upload"
    with Watch(reason), start_wait_span(watched.asset_id, "uploaded"):
        await clock.sleep(FIRST_POLL_DELAY)
        await _await_leaving(waiter, upload, watched, driver)
    return watched


async def _await_leaving(
    waiter: Waiter, upload: Upload, watched: WatchedAsset, driver: Driver | None
) -> None:
    wait = partial(waiter.wait_until, watched, has_left_uploading, on_change=upload.update_asset)
    try:
        await wait(timeout=FINALIZE_AFTER)
    except AssetFailed as error:
        if not upload.options.may_reprocess(error):
            raise
    except AssetTimeout:
        # The upload of an earlier process may have stored a part twice: don't complete it.
        if driver and driver.has_sent and driver.upload.state is State.COMPLETE:
            await driver.finalize()
        try:
            await wait(timeout=LEAVE_TIMEOUT)
        except AssetTimeout as error:
            raise UploadGone(
                f"the server has all {upload.length} bytes, but asset {upload.asset.id} is "
                f"still uploading after {LEAVE_TIMEOUT:.0f} s"
            ) from error
