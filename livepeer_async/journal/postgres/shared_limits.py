"""The limits that the clients of an account share: pauses after 429 and 503, and the maximum rate.

Each client writes its changes in the thread of its session, and notifies the others. Each also
reads the state with each sign of life: a lost notification, or a killed process, is noticed then.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from livepeer_async.journal.postgres.connecting import Connection
from livepeer_async.journal.postgres.findings import REPEATABLE
from livepeer_async.journal.postgres.owners import CHANNEL, HAS_LOCK, IS_ALIVE
from livepeer_async.scheduling.pauses import PROBE_TIMEOUT, Pause, PauseChanges
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.telemetry.events import JOURNAL_NOT_WRITTEN, log_event

_SET_RATE = "UPDATE owners SET max_rate = $3 WHERE account = $1 AND owner = $2"
# A later pause than the one of the probe lets another client probe. The server's clock counts.
_PAUSE = """
INSERT INTO pauses AS it VALUES ($1, now() + make_interval(secs => $2::float8), $3)
ON CONFLICT (account) DO UPDATE SET prober = NULL, count = greatest(it.count, excluded.count),
    paused_until = greatest(it.paused_until, excluded.paused_until)"""
_RESUME = "DELETE FROM pauses WHERE account = $1"
_RELEASE = "UPDATE pauses SET prober = NULL WHERE account = $1 AND prober = $2"
# A probe of a suspended process is replaced after a time-out, that of a killed one at once.
_PROBE = f"""
UPDATE pauses SET prober = $2, probed_at = now() WHERE account = $1 AND paused_until <= now() AND (
    prober IS NULL OR prober = $2 OR probed_at < now() - make_interval(secs => $3::float8)
    OR NOT EXISTS (SELECT FROM pg_locks WHERE {HAS_LOCK} AND objid = pauses.prober))
RETURNING true"""
_READ = f"""
SELECT (SELECT count(*) FROM owners
        WHERE account = $1 AND max_rate IS NOT NULL AND {IS_ALIVE}),
    extract(epoch FROM paused_until - now())::float8, pauses.count
FROM (VALUES (true)) AS one LEFT JOIN pauses ON account = $1"""
_NOTIFY = f"SELECT pg_notify('{CHANNEL}' || $1, $2::text)"


class SharedLimits:
    """Exchanges the limits of one client with those of the others; called by the session.

    Args:
        throttle: of the client.
        account: a fingerprint of the account.
        wake: has the session call `exchange` soon.
    """

    def __init__(self, throttle: Throttle, account: str, wake: Callable[[], None]) -> None:
        self._throttle = throttle
        self._account = account
        self._wake = wake
        self._listening: Connection | None = None
        self._owner: int | None = None
        self._rate: float | None = None
        self._is_refused = False

    def open(self) -> None:
        """Share the limits from now on, because there is a session."""
        self._listening = self._rate = None
        self._is_refused = False
        self._throttle.attach(self._wake)

    def close(self) -> None:
        """Leave the client to itself, because there is no session."""
        self._throttle.detach()

    def exchange(self, connection: Connection, owner: int) -> None:
        """Publish what has changed here, and adopt the state that all clients share.

        Args:
            connection: of the session, outside of a transaction.
            owner: the number of this client.
        """
        self._owner = owner
        if self._is_refused:
            return
        try:
            self._listen(connection)
            self._exchange(connection)
        except REPEATABLE:
            # The state stays unchanged, and the next exchange tries again.
            return
        except psycopg.Error as error:
            if connection.closed:
                raise
            # Rights are missing: uploads go on, with limits of their own.
            self._is_refused = True
            self.close()
            message = "pauses and the maximum rate aren't shared with other clients: %s"
            log_event(JOURNAL_NOT_WRITTEN, message, error, reason=str(error))

    def _exchange(self, connection: Connection) -> None:
        changes = self._throttle.pauses.changes()
        has_new_rate = self._write_rate(connection)
        if self._write_pause(connection, changes) or has_new_rate:
            connection.execute(_NOTIFY.encode(), (self._account, str(self._owner)))
        may_probe = changes.wants_probe and self._get_probe(connection)
        row = connection.execute(_READ.encode(), (self._account,)).fetchone()
        sharers, seconds, count = row or (0, None, 0)
        self._throttle.share_rate(sharers)
        pause = None if seconds is None else Pause(seconds, count)
        self._throttle.pauses.update(changes.version, pause, may_probe=may_probe)

    def _listen(self, connection: Connection) -> None:
        if self._listening is not connection:
            connection.add_notify_handler(self._notified)
            channel = sql.Identifier(CHANNEL + self._account)
            connection.execute(sql.SQL("LISTEN {}").format(channel))
            self._listening = connection

    def _notified(self, notification: psycopg.Notify) -> None:
        """Handle a notification, which any thread may have received with a result."""
        if notification.payload != str(self._owner):
            self._wake()

    def _write_rate(self, connection: Connection) -> bool:
        """Write the maximum rate of this client; return whether it is a new one."""
        rate = self._throttle.max_rate
        if rate == self._rate:
            return False
        connection.execute(_SET_RATE.encode(), (self._account, self._owner, rate))
        self._rate = rate
        return True

    def _write_pause(self, connection: Connection, changes: PauseChanges) -> bool:
        """Write what happened to the pause; return whether the others must know."""
        if (pause := changes.pause) is not None:
            connection.execute(_PAUSE.encode(), (self._account, pause.seconds, pause.count))
        elif changes.is_resumed:
            connection.execute(_RESUME.encode(), (self._account,))
        elif changes.has_released:
            connection.execute(_RELEASE.encode(), (self._account, self._owner))
        return pause is not None or changes.is_resumed

    def _get_probe(self, connection: Connection) -> bool:
        """Ask for the right to probe, which one client has at a time."""
        timeout = PROBE_TIMEOUT / self._throttle.pauses.speed
        row = connection.execute(_PROBE.encode(), (self._account, self._owner, timeout)).fetchone()
        return row is not None
