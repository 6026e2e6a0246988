"""The claims in a journal's file, each of which makes one open journal the only writer of a key.

A claim ends with its process, never by the clock: a laptop that wakes from sleep would be a second
writer. Each open journal holds a lock on a file beside it, which the operating system releases
however the process ends. Everything here blocks.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TypeVar

from livepeer_async.concurrency import Reservations
from livepeer_async.errors import JournalError, TooManyOpenFiles
from livepeer_async.journal.busy_timeout import BusyTimeout, WaitCancelled
from livepeer_async.journal.sqlite.database import JournalDatabase
from livepeer_async.journal.sqlite.owner_lock import OwnerLock
from livepeer_async.journal.sqlite.statements import SqliteTables
from livepeer_async.journal.tables import Tables, in_use_error

T = TypeVar("T")


class SqliteStore:
    """A journal's file, and the claims of one open journal in its table `claims`; see `Store`.

    Args:
        path: the file; created if missing, readable by its owner only.
        account: a fingerprint of the account that the journal belongs to; `None` opens an existing
            journal of any account.
    """

    def __init__(self, path: str | os.PathLike[str], account: str | None) -> None:
        self._database = JournalDatabase(path, account)
        self.location = self._database.path
        self._lock: OwnerLock | None = None
        self.held = Reservations[str]()
        self.written: set[str] = set()

    @property
    def is_forked(self) -> bool:
        """Whether the file was opened before a fork, which doesn't copy SQLite's locks."""
        return self._database.is_forked

    def busy_timeout(self) -> BusyTimeout:
        """Return the busy timeout of a call that starts now."""
        return self._database.busy_timeout()

    def transact(self, work: Callable[[Tables], T], busy_timeout: BusyTimeout) -> T:
        """Call a function in a transaction; see `Store.transact`."""
        released: set[str] = set()

        def release_and_work(connection: sqlite3.Connection) -> T:
            # A copy: other threads may add keys meanwhile.
            released.update(key for key in list(self.written) if key not in self.held)
            self.written.difference_update(released)
            if self._lock is not None:
                rows = [(key, self._lock.owner) for key in released]
                connection.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", rows)
            return work(SqliteTables(connection))

        try:
            return self._database.transact(release_and_work, busy_timeout)
        except BaseException:
            self.written.update(released)
            raise

    def claim(self, tables: Tables, key: str) -> None:
        """Write the claim on a key; raises as `Store.claim` says."""
        if self._lock is None:
            self._remove_stale_owners(tables)
            self._lock = OwnerLock(self._database.path)
        owner = self._lock.owner
        tables.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", owner, os.getpid())
        pid = self._pid_of_other(tables, key)
        if pid is not None:
            raise in_use_error(tables, self.location, key, f"process {pid}")
        self.written.add(key)
        tables.claimed.add(key)
        tables.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", key, owner)

    def is_in_use(self, tables: Tables, key: str) -> bool:
        """Whether this journal or another open one has the claim on a key.

        Raises:
            JournalError: the lock of the other one can't be checked.
        """
        return key in self.held or self._pid_of_other(tables, key) is not None

    def is_abandoned(self, tables: Tables, key: str) -> bool:
        """Whether no process has the claim on a key; raises as `is_in_use` does."""
        return not self.is_in_use(tables, key)

    @property
    def is_certain(self) -> bool:
        """Whether the claims certainly hold: they do as long as the process."""
        return True

    def identify(self, tables: Tables) -> str:  # noqa: ARG002 - the path is enough
        """Return the path, without links."""
        return self.location

    def check_claim(self, key: str) -> None:
        """Do nothing: no claim is ever lost."""

    def watch(self, on_lost: Callable[[], None]) -> AbstractContextManager[None]:  # noqa: ARG002 - no claim is ever lost
        """Return a context that does nothing."""
        return nullcontext()

    def close(self, busy_timeout: BusyTimeout, *, loop: asyncio.AbstractEventLoop | None) -> None:
        """Delete all claims, close the file and release the lock; see `Store.close`."""
        # Waits for a running transaction, which may write a first claim; the next one opens the
        # file again.
        with self._database.lock:
            if self.held.has_other_loops(loop):
                return
            lock, is_deleted = self._lock, False
            if lock is not None:
                with suppress(JournalError, TooManyOpenFiles, WaitCancelled):
                    self._database.transact(
                        lambda c: _delete_owner(SqliteTables(c), lock.owner), busy_timeout
                    )
                    is_deleted = True
            self._database.close()
            if lock is not None:
                lock.release(keeps_file=not is_deleted)
                self._lock = None
            self.written.clear()

    def _pid_of_other(self, tables: Tables, key: str) -> int | None:
        """Return the process of another open journal that has the claim on a key, if any."""
        query = "SELECT owner, pid FROM claims LEFT JOIN owners USING (owner) WHERE key = ?"
        found = next(iter(tables.execute(query, key)), None)
        is_own = found and self._lock is not None and found[0] == self._lock.owner
        if not found or is_own or not OwnerLock.is_held(self._database.path, *found):
            return None
        return int(found[1] or 0)

    def _remove_stale_owners(self, tables: Tables) -> None:
        """Remove the owners whose processes were killed."""
        path = self._database.path
        pids: dict[str, int] = dict(tables.execute("SELECT owner, pid FROM owners"))
        # A process that was killed while it created its file has no row. No file is being created
        # now, because that happens within a transaction as well.
        for owner in pids.keys() | OwnerLock.found_beside(path):
            # A file that can't be opened is reported when a key of that owner is claimed.
            with suppress(JournalError):
                if not OwnerLock.is_held(path, owner, pids.get(owner)):
                    _delete_owner(tables, owner)
                    OwnerLock.delete_files(path, owner)


def _delete_owner(tables: Tables, owner: str) -> None:
    tables.execute("DELETE FROM claims WHERE owner = ?", owner)
    tables.execute("DELETE FROM owners WHERE owner = ?", owner)
