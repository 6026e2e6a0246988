"""A journal on PostgreSQL, and the claims of one open journal in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import msgspec

from livepeer_async.concurrency import Reservations
from livepeer_async.errors import UploadInUse
from livepeer_async.journal.busy_timeout import BusyTimeout
from livepeer_async.journal.location import hide_password
from livepeer_async.journal.postgres.connecting import Connection
from livepeer_async.journal.postgres.findings import journal_error
from livepeer_async.journal.postgres.owners import (
    KEY_NAMESPACE,
    Owner,
    delete_owner,
    find_owner,
    note_lost_owners,
)
from livepeer_async.journal.postgres.processes import current_process
from livepeer_async.journal.postgres.session import STOP_AFTER, Session, now
from livepeer_async.journal.postgres.shared_limits import SharedLimits
from livepeer_async.journal.postgres.statements import PostgresTables, key_id
from livepeer_async.journal.tables import ClaimPending, Tables, in_use_error
from livepeer_async.redaction import show_source
from livepeer_async.scheduling.throttle import Throttle

T = TypeVar("T")

# Seconds after which an owner has certainly stopped, from when its lock was first seen released:
# it stops 15 s after its last sign of life, within 2 s.
GRACE = STOP_AFTER + 5.0
# Seconds for which calls wait at least while the database doesn't respond.
MIN_OUTAGE_TIMEOUT = 60.0
# Seconds between two searches for owners whose sessions are lost.
CLEANUP_INTERVAL = 30.0
# Seconds after which a process that lost its session won't come back to uploads without a key, and
# after which it is forgotten: until then it takes over those of its claims that are still there.
RETURN_TIMEOUT = 600.0
KEEP_SECONDS = 24 * 3600.0
# A key is written by one transaction at a time, and the others don't wait for it: they would wait
# for each other if they write several keys.
_CLAIM = f"""
WITH attempt AS (SELECT pg_try_advisory_xact_lock({KEY_NAMESPACE}, hashtext($2)) AS is_free),
written AS (
    INSERT INTO claims AS it SELECT $1, sha256(convert_to($2, 'UTF8')), $3 FROM attempt
    WHERE is_free ON CONFLICT (account, id)
    DO UPDATE SET owner = excluded.owner WHERE it.owner IN ($3, $4) RETURNING owner
)
SELECT is_free, EXISTS (SELECT FROM written) FROM attempt"""
_RELEASE = f"""
DELETE FROM claims WHERE account = $1 AND owner = $2 AND id = ANY($3::bytea[])
AND id IN (SELECT id FROM unnest($3::bytea[], $4::text[]) AS released (id, key)
    WHERE pg_try_advisory_xact_lock({KEY_NAMESPACE}, hashtext(key)))
