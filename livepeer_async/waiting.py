"""Waits for assets: looks at each when the polling plan says so, until its end is known.

In come asset IDs; out come ready assets or the errors that they ended with. A look that finds the
asset as it was costs the server a 304 and no body.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import anyio
from msgspec import Struct

from livepeer_async.api.caller import Caller
from livepeer_async.api.calls import Account, Call, Sighting, poll_asset
from livepeer_async.errors import (
    ApiError,
    AssetTimeout,
    LivepeerError,
    NetworkError,
    NotFound,
    ServerError,
    TooManyRequests,
)
from livepeer_async.models import Asset
from livepeer_async.polling import deleted, end_of, is_ready, next_poll
from livepeer_async.uploads.retry import next_delay

Perform = Callable[[Call[Sighting]], Awaitable[Sighting]]

# Long videos take hours to transcode; for ever is no answer.
READY_TIMEOUT = 6 * 3600.0


class WaitResult(Struct, frozen=True):
    """How the waiting for one asset ended: either `asset` or `error` is there."""

    asset_id: str
    asset: Asset | None
    error: LivepeerError | None


class Waiter:
    """Waits in the name of an account.

    Args:
        caller: sends the calls.
        sleep: waits so many seconds.
        clock: gives seconds that only grow.
        jitter: gives a random number in 0..1.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._caller = caller
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter

    async def until(
        self,
        watch: Watch,
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
        """
        watch.restart(self._clock(), timeout)
        while watch.asset is None or not is_reached(watch.asset):
            if watch.has_looked:
                await self._sleep(watch.delay(self._clock(), self._jitter()))
            changed, left = False, watch.seconds_left(self._clock())
            with anyio.move_on_after(left) as scope:
                changed = await watch.look(self._caller.perform, self._caller.account)
            if scope.cancelled_caught:
                raise watch.timeout_error(self._clock())
            if changed and on_change is not None and watch.asset is not None:
                on_change(watch.asset)
        return watch.asset

    async def each(self, asset_ids: Iterable[str], *, timeout: float) -> AsyncIterator[WaitResult]:
        """Wait for many with one request at a time; each comes as soon as its end is known."""
        now = self._clock()
        watches = [Watch(asset_id) for asset_id in dict.fromkeys(asset_ids)]
        for watch in watches:
            watch.restart(now, timeout)
        # The number between keeps watches that are due at the same time from being compared.
        due = [(now, number, watch) for number, watch in enumerate(watches)]
        while due:
            when, number, watch = heapq.heappop(due)
            await self._sleep(max(0.0, when - self._clock()))
            try:
                delay = await self._look_once(watch)
            except LivepeerError as error:
                yield WaitResult(watch.asset_id, None, error)
                continue
            if delay is None:
                yield WaitResult(watch.asset_id, watch.asset, None)
            else:
                heapq.heappush(due, (self._clock() + delay, number, watch))

    async def _look_once(self, watch: Watch) -> float | None:
        """Look without holding up the others; give the seconds until the next, `None` if ready."""
        try:
            await watch.look(self._caller.perform_once, self._caller.account)
        except (NetworkError, ServerError, TooManyRequests) as error:
            watch.setbacks += 1
            asked = error.retry_after if isinstance(error, ApiError) else None
            wait = next_delay(
                self._caller.retry,
                setbacks=watch.setbacks,
                jitter=self._jitter(),
                retry_after=asked,
            )
            if wait is None:
                raise
            left = watch.seconds_left(self._clock())
            if not left:
                raise watch.timeout_error(self._clock()) from error
            return min(wait, left)
        watch.setbacks = 0
        if watch.asset is not None and is_ready(watch.asset):
            return None
        return watch.delay(self._clock(), self._jitter())


class Watch:
    """What is known of one asset that is waited for.

    Attributes:
        asset: as it was last seen; `None` before the first look.
        has_looked: whether there was a look.
        setbacks: looks in a row that found nothing out.
    """

    def __init__(self, asset_id: str) -> None:
        self.asset_id = asset_id
        self.asset: Asset | None = None
        self.has_looked = False
        self.setbacks = 0
        self._started = 0.0
        self._timeout = 0.0
        self._etag: str | None = None

    def restart(self, now: float, timeout: float) -> None:
        """Begin to count the time anew."""
        self._started, self._timeout = now, timeout

    async def look(self, perform: Perform, account: Account) -> bool:
        """Look once; say whether anything changed, raise where no `ready` can come any more."""
        try:
            sighting = await perform(poll_asset(account, self.asset_id, self._etag))
        except NotFound as error:
            if not self.has_looked:
                raise
            raise deleted(self.asset_id) from error
        self._etag, self.has_looked = sighting.etag, True
        if sighting.asset is None:
            return False
        self.asset = sighting.asset
        if (end := end_of(self.asset)) is not None:
            raise end
        return True

    def seconds_left(self, now: float) -> float:
        """Give the seconds until the time-out, 0 once it is over."""
        return max(0.0, self._started + self._timeout - now)

    def delay(self, now: float, jitter: float) -> float:
        """Give the seconds until the next look; raise AssetTimeout where none is left."""
        left = self.seconds_left(now)
        if not left:
            raise self.timeout_error(now)
        progress = self.asset.status.progress if self.asset and self.asset.status else None
        return min(next_poll(age=now - self._started, progress=progress, jitter=jitter), left)

    def timeout_error(self, now: float) -> AssetTimeout:
        """Say that the asset isn't ready in time, and what its phase is."""
        phase = self.asset.phase if self.asset else "unknown"
        return AssetTimeout(
            f"asset {self.asset_id} isn't ready after {now - self._started:.0f} s: "
            f"its phase is {phase!r}",
            asset_id=self.asset_id,
        )
