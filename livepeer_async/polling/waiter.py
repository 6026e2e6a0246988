"""Waits for assets to become ready.

There is no background task. One waiting task, the leader, polls for all; when its own wait ends,
another takes over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Generic, cast

import anyio
from msgspec import Struct

from livepeer_async.api.session import Session
from livepeer_async.concurrency import Clock, LoopLocal, running_loop
from livepeer_async.defaults import READY_TIMEOUT
from livepeer_async.errors import (
    AssetDeleted,
    AssetFailed,
    AssetTimeout,
    ClientClosed,
    ConfigurationError,
    LivepeerError,
)
from livepeer_async.http.observers import replace_observers
from livepeer_async.models import Asset, AssetPhase, AssetStatus
from livepeer_async.polling.noticing import Notice, asset_id_of, notice
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.poller import AssetPoller
from livepeer_async.polling.subscription import Subscription
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.redaction import redacted
from livepeer_async.telemetry.subjects import run_subject
from livepeer_async.webhooks.events import AssetEvent, TaskEvent, WebhookEvent

MAX_REQUESTS_PER_SECOND = 2
# Events are kept for waits that begin a moment later: an upload waits twice.
MAX_RECENT_EVENTS = 100
RECENT_SECONDS = 60.0
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
        waiting: the subscriptions whose tasks wait, in order.
        leader: the subscription whose task polls for all, if any does.
        recent: the last events, and when they were noticed.
    """

    def __init__(self, poller: AssetPoller, clock: Clock) -> None:
        self.poller = poller
        self.waiting: dict[Subscription, None] = {}
        self.leader: Subscription | None = None
        self.recent: deque[tuple[float, AssetEvent | TaskEvent]] = deque(maxlen=MAX_RECENT_EVENTS)
        self._clock = clock
        self._sleeping: anyio.CancelScope | None = None
        # When the leader wakes up.
        self._wake_at = -inf

    def notice(self, event: AssetEvent | TaskEvent) -> None:
        """Record an event of a webhook; call in this event loop."""
        self.recent.append((self._clock.now(), event))
        if self.poller.notice(event):
            self.wake()

    def catch_up(self, watched: WatchedAsset) -> bool:
        """Record recent events of an asset whose wait begins; return whether its state changed."""
        now = self._clock.now()
        events = [it for at, it in self.recent if now - at <= RECENT_SECONDS]
        of_asset = [it for it in events if asset_id_of(it) == watched.asset_id]
        results = [notice(watched, it, now) for it in of_asset]
        return Notice.CHANGE in results

    def wake(self) -> None:
        """Wake the leader: a request may be due before it would wake up."""
        if self._sleeping is not None:
            self._sleeping.cancel()

    def wake_for(self, subscription: Subscription) -> None:
        """Wake the leader if it would sleep too long for a new subscription."""
        if self._sleeping is None or not subscription.watched_assets:
            return
        due, _ = self.poller.next_poll(self._clock.now())
        if min(due, subscription.deadline) < self._wake_at:
            self.wake()

    async def sleep_until(self, wake_at: float) -> None:
        """Sleep until a request is due, at most until `wake` is called."""
        self._wake_at = wake_at
        try:
            with anyio.CancelScope() as self._sleeping:
                # The time may have come since it was computed, and anyio rejects a negative sleep.
                await self.poller.sleep(max(0.0, wake_at - self._clock.now()))
        finally:
            self._sleeping, self._wake_at = None, -inf

    def appoint_leader(self) -> None:
        """Wake the first task that sleeps if no task polls; it polls unless its wait has ended."""
        if self.leader is None:
            found = next((it for it in self.waiting if it.is_sleeping), None)
            if found is not None:
                found.wake()


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
            return _Polling(poller, clock)

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
            timeout: real seconds, even if the clock is faster.
            on_change: called with the asset after each change.

        Raises:
            AssetFailed: the server failed to process the asset.
            AssetDeleted: the asset was deleted.
            AssetTimeout: the timeout expired.
            LivepeerError: the server couldn't be polled within the retry policy.
        """
        watched.restart(self._clock.now(), timeout * self._clock.speed, self._clock.random())
        watched.retried = self._retried.get(watched.asset_id)
        subscription = Subscription([watched], is_reached)
        if watched.asset is not None:
            # An asset that isn't known is polled at once.
            if self._loops.get().catch_up(watched) and on_change is not None:
                on_change(watched.asset)
            if watched.failure is not None:
                raise watched.failure
            if subscription.is_reached(watched):
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
        raise self._timeout_error(watched) from self._poller.last_error

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
            watched.restart(now, timeout * self._clock.speed, self._clock.random())
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

    def notice(self, event: WebhookEvent) -> None:
        """Record an event of a webhook, for the waits in all event loops; callable in any thread.

        Events of other assets, old ones and repeated ones change nothing.

        Raises:
            ConfigurationError: it isn't an event.
        """
        if not isinstance(cast("object", event), WebhookEvent):
            raise ConfigurationError(
                f"the event is a {type(event).__name__}; wanted what webhooks.unwrap returns"
            )
        if not isinstance(event, AssetEvent | TaskEvent):
            return
        current = running_loop()
        if current is not None:
            # Keeps the event for waits that begin in a moment.
            self._loops.get()
        for loop, polling in self._loops.items():
            if loop is current:
                polling.notice(event)
            else:
                # A loop that is closed has no waits.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(polling.notice, event)

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
            error = self._timeout_error(watched)
            error.__cause__ = self._poller.last_error
        self._poller.remove(subscription, watched)
        if error is None and watched.asset is not None:
            return WaitResult(watched.asset_id, watched.asset, None)
        return WaitResult(watched.asset_id, None, cast("LivepeerError", error))

    def _timeout_error(self, watched: WatchedAsset) -> AssetTimeout:
        waited = (self._clock.now() - watched.started) / self._clock.speed
        return watched.timeout_error(watched.started + waited)

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
        polling = self._loops.get()
        polling.waiting[subscription] = None
        try:
            while self._is_pending(subscription):
                # Ends the wait even if a request hangs.
                seconds = subscription.deadline - self._clock.now()
                with anyio.move_on_after(seconds / self._clock.speed) as subscription.scope:
                    await self._wait_or_lead(polling, subscription)
        finally:
            del polling.waiting[subscription]
            polling.appoint_leader()
        if not subscription.updated:
            return None
        watched = next(iter(subscription.updated))
        del subscription.updated[watched]
        return watched

    def _is_pending(self, subscription: Subscription) -> bool:
        return not subscription.updated and self._clock.now() < subscription.deadline

    async def _wait_or_lead(self, polling: _Polling, subscription: Subscription) -> None:
        """Wait until a subscription has an update; poll for all if no other task does."""
        if polling.leader is not None:
            await subscription.sleep()
            return
        polling.leader = subscription
        try:
            with subscription.lead():
                while self._is_pending(subscription):
                    await self._step(polling)
        finally:
            polling.leader = None

    async def _step(self, polling: _Polling) -> None:
        """Poll if a poll is due, or else sleep until there is something to do."""
        now = self._clock.now()
        for other in polling.waiting:
            if other.deadline <= now:
                other.wake()
        due, watched = polling.poller.next_poll(now)
        if due <= now:
            with replace_observers(polling.poller.report), run_subject(None):
                await polling.poller.poll(watched)
            return
        wake_at = min(due, *(waiting.deadline for waiting in polling.waiting))
        await polling.sleep_until(wake_at)

    def _subscribe(self, subscription: Subscription) -> None:
        polling = self._loops.get()
        polling.poller.add(subscription)
        polling.wake_for(subscription)
