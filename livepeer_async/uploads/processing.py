"""Waits until an asset is ready, and has a failed one processed again if that may help.

Reprocessing needs no second upload.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import anyio

from livepeer_async.api.calls import REFUSALS
from livepeer_async.api.requests import retry_asset
from livepeer_async.api.session import Session
from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    AmbiguousRequest,
    ApiError,
    AssetFailed,
    AssetTimeout,
    BadRequest,
    ServerError,
)
from livepeer_async.http.observers import report_event
from livepeer_async.http.retry import RetryEvent, backoff
from livepeer_async.models import Asset
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.telemetry.events import PROCESSING_RETRY, log_event
from livepeer_async.uploads.options import UploadOptions

# By default, an asset is reprocessed 4 s after its first failure, and 32 s after its second.
DELAY_GROWTH = 8


class Processing:
    """Waits for the server's processing of assets.

    Args:
        session: sends API calls.
        waiter: waits for assets; also an attribute.
        clock: time.
    """

    def __init__(self, session: Session, waiter: Waiter, clock: Clock | None = None) -> None:
        self._session = session
        self.waiter = waiter
        self._clock = clock or Clock()

    async def wait_until_ready(
        self,
        watched: WatchedAsset,
        options: UploadOptions,
        *,
        on_change: Callable[[Asset], None],
    ) -> Asset:
        """Wait until an asset is ready.

        Args:
            watched: the asset.
            options: how long to wait, reprocessing included, and how often to reprocess.
            on_change: called with each change of the asset.

        Raises:
            AssetError: it doesn't become ready.
            LivepeerError: the server can't be polled for longer than the retry policy allows.
        """
        deadline, failures = time.monotonic() + options.ready_timeout, 0
        failure: AssetFailed | None = None
        while True:
            remaining = deadline - time.monotonic()
            try:
                return await self.waiter.wait_until(
                    watched, is_ready, timeout=remaining, on_change=on_change
                )
            except AssetTimeout as error:
                if failure is None:
                    raise
                raise failure from error
            except AssetFailed as error:
                failure = error
                failures += 1
                if not error.is_retryable or failures > options.reprocess:
                    raise
                retry_event = self._next_retry(error, failures, options.reprocess)
                log_event(PROCESSING_RETRY, "%s", retry_event, **retry_event.facts)
                report_event(retry_event)
                with anyio.move_on_after(deadline - time.monotonic()) as scope:
                    await self._clock.sleep(retry_event.delay)
                    refusal = await self._reprocess(watched)
                    if refusal is not None:
                        raise error from refusal
                if scope.cancelled_caught or deadline <= time.monotonic():
                    raise
            report_event(None)
            watched = WatchedAsset(watched.asset_id)

    def _next_retry(self, error: AssetFailed, failures: int, attempts: int) -> RetryEvent:
        retry, growth = self._session.retry, DELAY_GROWTH
        first = retry.first_delay * growth
        delay = backoff(failures, first_delay=first, max_delay=retry.max_delay, growth=growth)
        reason = f"the server failed: {error.error_message}"
        return RetryEvent(reason=reason, attempt=failures, attempts=attempts, delay=delay)

    async def _reprocess(self, watched: WatchedAsset) -> ApiError | None:
        """Have the server run the task of a failed asset again; return the refusal of the key."""
        await self.waiter.throttle()
        try:
            # The request may have had its effect, or another client may have sent one: the next
            # wait looks at the task.
            with suppress(AmbiguousRequest, BadRequest, ServerError):
                await self._session.send(retry_asset(self._session.account, watched.asset_id))
        except REFUSALS as error:
            return error
        if watched.asset is not None:
            self.waiter.note_retry(watched.asset)
        return None
