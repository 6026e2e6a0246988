"""Waits for assets until they are ready or have failed.

All waits through one `Waiter` share one polling loop.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import anyio
from msgspec import Struct

from livepeer_async.api.session import Session
from livepeer_async.errors import LivepeerError
from livepeer_async.models import Asset
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.poller import MAX_REQUESTS_PER_SECOND, AssetPoller, Subscription
from livepeer_async.polling.watched_asset import WatchedAsset


class WaitResult(Struct, frozen=True):
    """How the waiting for one asset ended: either `asset` or `error` is there."""

    asset_id: str
    asset: Asset | None
    error: LivepeerError | None


class Waiter:
    """Waits in the name of an account; one serves all of a client.

    Args:
        session: sends the calls.
        sleep: waits so many seconds.
        clock: gives seconds that only grow.
        jitter: gives a random number in 0..1.
        most_a_second: requests that all waits together make in any second.
    """

    def __init__(
        self,
        session: Session,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        most_a_second: int = MAX_REQUESTS_PER_SECOND,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._poller = AssetPoller(
            session, sleep=sleep, clock=clock, jitter=jitter, most_a_second=most_a_second
        )

    async def wait_until(
        self,
        watch: WatchedAsset,
        is_reached: Callable[[Asset], bool],
        *,
        timeout: float,
        on_change: Callable[[Asset], None] | None = None,
    ) -> Asset:
        """Look until `is_reached` holds; what was seen in an earlier wait isn't asked for again.

        Raises:
            AssetFailed: the server couldn't make it ready.
            AssetDeleted: it was deleted meanwhile.
            AssetTimeout: neither came in time.
            LivepeerError: the server can't be asked, for longer than the retry policy allows.
        """
        watch.restart(self._clock(), timeout, self._jitter())
        if watch.asset is not None and is_reached(watch.asset):
            return watch.asset
        subscription = self._poller.subscribe([watch], is_reached)
        try:
            while await self._poller.next_update(subscription) is not None:
                if on_change is not None and watch.asset is not None:
                    on_change(watch.asset)
                if watch.failure is not None:
                    raise watch.failure
                if watch.asset is not None and is_reached(watch.asset):
                    return watch.asset
        finally:
            self._poller.unsubscribe(subscription)
        raise watch.timeout_error(self._clock()) from self._poller.problem

    async def throttle(self) -> None:
        """Wait until a request that looks at something else may go, within as many a second."""
        await self._poller.throttle()

    def close(self) -> None:
        """End all waits with a `ConfigurationError`: the client is closed."""
        self._poller.close()

    async def wait_each(
        self,
        asset_ids: Iterable[str],
        *,
        timeout: float,
        on_change: Callable[[Asset], None] | None = None,
    ) -> AsyncIterator[WaitResult]:
        """Wait for many; each comes as soon as its end is known."""
        now = self._clock()
        watches = [WatchedAsset(asset_id) for asset_id in dict.fromkeys(asset_ids)]
        for watch in watches:
            watch.restart(now, timeout, self._jitter())
        subscription = self._poller.subscribe(watches, is_ready)
        try:
            while subscription.watches:
                yield await self._next_result(subscription, on_change or (lambda _: None))
        finally:
            self._poller.unsubscribe(subscription)

    async def _next_result(
        self, subscription: Subscription, tell: Callable[[Asset], None]
    ) -> WaitResult:
        """Wait until one of many has come to its end, and take it out."""
        while (watch := await self._poller.next_update(subscription)) is not None:
            if watch.asset is not None:
                tell(watch.asset)
            is_done = watch.asset is not None and is_ready(watch.asset)
            if not is_done and watch.failure is None:
                continue
            self._poller.remove(subscription, watch)
            return WaitResult(watch.asset_id, None if watch.failure else watch.asset, watch.failure)
        watch = next(iter(subscription.watches))
        self._poller.remove(subscription, watch)
        error = watch.timeout_error(self._clock())
        error.__cause__ = self._poller.problem
        return WaitResult(watch.asset_id, None, error)
