"""The session with PostgreSQL that holds the lock of one open journal.

A thread keeps it alive, notices its loss and connects again. The calls of the journal use it from
other threads.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg import errors

from livepeer_async.errors import JournalError, JournalUnavailable
from livepeer_async.journal.busy_timeout import BusyTimeout
from livepeer_async.journal.postgres.connecting import (
    STEP_TIMEOUT,
    Connection,
    connect,
    shut_down,
    time_limit,
)
from livepeer_async.journal.postgres.findings import (
    REPEATABLE,
    STARTING,
    NotConnected,
    explained,
    journal_error,
)
from livepeer_async.journal.postgres.owners import HOLDS_LOCK, become_owner, delete_owner
from livepeer_async.journal.postgres.processes import current_process

T = TypeVar("T")

# Seconds between two signs of life, and the age of the last one at which transfers stop. PostgreSQL
# keeps the session for at least 40 s.
HEARTBEAT = 5.0
STOP_AFTER = 15.0
# Longest waits of the thread and of calls, in seconds, until they look for changes.
STEP = 0.5
CALL_STEP = 0.05
# Seconds between two attempts to connect: doubled from the first to the last.
FIRST_DELAY, MAX_DELAY = 0.1, 5.0


def now() -> float:
    """Return seconds on a clock that also runs while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class SessionEvents(Protocol):
    """Callbacks of a session, in its thread; `session_lost` in any thread."""

    def session_opened(self, claimed: set[bytes]) -> None:
        """Note the IDs of the keys that are claimed, before the first transaction."""
        ...

    def session_lost(self) -> None:
        """Note that the claims may be lost; must not block."""
        ...

    def session_used(self, connection: Connection) -> None:
        """Use the session for a moment, after a sign of life."""
        ...


