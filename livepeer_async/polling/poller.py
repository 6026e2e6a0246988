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
from livepeer_async.api.session import Caller
from livepeer_async.errors import (
    ApiError,
    ConfigurationError,
    DecodeError,
    LivepeerError,
    NotAuthenticated,
    ServerError,
    is_transient,
)
from livepeer_async.http.retry import Setback, next_delay
from livepeer_async.models import Asset
from livepeer_async.polling.change_scan import Horizon, Sweep, begin_sweep
from livepeer_async.polling.intervals import LONGEST_ROUND, SHORTEST_ROUND, next_round, next_turn
from livepeer_async.polling.watched_asset import Watch

T = TypeVar("T")

MOST_A_SECOND = 2
# More can't be looked at singly within a second; one list tells of all.
FEW = 2
# A list that fails so often has a row that can't be read or served; singly, the others can.
MOST_BAD_LISTS = 3
# Seconds without lists before the next is tried, doubled each time.
FIRST_WITHOUT_LISTS = 5.0
LONGEST_WITHOUT_LISTS = 300.0
SERVICE_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE

_log = logging.getLogger("livepeer_async")


class Party:
    """What one task waits for: the watches, those of them with news, and what wakes it."""

    __slots__ = ("deadline", "event", "is_reached", "news", "watches")

    def __init__(self, watches: Iterable[Watch], is_reached: Callable[[Asset], bool]) -> None:
        self.watches = dict.fromkeys(watches)
        self.is_reached = is_reached
        self.news: dict[Watch, None] = {}
        self.event = anyio.Event()
        self.deadline = min((watch.deadline for watch in self.watches), default=inf)


