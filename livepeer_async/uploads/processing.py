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
from livepeer_async.api.session import Caller
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
from livepeer_async.http.retry import Setback
from livepeer_async.models import Asset, AssetPhase, Task, TaskPhase
from livepeer_async.polling.intervals import next_poll
from livepeer_async.polling.phases import end_of, is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import Watch
from livepeer_async.uploads.options import UploadOptions

# What failed on the server a moment ago is asked for again after 4 s, then 32 s, by default.
PAUSE_GROWTH = 8
# The task ends a moment before its asset does.
LOOKS_AFTER_TASK = 5
_OVER = frozenset({TaskPhase.COMPLETED, TaskPhase.FAILED, "cancelled"})


def check_outlook(asset: Asset, options: UploadOptions) -> None:
    """Let an asset pass that is ready, or may still become so.

    Raises:
        AssetError: it has ended, and a second run isn't wanted or wouldn't help.
    """
    end = end_of(asset)
    if end is not None and not may_help(end, options):
        raise end


def may_help(error: AssetError | None, options: UploadOptions) -> bool:
    """Whether a second run is wanted for an asset that ended so, and may help."""
    is_wanted = options.wait and options.reprocess > 0
    return is_wanted and isinstance(error, AssetFailed) and error.is_retryable


class Processing:
    """Waits for the server's work on assets of one client.

    Args:
        caller: sends the API's calls.
        waiter: waits for assets.
    """

    def __init__(self, caller: Caller, waiter: Waiter) -> None:
        self._caller = caller
        self._waiter = waiter

    async def until_ready(
        self,
        watch: Watch,
        options: UploadOptions,
        *,
        on_change: Callable[[Asset], None],
        on_setback: Callable[[Setback], None],
    ) -> Asset:
        """Wait until an asset is ready.

        Args:
            watch: of the asset.
            options: how long to wait, second runs included, and how many of these to ask for.
            on_change: called with the asset each time that it changed.
            on_setback: called when a second run is about to be asked for.

        Raises:
            AssetError: it doesn't become so.
            LivepeerError: the server can't be asked, for longer than the retry policy allows.
        """
        deadline, setbacks = time.monotonic() + options.ready_timeout, 0
        while True:
            left = deadline - time.monotonic()
            try:
                return await self._waiter.until(watch, is_ready, timeout=left, on_change=on_change)
            except AssetFailed as error:
                setbacks += 1
                if not error.is_retryable or setbacks > options.reprocess:
                    raise
                setback = self._set_back(error, setbacks, options.reprocess)
                on_setback(setback)
                with anyio.move_on_after(deadline - time.monotonic()) as scope:
                    await anyio.sleep(setback.delay)
                    await self._run_again(watch.asset_id)
                if scope.cancelled_caught or deadline <= time.monotonic():
                    raise
            watch = Watch(watch.asset_id)

    def _set_back(self, error: AssetFailed, setbacks: int, most: int) -> Setback:
        retry = self._caller.retry
        delay = min(retry.max_delay, retry.first_delay * PAUSE_GROWTH**setbacks)
        reason = f"the server failed: {error.error_message}"
        return Setback(reason=reason, attempt=setbacks, attempts=most, delay=delay)

    async def _run_again(self, asset_id: str) -> None:
        """Have the server run the task of a failed asset again, and wait for its end."""
        account = self._caller.account
        await self._waiter.turn()
        # It may have been carried out, or somebody else has asked for it: the task knows.
        with suppress(AmbiguousRequest, BadRequest, ServerError):
            await self._caller.perform(requests.retry_asset(account, asset_id))
        query = {"filters": {"outputAssetId": asset_id}, "order": "createdAt-true", "limit": 1}
        await self._waiter.turn()
        page = await self._caller.perform(requests.list_tasks(account, **query))
        for task in page.items:
            with suppress(NotFound):
                await self._follow(task)
        for look in range(LOOKS_AFTER_TASK):
            await self._waiter.turn()
            asset = await self._caller.perform(requests.get_asset(account, asset_id))
            if asset.phase != AssetPhase.FAILED:
                return
            await anyio.sleep(look / LOOKS_AFTER_TASK)

    async def _follow(self, task: Task) -> None:
        started = time.monotonic()
        setbacks = 0
        while task.phase not in _OVER:
            age = time.monotonic() - started
            progress = task.status.progress if task.status else None
            await anyio.sleep(next_poll(age=age, progress=progress, jitter=0.5))
            await self._waiter.turn()
            try:
                task = await self._caller.perform_once(
                    requests.get_task(self._caller.account, task.id)
                )
                setbacks = 0
            except (ApiError, NetworkError, DecodeError) as error:
                setbacks += 1
                await self._caller.back_off(error, setbacks)