class Session:
    """The session of one open journal; opened by the first call.

    Args:
        url: of the database.
        location: the URL without secrets.
        account: a fingerprint of the account.
        events: called when the session is opened, used or lost.

    Attributes:
        owner: the number of the lock; None before the first session.
    """

    def __init__(
        self,
        url: str,
        location: str,
        account: str,
        events: SessionEvents,
    ) -> None:
        self._url = url
        self._location = location
        self._account = account
        self._events = events
        self._lock = threading.RLock()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._failure: NotConnected | None = None
        self._has_connected = self._is_closing = self._is_wanted = False
        self._confirmed_at = self._used_at = 0.0
        self._opened_by = os.getpid()
        self._waker: socket.socket | None = None
        # Of the transaction that is running.
        self._user: BusyTimeout | None = None
        # Numbers of this process, whose claims the next session takes over.
        self._former: set[int] = set()
        self.owner: int | None = None

    @property
    def is_forked(self) -> bool:
        """Whether the session was opened before a fork."""
        return self._thread is not None and self._opened_by != os.getpid()

    @property
    def is_certain(self) -> bool:
        """Whether PostgreSQL certainly holds the lock now, and for the next seconds."""
        return self._connection is not None and now() - self._confirmed_at < STOP_AFTER

    def transact(self, work: Callable[[Connection], T], busy_timeout: BusyTimeout) -> T:
        """Call a function in a transaction; again in the next session if this one is lost.

        Raises:
            JournalError: the database can't be used.
            JournalUnavailable: it didn't respond within the timeout.
            WaitCancelled: the wait was cancelled.
        """
        while True:
            connection = self._wait_for_connection(busy_timeout)
            try:
                with self._used(connection, busy_timeout) as is_current, explained():
                    if is_current:
                        return self._run(connection, work)
            except NotConnected as failure:
                if self._connection is connection and not self._handle(connection, failure):
                    raise self._error(failure) from failure.__cause__
                if not busy_timeout.remaining:
                    raise self._unavailable(failure) from failure.__cause__

    def execute(
        self, connection: Connection, statement: str, values: tuple[Any, ...]
    ) -> psycopg.Cursor[Any]:
        """Execute a statement of a transaction, whose response is a sign of life."""
        sent = now()
        cursor = connection.execute(statement.encode(), values)
        self._confirmed_at = sent
        return cursor

    def close(self, timeout: float) -> None:
        """Delete the owner and its claims, and end the session; its thread may end later."""
        # Before the thread may close the connection.
        is_locked = self._lock.acquire(timeout=timeout)
        with self._changed:
            thread, connection, self._is_closing = self._thread, self._connection, True
            # Calls that open it again wait for the next session.
            self._connection = None
        try:
            if connection is not None and is_locked:
                with suppress(psycopg.Error, OSError), time_limit(connection, timeout):
                    delete_owner(connection, self.owner or 0)
            elif connection is not None:
                # Another thread waits for a database that doesn't respond.
                shut_down(connection)
        finally:
            if is_locked:
                self._lock.release()
        self._wake()
        if thread is not None:
            thread.join(timeout)

    def wake(self) -> None:
        """Let the thread use the session soon, because there is something to do."""
        self._is_wanted = True
        self._wake()

    def _run(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        sent = now()
        try:
            with connection.transaction():
                return work(connection)
        finally:
            # A response to a rollback is a sign of life as well.
            if not connection.closed:
                self._confirmed_at = max(self._confirmed_at, sent)

    @contextmanager
    def _used(
        self, connection: Connection, busy_timeout: BusyTimeout
    ) -> Generator[bool, None, None]:
        busy_timeout.acquire(self._lock)
        self._user = busy_timeout
        try:
            yield self._connection is connection
        finally:
            self._user = None
            self._lock.release()

    def _handle(self, connection: Connection, failure: NotConnected) -> bool:
        """Handle an error of a transaction; whether another attempt may help."""
        if isinstance(failure.__cause__, REPEATABLE):
            return True
        if connection.closed or connection.broken:
            self._lose(connection)
            return True
        return False

    def _wait_for_connection(self, busy_timeout: BusyTimeout) -> Connection:
        with self._changed:
            self._failure = None if self._thread is None else self._failure
            while (connection := self._connection) is None:
                if self._thread is None and self._failure is None:
                    self._start()
                if self._failure is not None and not self._has_connected:
                    raise self._error(self._failure) from self._failure.__cause__
                if not busy_timeout.remaining:
                    raise self._unavailable(self._failure)
                busy_timeout.check()
                self._changed.wait(CALL_STEP)
        return connection

    def _start(self) -> None:
        self._opened_by = os.getpid()
        self._failure, self._is_closing, self._has_connected = None, False, False
        self._thread = threading.Thread(target=self._keep, name="journal-session", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        """Keep a session until it is closed, or until the first one can't be opened."""
        try:
            self._keep_connected()
        finally:
            with self._changed:
                self._thread = self.owner = None
                self._former.clear()
                self._changed.notify_all()

    def _keep_connected(self) -> None:
        delay = FIRST_DELAY
        while not self._is_closing:
            try:
                connection = self._connect()
            except NotConnected as failure:
                if self._gives_up(failure):
                    return
                self._sleep(delay)
                delay = min(2 * delay, MAX_DELAY)
                continue
            delay = FIRST_DELAY
            try:
                # A call may have lost the session already, or the system has no descriptor left.
                with suppress(psycopg.Error, OSError):
                    self._watch(connection)
            finally:
                self._lose(connection)
                self._end(connection)

    def _gives_up(self, failure: NotConnected) -> bool:
        """Report a failed attempt; whether it ends the thread."""
        is_brief = STARTING in str(failure) or isinstance(failure.__cause__, REPEATABLE)
        with self._changed:
            gives_up = not (self._has_connected or is_brief)
            self._failure = None if is_brief and not self._has_connected else failure
            self._changed.notify_all()
        return gives_up

    def _connect(self) -> Connection:
        connection = connect(self._url)
        try:
            with explained():
                with time_limit(connection, STEP_TIMEOUT):
                    process, former = current_process(), self._former
                    self.owner, claimed = become_owner(connection, self._account, process, former)
                    if self._is_closing:
                        delete_owner(connection, self.owner)
                self._events.session_opened(claimed)
                sent = now()
                with time_limit(connection, STEP_TIMEOUT):
                    # Before any upload: others may have met a pause.
                    self._events.session_used(connection)
        except BaseException:
            self._events.session_lost()
            connection.close()
            raise
        with self._changed:
            self._confirmed_at = self._used_at = sent
            self._has_connected, self._failure = True, None
            self._connection = connection
            self._changed.notify_all()
        return connection

    def _watch(self, connection: Connection) -> None:
        """Ask for signs of life until the session is lost or closed."""
        woken, self._waker = socket.socketpair()
        with selectors.DefaultSelector() as selector, woken, self._waker:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while self._connection is connection and not self._is_closing:
                if now() - self._confirmed_at >= STOP_AFTER:
                    self._lose(connection)
                    return
                wait = self._used_at + HEARTBEAT - now()
                ready = selector.select(min(max(wait, 0.0), STEP))
                if any(key.fileobj is woken for key, _ in ready):
                    woken.recv(64)
                self._beat_if_due(connection, selector)

    def _beat_if_due(self, connection: Connection, selector: selectors.BaseSelector) -> None:
        """Ask for a sign of life if it is due or the server has sent something."""
        if not self._lock.acquire(timeout=STEP):
            # A transaction is running, which is a sign of life once it ends.
            user = self._user
            if user is not None and user.is_cancelled:
                self._lose(connection)
            return
        try:
            is_due = now() - self._used_at >= HEARTBEAT
            # A transaction that ended meanwhile has read what the server sent.
            has_data = any(key.fd == connection.fileno() for key, _ in selector.select(0))
            if (is_due or has_data or self._is_wanted) and self._connection is connection:
                self._is_wanted = False
                self._beat(connection)
        except errors.QueryCanceled:
            self._is_wanted = True
        except (psycopg.Error, OSError, RuntimeError):
            # The last one if the system has no thread left.
            self._lose(connection)
        finally:
            self._lock.release()

    def _beat(self, connection: Connection) -> None:
        sent = now()
        with time_limit(connection, self._confirmed_at + STOP_AFTER - sent):
            row = connection.execute(HOLDS_LOCK.encode(), (self.owner,)).fetchone()
            if row is None or not row[0]:
                raise psycopg.OperationalError("the session has lost its lock")
            # Another process holds a row for long, perhaps because it is stopped: next time.
            with suppress(*REPEATABLE):
                self._events.session_used(connection)
        self._confirmed_at = self._used_at = sent

    def _lose(self, connection: Connection) -> None:
        with self._changed:
            if self._connection is not connection:
                return
            self._connection = None
            self._changed.notify_all()
        shut_down(connection)
        self._events.session_lost()
        self._wake()

    def _end(self, connection: Connection) -> None:
        with self._changed:
            self._connection = None
        if not self._is_closing:
            # A transaction that still waits for the connection fails first.
            shut_down(connection)
        with self._lock:
            connection.close()

    def _sleep(self, seconds: float) -> None:
        with self._changed:
            if not self._is_closing:
                self._changed.wait(seconds)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
        waker = self._waker
        # Closed between two sessions, which look for changes by themselves.
        with suppress(OSError):
            if waker is not None:
                waker.send(b"x")

    def _error(self, failure: NotConnected) -> JournalError:
        if not failure.is_final:
            return self._unavailable(failure)
        return journal_error(self._location, str(failure))

    def _unavailable(self, failure: NotConnected | None) -> JournalUnavailable:
        reason = failure or "doesn't respond: run again once it does"
        return JournalUnavailable(f"the journal {self._location} {reason}", path=self._location)
