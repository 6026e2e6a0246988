"""Waits for assets to become ready.

There is no background task. One waiting task holds a lock and polls for all; when its own wait
ends, another takes over.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, cast

import anyio
from msgspec import Struct

from livepeer_async.api.session import Session
from livepeer_async.concurrency import Clock, LoopLocal
from livepeer_async.errors import AssetDeleted, AssetFailed, ClientClosed, LivepeerError
from livepeer_async.http.observers import replace_observers
from livepeer_async.models import Asset, AssetPhase, AssetStatus
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.poller import AssetPoller, Subscription
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.redaction import redacted

MAX_REQUESTS_PER_SECOND = 2
# Retried assets to remember, for keys without access to tasks; about 300 bytes each.
MAX_RETRIED = 10_000

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # The types of a result that may have failed. `Any` stands for the None of a failed one, which
    # type checkers can't rule out in `result.error or result.asset.playback_id`.
    AssetT_co = TypeVar("AssetT_co", covariant=True, default=Asset | Any)
    ErrorT_co = TypeVar("ErrorT_co", covariant=True, default=LivepeerError | None)
else:
    from typing import TypeVar

    AssetT_co, ErrorT_co = TypeVar("AssetT_co"), TypeVar("ErrorT_co")


@redacted()
class WaitResult(Struct, Generic[AssetT_co, ErrorT_co], frozen=True):
    """The result of one wait: `asset` is the ready asset, or else None and `error` is set.

    Type checkers know that `asset` is an `Asset` if `error is None`.
    """

    asset_id: str
    asset: AssetT_co
    error: ErrorT_co

    def unwrap(self) -> Asset:
        """Return the ready asset.

        Raises:
            LivepeerError: the wait failed; this is `error`.
        """
        return unwrap(self.asset, self.error)


# What type checkers know of a result: either an asset or an error.
WaitOutcome = WaitResult[Asset, None] | WaitResult[Any, LivepeerError]


def unwrap(asset: object, error: object) -> Asset:
    """Return the asset of a result, or raise its error."""
    if isinstance(error, LivepeerError):
        raise error
    return cast("Asset", asset)


class _Polling:
    """The waits in one event loop.

    Args:
        poller: polls for them.

    Attributes:
        poller: as passed.
        waiting: the subscriptions whose tasks wait.
        lock: held by the leader, the task that polls for all.
        sleeping: scope of the leader's sleep.
    """

    def __init__(self, poller: AssetPoller) -> None:
        self.poller = poller
        self.waiting: set[Subscription] = set()
        self.lock = anyio.Lock()
        self.sleeping: anyio.CancelScope | None = None


class Waiter:
    """Waits for assets of one account; a client has one.

    Each event loop polls for its own waits.

    Args:
        session: sends the calls.
        clock: time and jitter.
        max_per_second: limit for the requests of all waits in any second.
    """

    def __init__(
        self,
        session: Session,
        *,
        clock: Clock | None = None,
        max_per_second: int = MAX_REQUESTS_PER_SECOND,
    ) -> None:
        self._clock = clock = clock or Clock()
        self._retried: dict[str, AssetStatus] = {}

        def create() -> _Polling:
            poller = AssetPoller(session, clock=clock, max_per_second=max_per_second)
            return _Polling(poller)

        self._loops = LoopLocal(create)

    @property
    def _poller(self) -> AssetPoller:
        return self._loops.get().poller

    async def wait_until(
        self,
        watched: WatchedAsset,
        is_reached: Callable[[Asset], bool],
        *,
        timeout: float,
        on_change: Callable[[Asset], None] | None = None,
    ) -> Asset:
        """Wait until a condition on an asset is true.

        Args:
            watched: the asset; a result of an earlier wait is used first.
            is_reached: the condition.
            timeout: seconds.
            on_change: called with the asset after each change.

        Raises:
            AssetFailed: the server failed to process the asset.
            AssetDeleted: the asset was deleted.
            AssetTimeout: the timeout expired.
            LivepeerError: the server couldn't be polled within the retry policy.
        """
        watched.restart(self._clock.now(), timeout, self._clock.random())
        watched.retried = self._retried.get(watched.asset_id)
        subscription = Subscription([watched], is_reached)
        if watched.asset is not None and subscription.is_reached(watched):
            return watched.asset
        self._subscribe(subscription)
        try:
            has_ended = await self._next_ended(subscription, on_change) is not None
        finally:
            self._poller.remove(subscription, watched)
        if watched.failure is not None:
            raise watched.failure
        if has_ended and watched.asset is not None:
            return watched.asset
        raise watched.timeout_error(self._clock.now()) from self._poller.last_error

    async def wait_each(
        self,
        asset_ids: Iterable[str],
        *,
        timeout: float,
        on_change: Callable[[Asset], None] | None = None,
    ) -> AsyncGenerator[WaitOutcome, None]:
        """Wait until each asset is ready or has failed; yield results in completion order."""
        now = self._clock.now()
        watched_assets = [WatchedAsset(asset_id) for asset_id in dict.fromkeys(asset_ids)]
        for watched in watched_assets:
            watched.restart(now, timeout, self._clock.random())
            watched.retried = self._retried.get(watched.asset_id)
        subscription = Subscription(watched_assets, is_ready)
        self._subscribe(subscription)
        try:
            while subscription.watched_assets:
                yield await self._next_result(subscription, on_change)
        finally:
            self._poller.remove(subscription, *subscription.watched_assets)

    async def has_failed(self, asset: Asset) -> bool:
        """Whether an asset has failed or was deleted, and isn't being processed again.

        Raises:
            LivepeerError: it can't be polled.
        """
        if asset.phase != AssetPhase.FAILED:
            return False
        watched = WatchedAsset(asset.id, asset)
        try:
            await self.wait_until(watched, lambda _: True, timeout=READY_TIMEOUT)
        except (AssetFailed, AssetDeleted):
            return True
        return False

    def note_retry(self, failed: Asset) -> None:
        """Record that a failed asset is processed again, for the waits for it.

        An API key may have no access to tasks, which show it.
        """
        if failed.status is not None:
            self._retried.pop(failed.id, None)
            self._retried[failed.id] = failed.status
        if len(self._retried) > MAX_RETRIED:
            self._retried.pop(next(iter(self._retried)), None)

    async def throttle(self) -> None:
        """Wait until the waits' rate limit allows another request, and count it."""
        await self._poller.throttle()

    def close(self) -> None:
        """End all waits with a `ClientClosed`, because the client is closed."""
        error = ClientClosed("the client was closed during a wait for assets")
        self._poller.fail_all(error)

    async def _next_result(
        self, subscription: Subscription, on_change: Callable[[Asset], None] | None
    ) -> WaitOutcome:
        watched = await self._next_ended(subscription, on_change)
        error = watched.failure if watched else None
        if watched is None:
            watched = next(iter(subscription.watched_assets))
            error = watched.timeout_error(self._clock.now())
            error.__cause__ = self._poller.last_error
        self._poller.remove(subscription, watched)
        if error is None and watched.asset is not None:
            return WaitResult(watched.asset_id, watched.asset, None)
        return WaitResult(watched.asset_id, None, cast("LivepeerError", error))

    async def _next_ended(
        self, subscription: Subscription, on_change: Callable[[Asset], None] | None
    ) -> WatchedAsset | None:
        """Wait until the wait for one asset ends; return `None` on timeout."""
        while (watched := await self._next_update(subscription)) is not None:
            if on_change is not None and watched.asset is not None:
                on_change(watched.asset)
            if subscription.has_ended(watched):
                return watched
        return None

    async def _next_update(self, subscription: Subscription) -> WatchedAsset | None:
        """Wait until one asset has an update; return `None` on timeout."""
        waiting = self._loops.get().waiting
        waiting.add(subscription)
        try:
            while not subscription.updated and self._clock.now() < subscription.deadline:
                # Ends the wait even if a request hangs.
                seconds = subscription.deadline - self._clock.now()
                with anyio.move_on_after(seconds) as subscription.scope:
                    await self._poll_for_all(subscription)
        finally:
            waiting.remove(subscription)
        if not subscription.updated:
            return None
        watched = next(iter(subscription.updated))
        del subscription.updated[watched]
        return watched

    async def _poll_for_all(self, subscription: Subscription) -> None:
        """Poll for all subscriptions until this one has an update; one task does at a time."""
        polling = self._loops.get()
        async with polling.lock:
            while not subscription.updated and self._clock.now() < subscription.deadline:
                await self._step(polling)

    async def _step(self, polling: _Polling) -> None:
        """Poll if a poll is due, or else sleep until there is something to do."""
        now = self._clock.now()
        for other in polling.waiting:
            if other.deadline <= now:
                other.scope.cancel()
        due, watched = polling.poller.next_poll(now)
        if due <= now:
            with replace_observers(polling.poller.report):
                await polling.poller.poll(watched)
            return
        wake_at = min(due, *(waiting.deadline for waiting in polling.waiting))
        with anyio.CancelScope() as polling.sleeping:
            await polling.poller.sleep(wake_at - now)

    def _subscribe(self, subscription: Subscription) -> None:
        self._poller.add(subscription)
        # A poll of the new assets may be due before the leader would wake up.
        sleeping = self._loops.get().sleeping
        if sleeping is not None:
            sleeping.cancel()
