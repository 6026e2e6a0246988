"""Pauses after 429 and 503: no requests for a while, then one probe, then all or a longer pause.

Clients of a shared journal also share their pauses: its session exchanges them in another thread.
While it can't, each client has pauses of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf

from msgspec import Struct

from livepeer_async.concurrency import Clock
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.scheduling.adaptive import pause_delay
from livepeer_async.telemetry.events import REQUESTS_PAUSED, REQUESTS_RESUMED, log_event

# Seconds after which a probe without a response is replaced. It may be a chunk, which takes a
# minute on a slow connection, and everything else waits for it.
PROBE_TIMEOUT = 10.0
# Maximum length of one sleep, in seconds: pauses and the rate may change meanwhile.
SLEEP_STEP = 0.25
# Seconds after which a right to probe that no caller used ends: others may get it soon.
GRANT_TIMEOUT = PROBE_TIMEOUT / 2
# Real seconds between two requests for the right to probe.
ASK_INTERVAL = 0.25


class Pause(Struct, frozen=True):
    """A pause as clients share it.

    Attributes:
        seconds: real seconds until a probe may be sent; 0 or less if it may.
        count: pauses in a row, this one included.
    """

    seconds: float
    count: int


class PauseChanges(Struct, frozen=True, kw_only=True):
    """What a client has to tell the others.

    Attributes:
        version: identifies the state of the client; passed to `Pauses.update`.
        pause: a pause that it met.
        is_resumed: whether the server accepted a request of it.
        has_released: whether its probe got no response.
        wants_probe: whether it asks for the right to probe.
    """

    version: int
    pause: Pause | None
    is_resumed: bool
    has_released: bool
    wants_probe: bool


class Pauses:
    """The pauses of one client, which may be those of all clients of a journal.

    Args:
        retry: determines their length.
        clock: time and randomness.
    """

    def __init__(self, retry: RetryPolicy, clock: Clock) -> None:
        self._retry = retry
        self._clock = clock
        # Held for moments: event loops in several threads and the journal's session change pauses.
        self._lock = threading.Lock()
        self._count = 0
        self._until = 0.0
        self._probed_at: float | None = None
        # Asks for an exchange; None without a connected journal.
        self._wake: Callable[[], None] | None = None
        self._version = 0
        self._has_changed = self._has_released = False
        self._wants_probe = False
        self._asked_at = self._granted_at = -inf

    @property
    def speed(self) -> float:
        """How many seconds of the clock pass in a real second."""
        return self._clock.speed

    @property
    def is_active(self) -> bool:
        """Whether the server asked for less load and hasn't accepted a request since."""
        return self._count > 0

    async def wait(self) -> None:
        """Wait while all requests are paused, without becoming the probe."""
        while self._count and (wait := self._until - self._clock.now()) > 0:
            await self._clock.sleep(min(wait, SLEEP_STEP))

    async def wait_or_probe(self) -> bool:
        """Wait while all requests are paused; the first caller after the pause is the probe.

        Returns:
            Whether the caller is the probe; it must call `release_probe` if it gets no response.
        """
        while self._count:
            wait = self._seconds_until_probe(self._clock.now())
            if wait <= 0 and self._become_probe():
                return True
            await self._clock.sleep(min(wait, SLEEP_STEP) if wait > 0 else SLEEP_STEP)
        return False

    def release_probe(self) -> None:
        """Allow another caller to probe, because the probe got no response."""
        with self._lock:
            self._probed_at = None
            self._has_released = True
            self._record_change()

    def pause(self, retry_after: float | None, *, is_queue_full: bool) -> bool:
        """Pause all requests; return False if the request was sent before a pause.

        Args:
            retry_after: seconds that the server asked for.
            is_queue_full: whether the account's queue is full, rather than the server overloaded.
        """
        with self._lock:
            now = self._clock.now()
            if self._count and self._probed_at is None and now < self._until:
                return False
            self._count += 1
            delay = pause_delay(
                self._retry,
                self._count,
                jitter=self._clock.random(),
                retry_after=retry_after,
                is_queue_full=is_queue_full,
            )
            self._until, self._probed_at = now + delay, None
            self._has_changed = True
            self._record_change()
        _log_pause("the server asks for less load", delay, self._count)
        return True

    def record_success(self) -> None:
        """End a pause if the response is to its probe, or came after it."""
        if not self._count:
            return
        with self._lock:
            count = self._count
            if not count or (self._probed_at is None and self._clock.now() < self._until):
                return
            self._count, self._probed_at = 0, None
            self._has_changed = True
            self._record_change()
        log_event(REQUESTS_RESUMED, "requests are sent again", pauses=count)

    def attach(self, wake: Callable[[], None]) -> None:
        """Share the pauses from now on.

        Args:
            wake: called in any thread, and must not block; `changes` and `update` follow.
        """
        with self._lock:
            self._wake = wake
            # The others only learn of a pause that it met alone: they may have ended an older one,
            # and an earlier success says nothing about theirs.
            self._has_changed = self._has_changed and self._count > 0
            self._has_released = self._wants_probe = False
            self._record_change()

    def detach(self) -> None:
        """Keep the pauses to this client, because the others can't be reached."""
        with self._lock:
            self._wake = None
            self._version += 1

    def changes(self) -> PauseChanges:
        """Return what the others must know, and what this client asks them for."""
        with self._lock:
            is_met = self._has_changed and self._count > 0
            seconds = (self._until - self._clock.now()) / self._clock.speed
            wants_probe, self._wants_probe = self._wants_probe, False
            return PauseChanges(
                version=self._version,
                pause=Pause(seconds, self._count) if is_met else None,
                is_resumed=self._has_changed and not self._count,
                has_released=self._has_released,
                wants_probe=wants_probe,
            )

    def update(self, version: int, pause: Pause | None, *, may_probe: bool) -> None:
        """Take over the state that all clients share; nothing if this client's has changed since.

        Args:
            version: of the `changes` that the others know now.
            pause: the pause, if there is one.
            may_probe: whether this client has the right to probe.
        """
        with self._lock:
            if version != self._version:
                return
            self._has_changed = self._has_released = False
            before, self._count = self._count, 0 if pause is None else pause.count
            if self._count != before:
                self._probed_at, self._granted_at = None, -inf
            if pause is not None:
                self._until = self._clock.now() + pause.seconds * self._clock.speed
            if may_probe:
                self._granted_at = self._clock.now()
        if pause is not None and pause.count > before:
            delay = max(pause.seconds, 0.0) * self._clock.speed
            _log_pause("the server asked another client for less load", delay, pause.count)
        if pause is None and before:
            log_event(REQUESTS_RESUMED, "requests are sent again", pauses=before)

    def _seconds_until_probe(self, now: float) -> float:
        wait = self._until - now
        return wait if self._probed_at is None else max(wait, self._probed_at + PROBE_TIMEOUT - now)

    def _become_probe(self) -> bool:
        """Become the probe, with the permission of the others if there is a shared journal."""
        with self._lock:
            now = self._clock.now()
            if not self._count or self._seconds_until_probe(now) > 0:
                return False  # another event loop was faster
            if self._wake is None or now - self._granted_at < GRANT_TIMEOUT:
                self._probed_at, self._granted_at = now, -inf
                return True
            if now - self._asked_at >= ASK_INTERVAL * self._clock.speed:
                self._asked_at, self._wants_probe = now, True
                self._wake()
            return False

    def _record_change(self) -> None:
        """Ask for an exchange with the others, which happens in another thread."""
        self._version += 1
        self._granted_at = -inf
        if self._wake is not None:
            self._wake()


def _log_pause(reason: str, delay: float, count: int) -> None:
    message = f"{reason}: no requests for %.1f s"
    log_event(REQUESTS_PAUSED, message, delay, delay=delay, pauses=count)
