"""Waits until an asset is ready, and has a failed one processed again where that may help.

In comes the watch of an asset; out comes the asset, ready, or the error that it ended with. A
second run on the server needs no second upload. While it runs the asset stays `failed`, with the
old sentence: only its task says how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import anyio

from livepeer_async.api import requests
from livepeer_async.api.session import Session
from livepeer_async.errors import (
    AmbiguousRequest,
    ApiError,
    AssetError,
    AssetFailed,
    BadRequest,
    DecodeError,
    NetworkError,
    NotFound,
    ServerError,
)
from livepeer_async.http.retry import RetryEvent
from livepeer_async.models import Asset, AssetPhase, Task, TaskPhase
from livepeer_async.polling.intervals import next_poll_delay
from livepeer_async.polling.phases import failure_of, is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.uploads.options import UploadOptions

# What failed on the server a moment ago is asked for again after 4 s, then 32 s, by default.
PAUSE_GROWTH = 8
# The task ends a moment before its asset does.
LOOKS_AFTER_TASK = 5
_OVER = frozenset({TaskPhase.COMPLETED, TaskPhase.FAILED, "cancelled"})


def check_failure(asset: Asset, options: UploadOptions) -> None:
    """Let an asset pass that is ready, or may still become so.

    Raises:
        AssetError: it has ended, and a second run isn't wanted or wouldn't help.
    """
    end = failure_of(asset)
    if end is not None and not may_help(end, options):
        raise end


def may_help(error: AssetError | None, options: UploadOptions) -> bool:
    """Whether a second run is wanted for an asset that ended so, and may help."""
    is_wanted = options.wait and options.reprocess > 0
    return is_wanted and isinstance(error, AssetFailed) and error.is_retryable


class Processing:
    """Waits for the server's work on assets of one client.

    Args:
        session: sends the API's calls.
        waiter: waits for assets.
    """

    def __init__(self, session: Session, waiter: Waiter) -> None:
        self._session = session
        self._waiter = waiter

    async def wait_until_ready(
        self,
        watch: WatchedAsset,
        options: UploadOptions,
        *,
        on_change: Callable[[Asset], None],
        on_retry: Callable[[RetryEvent], None],
    ) -> Asset:
        """Wait until an asset is ready.

        Args:
            watch: of the asset.
            options: how long to wait, second runs included, and how many of these to ask for.
            on_change: called with the asset each time that it changed.
            on_retry: called when a second run is about to be asked for.

        Raises:
            AssetError: it doesn't become so.
            LivepeerError: the server can't be asked, for longer than the retry policy allows.
        """
        deadline, failures = time.monotonic() + options.ready_timeout, 0
        while True:
            left = deadline - time.monotonic()
            try:
                return await self._waiter.wait_until(
                    watch, is_ready, timeout=left, on_change=on_change
                )
            except AssetFailed as error:
                failures += 1
                if not error.is_retryable or failures > options.reprocess:
                    raise
                retry_event = self._report_retry(error, failures, options.reprocess)
                on_retry(retry_event)
                with anyio.move_on_after(deadline - time.monotonic()) as scope:
                    await anyio.sleep(retry_event.delay)
                    await self._run_again(watch.asset_id)
                if scope.cancelled_caught or deadline <= time.monotonic():
                    raise
            watch = WatchedAsset(watch.asset_id)

    def _report_retry(self, error: AssetFailed, failures: int, most: int) -> RetryEvent:
        retry = self._session.retry
        delay = min(retry.max_delay, retry.first_delay * PAUSE_GROWTH**failures)
        reason = f"the server failed: {error.error_message}"
        return RetryEvent(reason=reason, attempt=failures, attempts=most, delay=delay)

    async def _run_again(self, asset_id: str) -> None:
        """Have the server run the task of a failed asset again, and wait for its end."""
        account = self._session.account
        await self._waiter.throttle()
        # It may have been carried out, or somebody else has asked for it: the task knows.
        with suppress(AmbiguousRequest, BadRequest, ServerError):
            await self._session.send(requests.retry_asset(account, asset_id))
        query = {"filters": {"outputAssetId": asset_id}, "order": "createdAt-true", "limit": 1}
        await self._waiter.throttle()
        page = await self._session.send(requests.list_tasks(account, **query))
        for task in page.items:
            with suppress(NotFound):
                await self._follow(task)
        for look in range(LOOKS_AFTER_TASK):
            await self._waiter.throttle()
            asset = await self._session.send(requests.get_asset(account, asset_id))
            if asset.phase != AssetPhase.FAILED:
                return
            await anyio.sleep(look / LOOKS_AFTER_TASK)

    async def _follow(self, task: Task) -> None:
        started = time.monotonic()
        failures = 0
        while task.phase not in _OVER:
            age = time.monotonic() - started
            progress = task.status.progress if task.status else None
            await anyio.sleep(next_poll_delay(age=age, progress=progress, jitter=0.5))
            await self._waiter.throttle()
            try:
                task = await self._session.send_once(
                    requests.get_task(self._session.account, task.id)
                )
                failures = 0
            except (ApiError, NetworkError, DecodeError) as error:
                failures += 1
                await self._session.back_off(error, failures)
