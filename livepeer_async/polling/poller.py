"""Asset poller: polls all watched assets, singly or through lists of changes.

It starts no task: `Waiter` calls `poll`. State only changes outside the single await of a poll,
which can therefore be cancelled at any point.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from http import HTTPStatus
from math import inf
from typing import TypeVar

from livepeer_async.api.calls import Call
from livepeer_async.api.requests import find_task, list_changes, list_task_changes, poll_asset
from livepeer_async.api.session import Session
from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    ApiError,
    DecodeError,
    LivepeerError,
    NotAuthenticated,
    ServerError,
    is_transient,
)
from livepeer_async.http.observers import RequestEvent
from livepeer_async.http.retry import RetryEvent, backoff, describe_failure, next_retry, status_of
from livepeer_async.models import Task
from livepeer_async.polling.change_scan import MAX_PAGE_SIZE, ChangeScan, SyncPoint, begin_scan
from livepeer_async.polling.intervals import (
    MAX_LIST_DELAY,
    MIN_LIST_DELAY,
    next_list_delay,
    next_request_time,
)
from livepeer_async.polling.noticing import Notice, asset_id_of, notice
from livepeer_async.polling.subscription import Subscription
from livepeer_async.polling.task_scan import TaskScan, begin_task_scan
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.telemetry.events import POLL_RETRY, log_event
from livepeer_async.webhooks.events import AssetEvent, TaskEvent

T = TypeVar("T")

# More assets than this can't each be polled every second; one list covers all.
MAX_SINGLE_POLLS = 2
# A list that fails this often in a row contains a row that the server can't return or that can't be
# decoded; the other assets can still be polled singly.
MAX_LIST_FAILURES = 3
# Seconds until lists are tried again, doubled each time.
FIRST_LIST_PAUSE = 5.0
MAX_LIST_PAUSE = 300.0


class AssetPoller:
    """Polls the assets of all subscriptions.

    Args:
        session: sends the calls.
        clock: time and jitter.
        max_per_second: limit for the requests in any second.

    Attributes:
        last_error: the error that polling is paused for, or `None`.
    """

    def __init__(self, session: Session, *, clock: Clock, max_per_second: int) -> None:
        self._session = session
        self._clock = clock
        self._max_per_second = max_per_second
        self._sent: deque[float] = deque(maxlen=max_per_second)
        self._subscriptions: dict[WatchedAsset, Subscription] = {}
        self._subscribed_at = self._changed_at = 0.0
        self._scan: ChangeScan | None = None
        self._sync_point: SyncPoint | None = None
        self._listed_at = self._list_due = -inf
        self._list_failures = self._list_pauses = 0
        self._task_scan: TaskScan | None = None
        self._no_lists_until = self._no_task_lists_until = -inf
        self._last_failed: WatchedAsset | None = None
        self._failures, self._paused_until = 0, -inf
        self.last_error: LivepeerError | None = None

    def add(self, subscription: Subscription) -> None:
        """Start polling the assets of a subscription."""
        for watched in subscription.watched_assets:
            self._subscriptions[watched] = subscription
        self._subscribed_at = self._clock.now()
        self._list_due = min(self._list_due, self._listed_at + MIN_LIST_DELAY)

    def remove(self, subscription: Subscription, *watched_assets: WatchedAsset) -> None:
        """Stop polling assets of a subscription."""
        for watched in watched_assets:
            self._subscriptions.pop(watched, None)
            subscription.watched_assets.pop(watched, None)
            subscription.updated.pop(watched, None)

    def notice(self, event: AssetEvent | TaskEvent) -> bool:
        """Record an event of a webhook; return whether a request may now be due sooner."""
        now, asset_id, is_sooner = self._clock.now(), asset_id_of(event), False
        for watched in [it for it in self._subscriptions if it.asset_id == asset_id]:
            result = notice(watched, event, now)
            if result is Notice.CHANGE:
                self._notify(watched)
            if result in {Notice.CHANGE, Notice.QUIET} and self._scan is None:
                # One list covers all assets, so events don't postpone it again and again.
                self._list_due = max(self._list_due, self._listed_at + MAX_LIST_DELAY)
            is_sooner = is_sooner or result in {Notice.CHANGE, Notice.POLL}
        return is_sooner

    def fail_all(self, error: LivepeerError) -> None:
        """End all waits with copies of an error."""
        for watched in list(self._subscriptions):
            self._fail(watched, _copy(error))

    def report(self, event: RequestEvent, *, about: WatchedAsset | None = None) -> None:
        """Call the observers of all waits, or of the wait for one asset."""
        subscriptions = list(self._subscriptions.values())
        if about is not None:
            subscriptions = [self._subscriptions[about]] if about in self._subscriptions else []
        observers = (it for subscription in subscriptions for it in subscription.observers)
        for observer in dict.fromkeys(observers):
            observer(event)

    async def throttle(self) -> None:
        """Wait until the rate limit allows another request, and count it."""
        while (seconds := self._next_request_time() - self._clock.now()) > 0:
            await self._clock.sleep(seconds)
        self._sent.append(self._clock.now())

    async def sleep(self, seconds: float) -> None:
        """Sleep until the next poll; a pause ends early when the server recovers."""
        if not self._session.recovers or self._paused_until <= self._clock.now():
            await self._clock.sleep(seconds)
        elif await self._session.wait_to_retry(seconds):
            self._paused_until = -inf

    def next_poll(self, now: float) -> tuple[float, WatchedAsset | None]:
        """Return the time of the next request and its asset; the asset is `None` for a list."""
        earliest = self._next_request_time()
        if now < self._no_lists_until or len(self._subscriptions) <= MAX_SINGLE_POLLS:
            watched = min(self._subscriptions, key=lambda watched: watched.next_due)
            return max(earliest, watched.next_due), watched
        list_due = max(earliest, self._list_due)
        if list_due > max(earliest, now):
            for watched in self._subscriptions:
                if watched.needs_request(now):
                    return earliest, watched
        return list_due, None

    async def poll(self, watched: WatchedAsset | None) -> None:
        """Send one request: for an asset, for its task, or for a page of the changes."""
        now = self._clock.now()
        if watched is None:
            await self._poll_list(now)
        elif watched.is_task_due(now):
            if self._task_scan is None and now >= self._no_task_lists_until:
                self._task_scan = begin_task_scan(self._subscriptions, now)
            if self._task_scan is not None:
                await self._poll_task_list(self._task_scan, now)
            else:
                await self._poll_task(watched, now)
        else:
            await self._poll_asset(watched, now)

    def _next_request_time(self) -> float:
        return max(next_request_time(self._sent, self._max_per_second), self._paused_until)

    async def _poll_asset(self, watched: WatchedAsset, now: float) -> None:
        call = poll_asset(self._session.account, watched.asset_id, watched.etag)
        try:
            result = await self._send(call, now)
        except LivepeerError as error:
            if watched in self._subscriptions:
                self._handle_asset_error(watched, error, now)
            return
        if watched not in self._subscriptions:
            # An event has ended the wait during the poll.
            return
        if watched.failures:
            self.report(None, about=watched)
        has_changed = watched.update(result.asset, result.etag, now)
        self._schedule(watched, now)
        if has_changed:
            self._notify(watched)

    async def _poll_task(self, watched: WatchedAsset, now: float) -> None:
        """Look whether a failed asset is processed again."""
        try:
            task = await self._send(find_task(self._session.account, watched.asset_id), now)
        except LivepeerError as error:
            if watched not in self._subscriptions:
                return
            watched.task_failures += 1
            if is_transient(error) and watched.task_failures <= self._session.retry.attempts:
                watched.task_due = now + watched.delay(now, self._clock.random())
                self._pause_after(error)
                return
            watched.skip_task()
            self._notify_if_ended(watched)
        else:
            self._update_task(watched, task, now)

    async def _poll_task_list(self, scan: TaskScan, now: float) -> None:
        """Look which of many failed assets are processed again."""
        call = list_task_changes(
            self._session.account, scan.since, limit=MAX_PAGE_SIZE, cursor=scan.cursor
        )
        try:
            page = await self._send(call, now)
        except LivepeerError as error:
            self._handle_task_list_error(scan, error, now)
            return
        scan.consume_page(page)
        if not scan.is_over:
            return
        self._task_scan = None
        results = scan.results()
        for watched, task in results:
            self._update_task(watched, task, now)
        if len(results) < len(scan.watched_assets):
            self._no_task_lists_until = now + MAX_LIST_PAUSE

    def _handle_task_list_error(self, scan: TaskScan, error: LivepeerError, now: float) -> None:
        """Pause all polls, look at tasks singly for a while, or do without them."""
        scan.failures += 1
        if is_transient(error) and scan.failures < MAX_LIST_FAILURES:
            self._pause_after(error)
            return
        self._task_scan = None
        if is_transient(error):
            self._no_task_lists_until = now + MAX_LIST_PAUSE
            return
        for watched in scan.watched_assets.values():
            watched.skip_task()
            self._notify_if_ended(watched)

    def _update_task(self, watched: WatchedAsset, task: Task | None, now: float) -> None:
        # Unless an event has ended the wait meanwhile.
        if watched in self._subscriptions:
            watched.update_task(task, now, self._clock.random())
            self._notify_if_ended(watched)

    def _notify_if_ended(self, watched: WatchedAsset) -> None:
        subscription = self._subscriptions.get(watched)
        if subscription is not None and subscription.has_ended(watched):
            self._notify(watched)

    async def _poll_list(self, now: float) -> None:
        if self._scan is None or now - self._listed_at > MAX_LIST_DELAY:
            self._scan = begin_scan(self._sync_point, len(self._subscriptions), now)
        scan = self._scan
        self._listed_at, self._list_due = now, now + MIN_LIST_DELAY
        try:
            call = list_changes(
                self._session.account, scan.since, limit=scan.limit, cursor=scan.cursor
            )
            page = await self._send(call, now)
        except LivepeerError as error:
            self._handle_list_error(error)
            return
        self._list_failures = self._list_pauses = 0
        for watched in scan.consume_page(page, self._subscriptions, now):
            self._notify(watched)
        if scan.is_over:
            self._finish_scan(scan, now)

    def _finish_scan(self, scan: ChangeScan, now: float) -> None:
        self._scan, self._sync_point = None, scan.finish(self._subscriptions)
        for watched in self._subscriptions:
            self._schedule(watched, now)
        age, quiet = now - self._subscribed_at, now - max(self._subscribed_at, self._changed_at)
        self._list_due = now + next_list_delay(age=age, quiet=quiet, jitter=self._clock.random())

    def _handle_asset_error(self, watched: WatchedAsset, error: LivepeerError, now: float) -> None:
        """End a wait, or retry; pause all polls unless the error concerns this asset alone."""
        if isinstance(error, NotAuthenticated):
            # Each of the other assets would only fail with its own poll.
            self.fail_all(error)
            return
        if not is_transient(error):
            self._fail(watched, error)
            return
        watched.failures += 1
        self._schedule(watched, now)
        if watched.failures > self._session.retry.attempts:
            self._fail(watched, error)
        # The server may be unable to return one asset, which says nothing about the others.
        is_specific = self._last_failed is watched and isinstance(error, ServerError | DecodeError)
        self._last_failed = watched
        if not is_specific or len(self._subscriptions) == 1:
            self._pause_after(error)
        else:
            self._report_failure(watched, error, now)

    def _report_failure(self, watched: WatchedAsset, error: LivepeerError, now: float) -> None:
        """Report a failure that concerns one asset alone."""
        event = RetryEvent(
            reason=describe_failure(error),
            request_id=error.request_id,
            attempt=watched.failures,
            attempts=self._session.retry.attempts,
            delay=watched.due - now,
        )
        self.report(event, about=watched)

    def _handle_list_error(self, error: LivepeerError) -> None:
        """End all waits, poll singly for a while, or pause all polls."""
        # Of a restricted key, or of an invalid one: then the next single poll is refused too.
        is_refused = isinstance(error, ApiError) and not is_transient(error)
        if not (is_transient(error) or is_refused):
            # A closed client affects single polls too.
            self.fail_all(error)
            return
        is_busy = isinstance(error, ApiError) and error.status == HTTPStatus.SERVICE_UNAVAILABLE
        self._list_failures += isinstance(error, DecodeError | ServerError) and not is_busy
        if not is_refused and self._list_failures < MAX_LIST_FAILURES:
            self._pause_after(error)
            return
        self._list_failures = 0
        self._list_pauses += 1
        pause = backoff(self._list_pauses, first_delay=FIRST_LIST_PAUSE, max_delay=MAX_LIST_PAUSE)
        self._no_lists_until = self._clock.now() + pause

    async def _send(self, call: Call[T], now: float) -> T:
        """Send a call once; a response ends a series of failures."""
        self._sent.append(now)
        result = await self._session.send_once(call)
        if self._failures:
            self._failures, self.last_error = 0, None
            self.report(None)
        return result

    def _schedule(self, watched: WatchedAsset, now: float) -> None:
        watched.schedule(now, self._clock.random())

    def _notify(self, watched: WatchedAsset) -> None:
        """Wake the task that waits for an asset, unless it was cancelled during the poll."""
        subscription = self._subscriptions.get(watched)
        if subscription is None:
            return
        self._changed_at = self._clock.now()
        if subscription.has_ended(watched):
            del self._subscriptions[watched]
        subscription.updated[watched] = None
        subscription.wake()

    def _fail(self, watched: WatchedAsset, error: LivepeerError) -> None:
        watched.fail(error)
        self._notify(watched)

    def _pause_after(self, error: LivepeerError) -> None:
        """Pause all polls; end all waits after too many failures in a row."""
        self._failures += 1
        event = next_retry(
            self._session.retry,
            reason=describe_failure(error),
            request_id=error.request_id,
            failures=self._failures,
            jitter=self._clock.random(),
            retry_after=error.retry_after if isinstance(error, ApiError) else None,
            status=status_of(error),
        )
        if event is None:
            self._failures, self.last_error = 0, None
            self.fail_all(error)
            return
        log_event(POLL_RETRY, "%s", event, assets=len(self._subscriptions), **event.facts)
        self.report(event)
        self.last_error = error
        self._paused_until = self._clock.now() + event.delay


def _copy(error: LivepeerError) -> LivepeerError:
    """Copy an error: each task that raises it adds to its traceback."""
    copied = copy(error)
    copied.__cause__ = error
    return copied
