"""The journal: durable records of uploads, and one claim for each key.

The offset isn't recorded, because the server knows it. A record is written before the effect that
it allows to undo, so that a kill leaves nothing unknown on the server.

A claim makes its holder the only writer of an upload, across processes. It ends with its process,
never by the clock: a laptop that slept would wake up as a second writer. Each process holds a lock
on a file beside the journal, which the operating system releases however the process ends.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from livepeer_async.concurrency import plain_task_group, run_shielded
from livepeer_async.errors import ConfigurationError, JournalError, UploadInUse
from livepeer_async.journal.database import BusyTimeout, JournalDatabase, WaitCancelled
from livepeer_async.journal.owner_lock import OwnerLock
from livepeer_async.journal.records import (
    FULLY_UPLOADED,
    Orphan,
    Record,
    UnconfirmedRequest,
    leftover_from,
)
from livepeer_async.redaction import show_source

T = TypeVar("T")

_log = logging.getLogger("livepeer_async")

# For a release once the caller is cancelled, and for closing: a claim that stays is dropped by the
# next transaction, or with the owner's lock.
RELEASE_TIMEOUT = 0.5
# In the column of the state: the record of an upload that runs without a key.
KEYLESS = "keyless"
_NOUNS: dict[type, str] = {
    Record: "record",
    Orphan: "orphan",
    UnconfirmedRequest: "unconfirmed request",
}


class Journal:
    """A journal on disk; opened by the first call that needs it.

    Args:
        path: the file; made where there is none, readable by its owner alone.
        account: a fingerprint of the account; a journal belongs to one.
    """

    def __init__(self, path: str | os.PathLike[str], *, account: str) -> None:
        self._file = JournalDatabase(path, account)
        self.path = self._file.path
        self._limiter = anyio.CapacityLimiter(1)
        self._owner_lock: OwnerLock | None = None
        self._is_closed = False
        self._waiting: set[BusyTimeout] = set()
        # The keys that are carried, and those whose claims the file may hold. What is written and
        # isn't held goes with the next transaction.
        self._held: set[str] = set()
        self._written: set[str] = set()

    def __repr__(self) -> str:
        return f"<Journal {self.path!r}>"

    async def open(self) -> None:
        """Open the file, or make it; also after it was closed.

        Raises:
            JournalError: it is no journal, a newer version's, another account's, or can't be
                written to.
        """
        self._is_closed = False
        await self._run(lambda _: None)

    async def aclose(self) -> None:
        """Close the file and give all claims up; after it only `open` can be called."""
        self._is_closed = True
        for busy_timeout in self._waiting:
            busy_timeout.cancel()
        if not self._file.is_forked:
            # No queue, in which it would miss its turn once cancelled.
            limiter = anyio.CapacityLimiter(1)
            close = partial(self._in_thread, self._close, BusyTimeout(RELEASE_TIMEOUT), limiter)
            await run_shielded(close, grace=RELEASE_TIMEOUT)

    @asynccontextmanager
    async def acquire(self, key: str) -> AsyncGenerator[Record | None, None]:
        """Be the only one who carries the upload of a key; give what is known of it.

        Raises:
            UploadInUse: somebody else carries it.
            JournalError: the journal can't be read or written.
            ConfigurationError: the journal is closed.
        """
        key = as_text(key)
        if key in self._held:
            raise self._in_use(key, "this process carries it already")
        async with self._holding(key):
            self._written.add(key)
            try:
                record = await self._run(lambda connection: self._claim(connection, key))
            except (JournalError, ConfigurationError):
                self._written.discard(key)
                raise
            yield record

    @asynccontextmanager
    async def acquire_keyless(self) -> AsyncGenerator[str, None]:
        """Make up the key of an upload that has none; its claim is written with its record."""
        key = uuid.uuid4().hex
        async with self._holding(key):
            yield key

    @asynccontextmanager
    async def _holding(self, key: str) -> AsyncGenerator[None, None]:
        """Keep the claim of a key from being dropped until the block ends."""
        self._held.add(key)
        within = inf
        try:
            yield
        except anyio.get_cancelled_exc_class():
            # That of a task comes once: to wait for the release wouldn't meet it again.
            within = RELEASE_TIMEOUT
            raise
        finally:
            self._held.discard(key)
            if key in self._written:
                # A claim that stays shuts others out for as long as this process runs.
                await run_shielded(self._release, timeout=within, grace=RELEASE_TIMEOUT)

    async def write(self, record: Record) -> None:
        """Put a record in the place of the one that its key had; without a key, with its claim.

        Raises:
            JournalError: it can't be written; the old one stays.
        """
        state = KEYLESS if record.is_keyless else record.state
        row = (record.key, state, msgspec.json.encode(record))

        def write(connection: sqlite3.Connection) -> None:
            if record.is_keyless:
                self._claim(connection, record.key)
            connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", row)

        await self._run(write)

    async def drop(self, key: str) -> None:
        """Drop the record of a key: the server has nothing of it."""
        await self._run(lambda c: c.execute("DELETE FROM records WHERE key = ?", (key,)))

    async def drop_keyless(self, key: str) -> None:
        """Drop the record and the claim of an upload without a key."""
        tables = ("records", "claims")
        queries = [f"DELETE FROM {table} WHERE key = ?" for table in tables]  # noqa: S608 - ours
        await self._run(lambda c: [c.execute(query, (key,)) for query in queries])
        self._written.discard(key)

    async def abandon(self, record: Record, *, is_useless: bool) -> None:
        """Put what an upload may have left on the server in the place of its record.

        Args:
            record: of the upload.
            is_useless: as in `Orphan`.
        """
        remains = leftover_from(record, time.time(), is_useless=is_useless)
        await self._run(lambda connection: _replace(connection, record.key, remains))

    async def forget(self, key: str) -> bool:
        """Let the next upload of a key begin anew; say whether there was anything to forget.

        Nothing is deleted on the server: what has arrived stays, and what hasn't is noted.

        Raises:
            UploadInUse: it is being carried.
            JournalError: the journal can't be read or written.
        """
        async with self.acquire(key) as record:
            if record is None:
                return False
            if record.state in FULLY_UPLOADED:
                await self.drop(record.key)
            else:
                await self.abandon(record, is_useless=False)
            return True

    async def forget_uploaded(self, key: str) -> None:
        """Forget the upload of a key where all of it has arrived; its asset stays."""
        places = ",".join("?" * len(FULLY_UPLOADED))
        query = f"DELETE FROM records WHERE key = ? AND state IN ({places})"  # noqa: S608 - question marks
        await self._run(lambda c: c.execute(query, (as_text(key), *FULLY_UPLOADED)))

    async def records(self) -> list[Record]:
        """Give the records of all keys that can be read, in the order of their keys."""
        query = "SELECT key, record FROM records WHERE state != ? ORDER BY key"
        return await self._read(query, Record, (KEYLESS,))

    async def keyless_records(self) -> list[Record]:
        """Give the records of uploads without a key, of those that run and those that were cut."""
        query = "SELECT key, record FROM records WHERE state = ?"
        return await self._read(query, Record, (KEYLESS,))

    async def find(self, keys: Sequence[str]) -> dict[str, Record]:
        """Give the records of these keys, where there are any that can be read; by their keys."""
        wanted = {as_text(key): key for key in keys}
        # As one value, for the number of those is bounded.
        query = "SELECT key, record FROM records WHERE key IN (SELECT value FROM json_each(?))"
        found = await self._read(query, Record, (msgspec.json.encode(list(wanted)).decode(),))
        return {wanted[record.key]: record for record in found if record.key in wanted}

    async def drop_orphan(self, asset_id: str) -> None:
        """Take note that an asset is deleted."""
        await self._run(lambda c: c.execute("DELETE FROM orphans WHERE asset_id = ?", (asset_id,)))

    async def orphans(self) -> list[Orphan]:
        """Give the assets of ours that are still to be deleted."""
        await self._run(self._give_up_keyless)
        return await self._read("SELECT asset_id, orphan FROM orphans ORDER BY asset_id", Orphan)

    async def drop_unconfirmed(self, unconfirmed: UnconfirmedRequest) -> None:
        """Take note that a request left nothing behind."""
        row = (msgspec.json.encode(unconfirmed),)
        await self._run(lambda c: c.execute("DELETE FROM doubts WHERE doubt = ?", row))

    async def unconfirmed_requests(self) -> list[UnconfirmedRequest]:
        """Give the requests of which nobody knows what they left behind."""
        await self._run(self._give_up_keyless)
        return await self._read("SELECT id, doubt FROM doubts ORDER BY id", UnconfirmedRequest)

    async def _read(self, query: str, kind: type[T], values: tuple[str, ...] = ()) -> list[T]:
        """Read a name and a value from each row; one that is broken doesn't hide the others."""
        found: list[T] = []
        for name, row in await self._run(lambda c: c.execute(query, values).fetchall()):
            try:
                found.append(msgspec.json.decode(row, type=kind))
            except msgspec.DecodeError as error:
                what = f"{_NOUNS[kind]} {show_source(name)!r}"
                _log.warning("journal %s: skipping unreadable %s: %s", self.path, what, error)
        return found

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in a transaction, in a worker thread: the disk may take its time."""
        if self._is_closed:
            raise self._closed()
        busy_timeout = self._file.busy_timeout()
        try:
            return await self._in_thread(partial(self._transact, work), busy_timeout, self._limiter)
        except WaitCancelled:
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise self._closed() from None

    async def _in_thread(
        self,
        work: Callable[[BusyTimeout], T],
        busy_timeout: BusyTimeout,
        limiter: anyio.CapacityLimiter,
    ) -> T:
        """Wait for a thread to end; once cancelled, it ends where it would wait."""
        results: list[T] = []

        async def watch() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                busy_timeout.cancel()

        self._waiting.add(busy_timeout)
        try:
            async with plain_task_group() as tasks:
                # The wait for a thread is shielded, so somebody else has to notice.
                tasks.start_soon(watch)
                results.append(await anyio.to_thread.run_sync(work, busy_timeout, limiter=limiter))
                tasks.cancel_scope.cancel()
        finally:
            self._waiting.discard(busy_timeout)
        return results[0]

    def _transact(self, work: Callable[[sqlite3.Connection], T], busy_timeout: BusyTimeout) -> T:
        stale: set[str] = set()

        def work_on(connection: sqlite3.Connection) -> T:
            stale.update(self._written - self._held)
            self._written.difference_update(stale)
            if self._owner_lock is not None:
                rows = [(key, self._owner_lock.owner) for key in stale]
                connection.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", rows)
            return work(connection)

        try:
            return self._file.transact(work_on, busy_timeout)
        except BaseException:
            self._written.update(stale)
            raise

    def _close(self, busy_timeout: BusyTimeout) -> None:
        is_dropped = False
        if self._owner_lock is not None:
            owner = self._owner_lock.owner
            with suppress(JournalError, WaitCancelled):
                self._file.transact(lambda connection: _drop_owner(connection, owner), busy_timeout)
                is_dropped = True
        # It waits for a transaction that still runs, which may be a first claim.
        self._file.close()
        if self._owner_lock is not None:
            self._owner_lock.release(keeps_file=not is_dropped)
            self._owner_lock = None
        self._written.clear()

    def _claim(self, connection: sqlite3.Connection, key: str) -> Record | None:
        if self._owner_lock is None:
            self._remove_stale_owners(connection)
            self._owner_lock = OwnerLock(self.path)
        owner = self._owner_lock.owner
        connection.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (owner, os.getpid()))
        pid = self._pid_of_other(connection, key)
        if pid is not None:
            raise self._in_use(key, f"process {pid} carries it")
        self._written.add(key)
        connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, owner))
        row = connection.execute("SELECT record FROM records WHERE key = ?", (key,)).fetchone()
        return msgspec.json.decode(row[0], type=Record) if row else None

    def _pid_of_other(self, connection: sqlite3.Connection, key: str) -> int | None:
        """Give the process beside this one that holds the claim of a key; `None` for no such."""
        query = "SELECT owner, pid FROM claims LEFT JOIN owners USING (owner) WHERE key = ?"
        found = connection.execute(query, (key,)).fetchone()
        is_own = found and self._owner_lock is not None and found[0] == self._owner_lock.owner
        if not found or is_own or not OwnerLock.is_held(self.path, *found):
            return None
        return int(found[1] or 0)

    def _give_up_keyless(self, connection: sqlite3.Connection) -> None:
        """Turn records without a key into what their uploads left, once nobody carries these."""
        query = "SELECT key, record FROM records WHERE state = ?"
        for key, row in connection.execute(query, (KEYLESS,)).fetchall():
            # What can't be read, or whose owner can't be looked at, is left alone.
            with suppress(JournalError, msgspec.DecodeError):
                if key in self._held or self._pid_of_other(connection, key) is not None:
                    continue
                record = msgspec.json.decode(row, type=Record)
                # A caller may have kept the upload URL of one that ended in this process.
                _replace(connection, key, leftover_from(record, time.time(), is_useless=False))
                connection.execute("DELETE FROM claims WHERE key = ?", (key,))

    async def _release(self) -> None:
        """Drop the claims that nobody holds; what fails here, the next transaction does."""
        with suppress(JournalError, ConfigurationError):
            await self._run(lambda _: None)

    def _remove_stale_owners(self, connection: sqlite3.Connection) -> None:
        """Take away what processes that were killed have left."""
        pids: dict[str, int] = dict(connection.execute("SELECT owner, pid FROM owners").fetchall())
        # A process that was killed while it made its file is in no row. None is made meanwhile,
        # because that happens within a transaction as well.
        for owner in pids.keys() | OwnerLock.found_beside(self.path):
            # What can't be opened is left to the one who wants a key that its owner claimed.
            with suppress(JournalError):
                if not OwnerLock.is_held(self.path, owner, pids.get(owner)):
                    _drop_owner(connection, owner)
                    OwnerLock.delete_files(self.path, owner)

    def _closed(self) -> ConfigurationError:
        return ConfigurationError(f"the journal {self.path} is closed: open it, or a new client")

    def _in_use(self, key: str, why: str) -> UploadInUse:
        shown: str = show_source(key)
        said = f"the upload of {shown!r} is in use: {why}"
        return UploadInUse(said, path=self.path, key=shown)


def as_text(key: str) -> str:
    """Make a key of what may be no text: names of files can be any bytes."""
    return key.encode("utf-8", "backslashreplace").decode()


def _replace(
    connection: sqlite3.Connection, key: str, remains: Orphan | UnconfirmedRequest
) -> None:
    """Put what an upload may have left on the server in the place of its record."""
    row = msgspec.json.encode(remains)
    if isinstance(remains, Orphan):
        values = (remains.asset_id, row)
        connection.execute("INSERT OR REPLACE INTO orphans VALUES (?, ?)", values)
    else:
        connection.execute("INSERT INTO doubts (doubt) VALUES (?)", (row,))
    connection.execute("DELETE FROM records WHERE key = ?", (key,))


def _drop_owner(connection: sqlite3.Connection, owner: str) -> None:
    """Drop what a process holds that has ended, or ends."""
    connection.execute("DELETE FROM claims WHERE owner = ?", (owner,))
    connection.execute("DELETE FROM owners WHERE owner = ?", (owner,))