class Watcher:
    """Looks at all assets that a client waits for; arguments as of `Waiter`."""

    def __init__(
        self,
        caller: Caller,
        *,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
        jitter: Callable[[], float],
        most_a_second: int,
    ) -> None:
        self._caller = caller
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._most_a_second = most_a_second
        self._sent: deque[float] = deque(maxlen=most_a_second)
        self._watches: dict[Watch, Party] = {}
        self._followers: dict[Party, None] = {}
        self._is_led = False
        self._nap: anyio.CancelScope | None = None
        self._joined_at = self._changed_at = 0.0
        self._no_lists_until, self._bad_lists = -inf, 0
        self._without_lists = FIRST_WITHOUT_LISTS
        self._failing: Watch | None = None
        self._sweep: Sweep | None = None
        self._horizon: Horizon | None = None
        self._listed_at, self._list_jitter = -inf, 0.5
        self._setbacks, self._paused_until = 0, -inf
        self.problem: LivepeerError | None = None

    def join(self, watches: Iterable[Watch], is_reached: Callable[[Asset], bool]) -> Party:
        """Begin to look at these until each is as wanted; `leave` must follow."""
        party = Party(watches, is_reached)
        for watch in party.watches:
            self._watches[watch] = party
        self._joined_at = self._clock()
        if self._nap is not None:
            # The newcomer may be due before the leader wanted to wake.
            self._nap.cancel()
        return party

    def drop(self, party: Party, watch: Watch) -> None:
        """Look no more at one of a party."""
        self._watches.pop(watch, None)
        party.watches.pop(watch, None)
        party.news.pop(watch, None)

    def leave(self, party: Party) -> None:
        """Look no more at any of a party."""
        for watch in list(party.watches):
            self.drop(party, watch)

    async def news(self, party: Party) -> Watch | None:
        """Wait until there is news of one of a party; `None` when its time is over."""
        try:
            while not party.news and self._clock() < party.deadline:
                with anyio.move_on_after(party.deadline - self._clock()):
                    await (self._follow(party) if self._is_led else self._lead(party))
        finally:
            self._hand_over()
        if not party.news:
            return None
        watch = next(iter(party.news))
        del party.news[watch]
        return watch

    def close(self) -> None:
        """End all waits: the client is closed."""
        self._end_all(ConfigurationError("the client was closed while assets were waited for"))
        if self._nap is not None:
            self._nap.cancel()

    async def turn(self) -> None:
        """Wait until another request may go within the same budget, and take note of it."""
        while (wait := self._turn() - self._clock()) > 0:
            await self._sleep(wait)
        self._sent.append(self._clock())

    async def _follow(self, party: Party) -> None:
        """Wait until somebody who leads has news, or leads no more."""
        party.event = anyio.Event()
        self._followers[party] = None
        try:
            await party.event.wait()
        finally:
            self._followers.pop(party, None)

    async def _lead(self, party: Party) -> None:
        """Look, for all, until there is news of one's own."""
        self._is_led = True
        try:
            while not party.news and self._clock() < party.deadline:
                await self._step(party)
        finally:
            self._is_led = False

    def _wake(self, party: Party) -> None:
        self._followers.pop(party, None)
        party.event.set()

    def _hand_over(self) -> None:
        """Have somebody lead: whoever is woken and can't, calls this in turn."""
        if not self._is_led and self._followers:
            self._wake(next(reversed(self._followers)))

    async def _step(self, leader: Party) -> None:
        """Look once, or sleep until there is something to do."""
        now = self._clock()
        for party in [party for party in self._followers if party.deadline <= now]:
            self._wake(party)
        when, watch = self._next_look(now)
        if when > now:
            deadlines = [party.deadline for party in self._followers]
            await self._rest(min(when, leader.deadline, *deadlines) - now)
        elif watch is None:
            await self._look_through_list(now)
        else:
            await self._look_at(watch, now)

    def _turn(self) -> float:
        return max(next_turn(self._sent, self._most_a_second), self._paused_until)

    async def _rest(self, seconds: float) -> None:
        self._nap = anyio.CancelScope()
        try:
            with self._nap:
                await self._sleep(seconds)
        finally:
            self._nap = None

    def _next_look(self, now: float) -> tuple[float, Watch | None]:
        """Say when to look next and at what, `None` for the list."""
        turn = self._turn()
        if now < self._no_lists_until or len(self._watches) <= FEW:
            watch = min(self._watches, key=lambda watch: watch.due)
            return max(turn, watch.due), watch
        pause = SHORTEST_ROUND
        if self._sweep is None:
            pause = next_round(
                age=now - self._joined_at,
                quiet=now - max(self._joined_at, self._changed_at),
                jitter=self._list_jitter,
            )
        list_due = max(turn, self._listed_at + pause)
        missed = next((watch for watch in self._watches if watch.is_missed), None)
        if missed is not None and turn < list_due and list_due > now:
            return turn, missed
        return list_due, None

    async def _look_at(self, watch: Watch, now: float) -> None:
        """Ask for one asset."""
        try:
            call = poll_asset(self._caller.account, watch.asset_id, watch.etag)
            sighting = await self._ask(call, now)
        except LivepeerError as error:
            if watch not in self._watches:
                return
            if not is_transient(error):
                self._end(watch, error)
                return
            watch.setbacks += 1
            self._plan(watch, now)
            if watch.setbacks > self._caller.retry.attempts:
                self._end(watch, error)
            # One that the server can't show for ever says nothing of the others.
            is_its_own = self._failing is watch and isinstance(error, ServerError | DecodeError)
            self._failing = watch
            if not is_its_own or len(self._watches) == 1:
                self._set_back(error)
            return
        is_news = watch.saw(sighting.asset, sighting.etag, now)
        self._plan(watch, now)
        if is_news:
            self._tell(watch)

    async def _look_through_list(self, now: float) -> None:
        """Ask for a page of the changes."""
        if self._sweep is None or now - self._listed_at > LONGEST_ROUND:
            self._sweep = begin_sweep(self._horizon, len(self._watches), now)
        sweep = self._sweep
        self._listed_at, self._list_jitter = now, self._jitter()
        try:
            page = await self._ask(sweep.next_page(self._caller.account), now)
        except LivepeerError as error:
            self._set_back_list(error)
            return
        self._bad_lists, self._without_lists = 0, FIRST_WITHOUT_LISTS
        for watch in sweep.take(page, self._watches, now):
            self._tell(watch)
        if sweep.is_over:
            self._sweep, self._horizon = None, sweep.close(self._watches)
            for watch in self._watches:
                self._plan(watch, now)

    def _set_back_list(self, error: LivepeerError) -> None:
        """Do without lists where they are refused or can't be read; singly, assets may be."""
        is_refused = isinstance(error, ApiError) and not is_transient(error)
        if isinstance(error, NotAuthenticated) or not (is_transient(error) or is_refused):
            # A key that isn't valid, or a client that is closed: no look can help.
            self._end_all(error)
            return
        is_asked_for = isinstance(error, ApiError) and error.status == SERVICE_UNAVAILABLE
        self._bad_lists += isinstance(error, DecodeError | ServerError) and not is_asked_for
        if is_refused or self._bad_lists >= MOST_BAD_LISTS:
            self._no_lists_until, self._bad_lists = self._clock() + self._without_lists, 0
            self._without_lists = min(2 * self._without_lists, LONGEST_WITHOUT_LISTS)
        else:
            self._set_back(error)

    async def _ask(self, call: Call[T], now: float) -> T:
        """Send one request; that it is answered ends the setbacks."""
        self._sent.append(now)
        answer = await self._caller.perform_once(call)
        self._setbacks, self.problem = 0, None
        return answer

    def _plan(self, watch: Watch, now: float) -> None:
        watch.due = now + watch.delay(now, self._jitter())

    def _tell(self, watch: Watch) -> None:
        """Wake whoever waits for this one; it may have left while it was looked at."""
        party = self._watches.get(watch)
        if party is None:
            return
        self._changed_at = self._clock()
        if watch.end is not None or (watch.asset is not None and party.is_reached(watch.asset)):
            del self._watches[watch]
        party.news[watch] = None
        self._wake(party)

    def _end(self, watch: Watch, error: LivepeerError) -> None:
        watch.refused(error)
        self._tell(watch)

    def _end_all(self, error: LivepeerError) -> None:
        for watch in list(self._watches):
            self._end(watch, _copy(error))

    def _set_back(self, error: LivepeerError) -> None:
        """Pause all looks; where there were too many setbacks in a row, end all waits."""
        self._setbacks += 1
        self.problem = error
        retry, setbacks = self._caller.retry, self._setbacks
        asked = error.retry_after if isinstance(error, ApiError) else None
        delay = next_delay(retry, setbacks=setbacks, jitter=self._jitter(), retry_after=asked)
        if delay is None:
            self._setbacks, self.problem = 0, None
            self._end_all(error)
            return
        attempts = retry.attempts
        setback = Setback(reason=str(error), attempt=setbacks, attempts=attempts, delay=delay)
        _log.warning("%s", setback)
        self._paused_until = self._clock() + delay


def _copy(error: LivepeerError) -> LivepeerError:
    """Make an error for a task of its own: an error that is raised grows a traceback."""
    another = copy(error)
    another.__cause__ = error
    return another
