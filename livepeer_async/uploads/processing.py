"""Waits until an asset is ready, and has a failed one processed again if that may help.

Reprocessing needs no second upload. Meanwhile the asset stays `failed` with its old error message,
and only its task shows the progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import anyio

from livepeer_async.api import requests
from livepeer_async.api.calls import REFUSALS
from livepeer_async.api.session import Session
from livepeer_async.errors import (
    AmbiguousRequest,
    ApiError,
    AssetFailed,
    BadRequest,
    DecodeError,
    NetworkError,
    NotFound,
    ServerError,
)
from livepeer_async.http.observers import report_event
from livepeer_async.http.retry import RetryEvent, backoff
from livepeer_async.models import Asset, AssetPhase, Task, TaskPhase
from livepeer_async.polling.intervals import next_poll_delay
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.uploads.options import UploadOptions

# By default, an asset is reprocessed 4 s after its first failure, and 32 s after its second.
DELAY_GROWTH = 8
# The task ends a moment before its asset changes.
POLLS_AFTER_TASK = 5
_ENDED = frozenset({TaskPhase.COMPLETED, TaskPhase.FAILED, "cancelled"})


class Processing:
    """Waits for the server's processing of assets.

    Args:
        session: sends API calls.
        waiter: waits for assets.
    """

    def __init__(self, session: Session, waiter: Waiter) -> None:
        self._session = session
        self._waiter = waiter

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
        while True:
            remaining = deadline - time.monotonic()
            try:
                return await self._waiter.wait_until(
                    watched, is_ready, timeout=remaining, on_change=on_change
                )
            except AssetFailed as error:
                failures += 1
                if not error.is_retryable or failures > options.reprocess:
                    raise
                retry_event = self._next_retry(error, failures, options.reprocess)
                report_event(retry_event)
                with anyio.move_on_after(deadline - time.monotonic()) as scope:
                    await anyio.sleep(retry_event.delay)
                    if not await self._reprocess(watched):
                        raise
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

    async def _reprocess(self, watched: WatchedAsset) -> bool:
        """Have the server run the task of a failed asset again, and wait for its end.

        Returns:
            Whether it was run; a restricted key may be refused.
        """
        account, asset_id = self._session.account, watched.asset_id
        await self._waiter.throttle()
        try:
            # The request may have had its effect, or another client has sent one: see the task.
            with suppress(AmbiguousRequest, BadRequest, ServerError):
                await self._session.send(requests.retry_asset(account, asset_id))
        except REFUSALS:
            return False
        try:
            await self._wait_for_latest_task(asset_id)
        except REFUSALS:
            await self._wait_for_change(watched.asset)
        for poll in range(POLLS_AFTER_TASK):
            await self._waiter.throttle()
            asset = await self._session.send(requests.get_asset(account, asset_id))
            if asset.phase != AssetPhase.FAILED:
                break
            await anyio.sleep(poll / POLLS_AFTER_TASK)
        return True

    async def _wait_for_latest_task(self, asset_id: str) -> None:
        query = {"filters": {"outputAssetId": asset_id}, "order": "createdAt-true", "limit": 1}
        await self._waiter.throttle()
        page = await self._session.send(requests.list_tasks(self._session.account, **query))
        for task in page.items:
            with suppress(NotFound):
                await self._wait_for_task(task)

    async def _wait_for_change(self, failed: Asset | None) -> None:
        """Wait until a failed asset changes, because a restricted key can't look at its task."""
        started, asset = time.monotonic(), failed
        while asset is not None and failed is not None and asset.status == failed.status:
            age = time.monotonic() - started
            await anyio.sleep(next_poll_delay(age=age, progress=None, jitter=0.5))
            await self._waiter.throttle()
            asset = await self._session.send(requests.get_asset(self._session.account, asset.id))

    async def _wait_for_task(self, task: Task) -> None:
        call = requests.get_task(self._session.account, task.id)
        started, failures = time.monotonic(), 0
        while task.phase not in _ENDED:
            age = time.monotonic() - started
            progress = task.status.progress if task.status else None
            await anyio.sleep(next_poll_delay(age=age, progress=progress, jitter=0.5))
            await self._waiter.throttle()
            try:
                task = await self._session.send_once(call)
                failures = 0
            except (ApiError, NetworkError, DecodeError) as error:
                failures += 1
                await self._session.back_off(error, failures)
