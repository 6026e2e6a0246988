"""One polling loop for everything that a client waits for.

There is no background task. One waiting task acts as leader and polls for all; when its own wait
ends, another takes over. State only changes outside the single await of a step, so the leader can
be cancelled at any point.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from copy import copy
from http import HTTPStatus
from math import inf
from typing import TypeVar

import anyio

from livepeer_async.api.requests import Call, poll_asset
from livepeer_async.api.session import Session
from livepeer_async.errors import (
    ApiError,
    ConfigurationError,
    DecodeError,
    LivepeerError,
    NotAuthenticated,
    ServerError,
    is_transient,
)
from livepeer_async.http.retry import RetryEvent, next_delay
from livepeer_async.models import Asset
from livepeer_async.polling.change_scan import ChangeScan, SyncPoint, begin_scan
from livepeer_async.polling.intervals import (
    LONGEST_ROUND,
    SHORTEST_ROUND,
    next_list_delay,
    next_request_time,
)
from livepeer_async.polling.watched_asset import WatchedAsset

T = TypeVar("T")

MAX_REQUESTS_PER_SECOND = 2
# More can't be looked at singly within a second; one list tells of all.
MAX_SINGLE_POLLS = 2
# A list that fails so often has a row that can't be read or served; singly, the others can.
MAX_BAD_LISTS = 3
# Seconds without lists before the next is tried, doubled each time.
FIRST_WITHOUT_LISTS = 5.0
LONGEST_WITHOUT_LISTS = 300.0
SERVICE_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE

_log = logging.getLogger("livepeer_async")


class Subscription:
    """What one task waits for: the watches, those of them with news, and what wakes it."""

    __slots__ = ("deadline", "event", "is_reached", "updated", "watches")

    def __init__(
        self, watches: Iterable[WatchedAsset], is_reached: Callable[[Asset], bool]
    ) -> None:
        self.watches = dict.fromkeys(watches)
        self.is_reached = is_reached
        self.updated: dict[WatchedAsset, None] = {}
        self.event = anyio.Event()
        self.deadline = min((watch.deadline for watch in self.watches), default=inf)


class AssetPoller:
    """Looks at all assets that a client waits for; arguments as of `Waiter`."""

    def __init__(
        self,
        session: Session,
        *,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
        jitter: Callable[[], float],
        most_a_second: int,
    ) -> None:
        self._session = session
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._most_a_second = most_a_second
        self._sent: deque[float] = deque(maxlen=most_a_second)
        self._watches: dict[WatchedAsset, Subscription] = {}
        self._followers: dict[Subscription, None] = {}
        self._is_led = False
        self._nap: anyio.CancelScope | None = None
        self._joined_at = self._changed_at = 0.0
        self._no_lists_until, self._bad_lists = -inf, 0
        self._without_lists = FIRST_WITHOUT_LISTS
        self._failing: WatchedAsset | None = None
        self._scan: ChangeScan | None = None
        self._sync_point: SyncPoint | None = None
        self._listed_at, self._list_jitter = -inf, 0.5
        self._failures, self._paused_until = 0, -inf
        self.problem: LivepeerError | None = None

    def subscribe(
        self, watches: Iterable[WatchedAsset], is_reached: Callable[[Asset], bool]
    ) -> Subscription:
        """Begin to look at these until each is as wanted; `leave` must follow."""
        subscription = Subscription(watches, is_reached)
        for watch in subscription.watches:
            self._watches[watch] = subscription
        self._joined_at = self._clock()
        if self._nap is not None:
            # The newcomer may be due before the leader wanted to wake.
            self._nap.cancel()
        return subscription

    def remove(self, subscription: Subscription, watch: WatchedAsset) -> None:
        """Look no more at one of a party."""
        self._watches.pop(watch, None)
        subscription.watches.pop(watch, None)
        subscription.updated.pop(watch, None)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Look no more at any of a party."""
        for watch in list(subscription.watches):
            self.remove(subscription, watch)

    async def next_update(self, subscription: Subscription) -> WatchedAsset | None:
        """Wait until there is news of one of a party; `None` when its time is over."""
        try:
            while not subscription.updated and self._clock() < subscription.deadline:
                with anyio.move_on_after(subscription.deadline - self._clock()):
                    await (self._follow(subscription) if self._is_led else self._lead(subscription))
        finally:
            self._elect_leader()
        if not subscription.updated:
            return None
        watch = next(iter(subscription.updated))
        del subscription.updated[watch]
        return watch

    def close(self) -> None:
        """End all waits: the client is closed."""
        self._fail_all(ConfigurationError("the client was closed while assets were waited for"))
        if self._nap is not None:
            self._nap.cancel()

    async def throttle(self) -> None:
        """Wait until another request may go within the same budget, and take note of it."""
        while (wait := self._next_request_time() - self._clock()) > 0:
            await self._sleep(wait)
        self._sent.append(self._clock())

    async def _follow(self, subscription: Subscription) -> None:
        """Wait until somebody who leads has news, or leads no more."""
        subscription.event = anyio.Event()
        self._followers[subscription] = None
        try:
            await subscription.event.wait()
        finally:
            self._followers.pop(subscription, None)

    async def _lead(self, subscription: Subscription) -> None:
        """Look, for all, until there is news of one's own."""
        self._is_led = True
        try:
            while not subscription.updated and self._clock() < subscription.deadline:
                await self._step(subscription)
        finally:
            self._is_led = False

    def _wake(self, subscription: Subscription) -> None:
        self._followers.pop(subscription, None)
        subscription.event.set()

    def _elect_leader(self) -> None:
        """Have somebody lead: whoever is woken and can't, calls this in turn."""
        if not self._is_led and self._followers:
            self._wake(next(reversed(self._followers)))

    async def _step(self, leader: Subscription) -> None:
        """Look once, or sleep until there is something to do."""
        now = self._clock()
        for subscription in [
            subscription for subscription in self._followers if subscription.deadline <= now
        ]:
            self._wake(subscription)
        when, watch = self._next_poll(now)
        if when > now:
            deadlines = [subscription.deadline for subscription in self._followers]
            await self._sleep_until_due(min(when, leader.deadline, *deadlines) - now)
        elif watch is None:
            await self._poll_list(now)
        else:
            await self._poll_asset(watch, now)

    def _next_request_time(self) -> float:
        return max(next_request_time(self._sent, self._most_a_second), self._paused_until)

    async def _sleep_until_due(self, seconds: float) -> None:
        self._nap = anyio.CancelScope()
        try:
            with self._nap:
                await self._sleep(seconds)
        finally:
            self._nap = None

    def _next_poll(self, now: float) -> tuple[float, WatchedAsset | None]:
        """Say when to look next and at what, `None` for the list."""
        turn = self._next_request_time()
        if now < self._no_lists_until or len(self._watches) <= MAX_SINGLE_POLLS:
            watch = min(self._watches, key=lambda watch: watch.due)
            return max(turn, watch.due), watch
        pause = SHORTEST_ROUND
        if self._scan is None:
            pause = next_list_delay(
                age=now - self._joined_at,
                quiet=now - max(self._joined_at, self._changed_at),
                jitter=self._list_jitter,
            )
        list_due = max(turn, self._listed_at + pause)
        missed = next((watch for watch in self._watches if watch.needs_single_poll), None)
        if missed is not None and turn < list_due and list_due > now:
            return turn, missed
        return list_due, None

    async def _poll_asset(self, watch: WatchedAsset, now: float) -> None:
        """Ask for one asset."""
        try:
            call = poll_asset(self._session.account, watch.asset_id, watch.etag)
            sighting = await self._send(call, now)
        except LivepeerError as error:
            if watch not in self._watches:
                return
            if not is_transient(error):
                self._fail(watch, error)
                return
            watch.failures += 1
            self._schedule(watch, now)
            if watch.failures > self._session.retry.attempts:
                self._fail(watch, error)
            # One that the server can't show for ever says nothing of the others.
            is_its_own = self._failing is watch and isinstance(error, ServerError | DecodeError)
            self._failing = watch
            if not is_its_own or len(self._watches) == 1:
                self._pause_after(error)
            return
        is_news = watch.update(sighting.asset, sighting.etag, now)
        self._schedule(watch, now)
        if is_news:
            self._notify(watch)

    async def _poll_list(self, now: float) -> None:
        """Ask for a page of the changes."""
        if self._scan is None or now - self._listed_at > LONGEST_ROUND:
            self._scan = begin_scan(self._sync_point, len(self._watches), now)
        scan = self._scan
        self._listed_at, self._list_jitter = now, self._jitter()
        try:
            page = await self._send(scan.next_page(self._session.account), now)
        except LivepeerError as error:
            self._handle_list_error(error)
            return
        self._bad_lists, self._without_lists = 0, FIRST_WITHOUT_LISTS
        for watch in scan.consume_page(page, self._watches, now):
            self._notify(watch)
        if scan.is_over:
            self._scan, self._sync_point = None, scan.finish(self._watches)
            for watch in self._watches:
                self._schedule(watch, now)

    def _handle_list_error(self, error: LivepeerError) -> None:
        """Do without lists where they are refused or can't be read; singly, assets may be."""
        is_refused = isinstance(error, ApiError) and not is_transient(error)
        if isinstance(error, NotAuthenticated) or not (is_transient(error) or is_refused):
            # A key that isn't valid, or a client that is closed: no look can help.
            self._fail_all(error)
            return
        is_asked_for = isinstance(error, ApiError) and error.status == SERVICE_UNAVAILABLE
        self._bad_lists += isinstance(error, DecodeError | ServerError) and not is_asked_for
        if is_refused or self._bad_lists >= MAX_BAD_LISTS:
            self._no_lists_until, self._bad_lists = self._clock() + self._without_lists, 0
            self._without_lists = min(2 * self._without_lists, LONGEST_WITHOUT_LISTS)
        else:
            self._pause_after(error)

    async def _send(self, call: Call[T], now: float) -> T:
        """Send one request; that it is answered ends the setbacks."""
        self._sent.append(now)
        answer = await self._session.send_once(call)
        self._failures, self.problem = 0, None
        return answer

    def _schedule(self, watch: WatchedAsset, now: float) -> None:
        watch.due = now + watch.delay(now, self._jitter())

    def _notify(self, watch: WatchedAsset) -> None:
        """Wake whoever waits for this one; it may have left while it was looked at."""
        subscription = self._watches.get(watch)
        if subscription is None:
            return
        self._changed_at = self._clock()
        if watch.failure is not None or (
            watch.asset is not None and subscription.is_reached(watch.asset)
        ):
            del self._watches[watch]
        subscription.updated[watch] = None
        self._wake(subscription)

    def _fail(self, watch: WatchedAsset, error: LivepeerError) -> None:
        watch.fail(error)
        self._notify(watch)

    def _fail_all(self, error: LivepeerError) -> None:
        for watch in list(self._watches):
            self._fail(watch, _copy(error))

    def _pause_after(self, error: LivepeerError) -> None:
        """Pause all looks; where there were too many setbacks in a row, end all waits."""
        self._failures += 1
        self.problem = error
        retry, failures = self._session.retry, self._failures
        asked = error.retry_after if isinstance(error, ApiError) else None
        delay = next_delay(retry, failures=failures, jitter=self._jitter(), retry_after=asked)
        if delay is None:
            self._failures, self.problem = 0, None
            self._fail_all(error)
            return
        attempts = retry.attempts
        retry_event = RetryEvent(
            reason=str(error), attempt=failures, attempts=attempts, delay=delay
        )
        _log.warning("%s", retry_event)
        self._paused_until = self._clock() + delay


def _copy(error: LivepeerError) -> LivepeerError:
    """Make an error for a task of its own: an error that is raised grows a traceback."""
    another = copy(error)
    another.__cause__ = error
    return another