RETURNING id"""
_IDENTITY = "SELECT id FROM journal WHERE $1::text IS NOT NULL"
_OWNED = "SELECT id FROM claims WHERE account = $1 AND owner = $2 AND id = ANY($3::bytea[])"
# Seconds until a key is tried again that another transaction is writing.
BUSY_DELAY = 0.02


class PostgresStore:
    """A PostgreSQL database as the store of a journal; see `Store`.

    Args:
        url: of the database.
        account: a fingerprint of the account; its rows are those of the journal.
        throttle: has the limits that clients share; `None` shares nothing.
        outage_timeout: seconds for which calls wait while the database doesn't respond.
    """

    def __init__(
        self, url: str, account: str | None, *, throttle: Throttle | None, outage_timeout: float
    ) -> None:
        self.location = hide_password(url)
        self.held = Reservations[str]()
        self.written: set[str] = set()
        self._account = account or ""
        self._outage_timeout = max(outage_timeout, MIN_OUTAGE_TIMEOUT)
        self._lost: set[str] = set()
        # Claims whose transactions haven't ended, and are repeated if the session is lost.
        self._claiming: set[str] = set()
        self._lost_since: dict[int, float] = {}
        self._watchers: dict[object, Callable[[], None]] = {}
        self._cleanup_at = 0.0
        self._session = session = Session(url, self.location, self._account, self)
        self._limits = (
            None if throttle is None else SharedLimits(throttle, self._account, session.wake)
        )

    @property
    def is_forked(self) -> bool:
        """Whether the session was opened before a fork."""
        return self._session.is_forked

    def busy_timeout(self) -> BusyTimeout:
        """Return the busy timeout of a call that starts now."""
        return BusyTimeout(self._outage_timeout)

    def transact(self, work: Callable[[Tables], T], busy_timeout: BusyTimeout) -> T:
        """Call a function in a transaction; see `Store.transact`."""
        if self.is_forked:
            finding = "was opened before a fork; open a client in each process"
            raise journal_error(self.location, finding)
        released: set[str] = set()
        claimed: set[str] = set()

        def release_and_work(connection: Connection) -> T:
            nonlocal released
            tables = self._tables(connection, claimed)
            released = self._release(tables)
            return work(tables)

        try:
            result = self._session.transact(release_and_work, busy_timeout)
        except msgspec.DecodeError as error:
            finding = f"holds a record that can't be read: {error}"
            raise journal_error(self.location, finding) from error
        finally:
            self._claiming.difference_update(claimed)
        self._forget(released)
        return result

    def _tables(self, connection: Connection, claimed: set[str]) -> PostgresTables:
        execute = partial(self._session.execute, connection)
        return PostgresTables(execute, self.location, self._account, claimed)

    def _release(self, tables: Tables) -> set[str]:
        """Delete the claims on keys that aren't held; return those that are gone."""
        # A copy: other threads may add keys meanwhile.
        released = {key for key in list(self.written) if key not in self.held}
        if not released:
            return released
        owner, ids = self._session.owner, {key_id(key): key for key in released}
        deleted = tables.execute(_RELEASE, owner, list(ids), list(ids.values()))
        # The others were lost, or another process is looking at them.
        busy = tables.execute(_OWNED, owner, list(ids)) if len(deleted) < len(ids) else []
        return released - {ids[row[0]] for row in busy}

    def _forget(self, released: set[str]) -> None:
        self.written -= released
        self._lost -= released

    def claim(self, tables: Tables, key: str) -> None:
        """Write the claim on a key; raises as `Store.claim` says."""
        own = previous = self._session.owner
        while True:
            is_free, is_written = tables.execute(_CLAIM, key, own, previous)[0]
            if not is_free:
                raise ClaimPending(BUSY_DELAY, "another process")
            if is_written:
                break
            found = find_owner(tables, key_id(key))
            if found is None:
                continue  # it was released meanwhile
            if found.is_alive:
                raise in_use_error(tables, self.location, key, str(found.process))
            seconds = self._seconds_to_wait(found)
            if seconds:
                self._cleanup_at = 0.0
                self._session.wake()
                raise ClaimPending(seconds, str(found.process))
            # Its process takes the other claims over if it comes back.
            previous = found.number
        tables.claimed.add(key)
        self._claiming.add(key)
        self.written.add(key)
        self._lost.discard(key)

    def identify(self, tables: Tables) -> str:
        """Return an ID of the database, which is the same for all URLs."""
        identity: str = tables.execute(_IDENTITY)[0][0]
        return identity

    def check_claim(self, key: str) -> None:
        """Check that the claim on a key wasn't lost; raises as `Store.check_claim` says."""
        if key in self._lost:
            shown: str = show_source(key)
            message = (
                f"the upload of {shown!r} was taken over by another process while the journal "
                f"{self.location} couldn't be reached"
            )
            raise UploadInUse(message, path=self.location, key=shown)

    def is_in_use(self, tables: Tables, key: str) -> bool:
        """Whether this journal or another process has the claim on a key, or may still have it."""
        if key in self.held:
            return True
        found = find_owner(tables, key_id(key))
        is_own = found is not None and found.number == self._session.owner
        return found is not None and not is_own and self._may_run(found)

    def is_abandoned(self, tables: Tables, key: str) -> bool:
        """Whether no process will come back to a key, which needs the claim for its upload."""
        if key in self.held:
            return False
        found = find_owner(tables, key_id(key))
        if found is None or found.process.has_ended(current_process()):
            return True
        return not found.is_alive and found.lost_seconds > RETURN_TIMEOUT

    @property
    def is_certain(self) -> bool:
        """Whether the claims certainly hold, now and for the next seconds."""
        return self._session.is_certain

    @contextmanager
    def watch(self, on_lost: Callable[[], None]) -> Generator[None, None, None]:
        """Call a function, in any thread, if the claims may be lost within the block."""
        watcher = object()
        self._watchers[watcher] = on_lost
        try:
            yield
        finally:
            del self._watchers[watcher]

    def close(self, busy_timeout: BusyTimeout, *, loop: asyncio.AbstractEventLoop | None) -> None:
        """Delete all claims and end the session; see `Store.close`."""
        if not self.held.has_other_loops(loop):
            self._session.close(busy_timeout.remaining)
            if self._limits is not None:
                self._limits.close()
            self.written.clear()
            self._lost.clear()

    def session_opened(self, claimed: set[bytes]) -> None:
        """Find the keys whose claims were lost with the last session."""
        held = [key for key in list(self.written - self._claiming) if key in self.held]
        self._lost.update(key for key in held if key_id(key) not in claimed)
        if self._limits is not None:
            self._limits.open()

    def session_lost(self) -> None:
        """Tell all watchers that the claims may be lost."""
        if self._limits is not None:
            self._limits.close()
        for on_lost in list(self._watchers.values()):
            on_lost()

    def session_used(self, connection: Connection) -> None:
        """Exchange the limits, release claims, and remove owners that won't come back."""
        if self._limits is not None:
            self._limits.exchange(connection, self._session.owner or 0)
        # Those whose release failed, because the database didn't respond.
        self._forget(self._release(self._tables(connection, set())))
        if now() < self._cleanup_at:
            return
        self._cleanup_at = now() + CLEANUP_INTERVAL
        for owner in note_lost_owners(connection, self._account):
            has_ended = owner.process.has_ended(current_process())
            if has_ended or owner.lost_seconds > KEEP_SECONDS:
                delete_owner(connection, owner.number)

    def _may_run(self, owner: Owner) -> bool:
        return owner.is_alive or self._seconds_to_wait(owner) > 0

    def _seconds_to_wait(self, owner: Owner) -> float:
        """Return the seconds until an owner whose session is lost has certainly stopped."""
        if owner.process.has_ended(current_process()):
            return 0.0
        since = self._lost_since.setdefault(owner.number, now())
        return max(since + GRACE - now(), 0.0)
