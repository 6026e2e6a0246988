"""The table of leases, each of which makes one open journal the only writer of an upload.

A lease ends with its process, never by the clock: a laptop that wakes from sleep would be a second
writer. Each open journal holds a lock on a file beside it, which the operating system releases
however the process ends. Everything here blocks.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from livepeer_async.concurrency import Reservations
from livepeer_async.errors import JournalError, TooManyOpenFiles, UploadInUse
from livepeer_async.journal.busy_timeout import BusyTimeout, WaitCancelled
from livepeer_async.journal.database import JournalDatabase
from livepeer_async.journal.owner_lock import OwnerLock
from livepeer_async.journal.records import Record
from livepeer_async.redaction import show_source

T = TypeVar("T")


class LeaseTable:
    """The leases of one open journal, in the table `claims` of its file.

    Args:
        database: the journal's file.

    Attributes:
        held: the keys in use, in all event loops.
        written: the keys whose leases may be in the file; the next transaction deletes those that
            aren't held.
    """

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database
        self._lock: OwnerLock | None = None
        self.held = Reservations[str]()
        self.written: set[str] = set()

    def transact(self, work: Callable[[sqlite3.Connection], T], busy_timeout: BusyTimeout) -> T:
        """Call a function in a transaction that also deletes released leases."""
        released: set[str] = set()

        def release_and_work(connection: sqlite3.Connection) -> T:
            # A copy: other threads may add keys meanwhile.
            released.update(key for key in list(self.written) if key not in self.held)
            self.written.difference_update(released)
            if self._lock is not None:
                rows = [(key, self._lock.owner) for key in released]
                connection.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", rows)
            return work(connection)

        try:
            return self._database.transact(release_and_work, busy_timeout)
        except BaseException:
            self.written.update(released)
            raise

    def write(self, connection: sqlite3.Connection, key: str) -> None:
        """Write the lease on a key.

        Raises:
            UploadInUse: another open journal holds it.
            JournalError: the lock of that journal can't be checked.
        """
        if self._lock is None:
            self._remove_stale_owners(connection)
            self._lock = OwnerLock(self._database.path)
        owner = self._lock.owner
        connection.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (owner, os.getpid()))
        pid = self._pid_of_other(connection, key)
        if pid is not None:
            raise self.in_use_error(key, f"process {pid}", connection)
        self.written.add(key)
        connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, owner))

    def is_in_use(self, connection: sqlite3.Connection, key: str) -> bool:
        """Whether this journal or another open one holds the lease on a key.

        Raises:
            JournalError: the lock of the other one can't be checked.
        """
        return key in self.held or self._pid_of_other(connection, key) is not None

    def is_held(self, connection: sqlite3.Connection, key: str) -> bool:
        """Whether a key can't be acquired, also because a lock can't be checked."""
        try:
            return self.is_in_use(connection, key)
        except JournalError:
            return True

    def close(self, busy_timeout: BusyTimeout, *, loop: asyncio.AbstractEventLoop | None) -> None:
        """Delete all leases, close the file and release the lock.

        It stays open while another event loop than `loop` holds a key.
        """
        # Waits for a running transaction, which may write a first lease; the next one opens the
        # file again.
        with self._database.lock:
            if self.held.has_other_loops(loop):
                return
            lock, is_deleted = self._lock, False
            if lock is not None:
                with suppress(JournalError, TooManyOpenFiles, WaitCancelled):
                    self._database.transact(lambda c: _delete_owner(c, lock.owner), busy_timeout)
                    is_deleted = True
            self._database.close()
            if lock is not None:
                lock.release(keeps_file=not is_deleted)
                self._lock = None
            self.written.clear()

    def in_use_error(self, key: str, process: str, connection: sqlite3.Connection) -> UploadInUse:
        """Return the error for a key that a process is using."""
        shown: str = show_source(key)
        message = f"the upload of {shown!r} is in use by {process}"
        asset_id = _find_asset_id(connection, key)
        return UploadInUse(message, path=self._database.path, key=shown, asset_id=asset_id)

    def _pid_of_other(self, connection: sqlite3.Connection, key: str) -> int | None:
        """Return the process of another open journal that holds the lease on a key, if any."""
        query = "SELECT owner, pid FROM claims LEFT JOIN owners USING (owner) WHERE key = ?"
        found = connection.execute(query, (key,)).fetchone()
        is_own = found and self._lock is not None and found[0] == self._lock.owner
        if not found or is_own or not OwnerLock.is_held(self._database.path, *found):
            return None
        return int(found[1] or 0)

    def _remove_stale_owners(self, connection: sqlite3.Connection) -> None:
        """Remove the owners whose processes were killed."""
        path = self._database.path
        pids: dict[str, int] = dict(connection.execute("SELECT owner, pid FROM owners").fetchall())
        # A process that was killed while it created its file has no row. No file is being created
        # now, because that happens within a transaction as well.
        for owner in pids.keys() | OwnerLock.found_beside(path):
            # A file that can't be opened is reported when a key of that owner is acquired.
            with suppress(JournalError):
                if not OwnerLock.is_held(path, owner, pids.get(owner)):
                    _delete_owner(connection, owner)
                    OwnerLock.delete_files(path, owner)


def _find_asset_id(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT record FROM records WHERE key = ?", (key,)).fetchone()
    # An unreadable record must not hide that the key is in use.
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(row[0], type=Record).asset_id if row else None
    return None


def _delete_owner(connection: sqlite3.Connection, owner: str) -> None:
    connection.execute("DELETE FROM claims WHERE owner = ?", (owner,))
    connection.execute("DELETE FROM owners WHERE owner = ?", (owner,))
