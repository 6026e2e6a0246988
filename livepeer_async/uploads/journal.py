"""What has to survive the process: one SQLite file that says where each upload stands.

In come records and claims, out come the records of earlier runs. The offset isn't among them: the
server knows it. Each record is written before the effect that it allows to undo, so that whatever
kills the process leaves nothing on the server that nobody knows of.

A claim makes one writer of each upload, across processes too. It doesn't run out with time, for a
laptop that slept would wake up as a second writer: it ends with the process that holds it. Each
process keeps a lock on a file of its own beside the journal, which the operating system drops
however the process ends.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from livepeer_async.errors import JournalError, UploadInUse
from livepeer_async.uploads.journal_file import JournalFile, Life
from livepeer_async.uploads.records import (
    ALL_THERE,
    Doubt,
    Orphan,
    Record,
    RecordState,
    remains_of,
)

T = TypeVar("T")


class Journal:
    """A journal on disk; opened by the first call that needs it.

    Args:
        path: the file; made where there is none, readable by its owner alone.
        account: a fingerprint of the account; a journal belongs to one.
    """

    def __init__(self, path: str | os.PathLike[str], *, account: str) -> None:
        self._file = JournalFile(path, account)
        self.path = self._file.path
        self._limiter = anyio.CapacityLimiter(1)
        self._life: Life | None = None
        self._held: set[str] = set()

    def __repr__(self) -> str:
        return f"<Journal {self.path!r}>"

    async def open(self) -> None:
        """Open the file, or make it.

        Raises:
            JournalError: it is no journal, a newer version's, another account's, or can't be
                written to.
        """
        await self._run(lambda _: None)

    async def aclose(self) -> None:
        """Close the file and give all claims up."""
        # Shielded: the lock's file would stay behind for the next process to sweep.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close, limiter=self._limiter)

    @asynccontextmanager
    async def claimed(self, key: str) -> AsyncGenerator[Record | None, None]:
        """Be the only one who carries the upload of a key; give what is known of it.

        Raises:
            UploadInUse: somebody else carries it.
            JournalError: the journal can't be read or written.
        """
        key = as_text(key)
        if key in self._held:
            raise self._in_use(key, "this process carries it already")
        self._held.add(key)
        try:
            yield await self._run(lambda connection: self._claim(connection, key))
        finally:
            self._held.discard(key)
            # Shielded: a claim that is kept shuts others out for as long as this process runs.
            with anyio.CancelScope(shield=True), suppress(JournalError):
                await self._run(lambda connection: self._release(connection, key))

    async def write(self, record: Record) -> None:
        """Put a record in the place of the one that its key had.

        Raises:
            JournalError: it can't be written; the old one stays.
        """
        row = (record.key, record.state, msgspec.json.encode(record))
        await self._run(lambda c: c.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", row))

    async def drop(self, key: str) -> None:
        """Drop the record of a key: the server has nothing of it."""
        await self._run(lambda c: c.execute("DELETE FROM records WHERE key = ?", (key,)))

    async def abandon(self, record: Record, *, is_useless: bool) -> None:
        """Put what an upload may have left on the server in the place of its record.

        Args:
            record: of the upload.
            is_useless: as in `Orphan`.
        """
        remains = remains_of(record, time.time(), is_useless=is_useless)

        def work(connection: sqlite3.Connection) -> None:
            row = msgspec.json.encode(remains)
            if isinstance(remains, Orphan):
                values = (remains.asset_id, row)
                connection.execute("INSERT OR REPLACE INTO orphans VALUES (?, ?)", values)
            else:
                connection.execute("INSERT INTO doubts (doubt) VALUES (?)", (row,))
            connection.execute("DELETE FROM records WHERE key = ?", (record.key,))

        await self._run(work)

    async def forget(self, key: str) -> bool:
        """Let the next upload of a key begin anew; say whether there was anything to forget.

        Nothing is deleted on the server: what has arrived stays, and what hasn't is noted.

        Raises:
            UploadInUse: it is being carried.
            JournalError: the journal can't be read or written.
        """
        async with self.claimed(key) as record:
            if record is None:
                return False
            if record.state in ALL_THERE:
                await self.drop(record.key)
            else:
                await self.abandon(record, is_useless=False)
            return True

    async def forget_finished(self, key: str) -> None:
        """Forget the upload of a key where it is finished; its asset stays."""
        row = (as_text(key), RecordState.READY)
        await self._run(lambda c: c.execute("DELETE FROM records WHERE key = ? AND state = ?", row))

    async def records(self) -> list[Record]:
        """Give all records, in the order of their keys."""
        return await self._read("SELECT record FROM records ORDER BY key", Record)

    async def drop_orphan(self, asset_id: str) -> None:
        """Take note that an asset is deleted."""
        await self._run(lambda c: c.execute("DELETE FROM orphans WHERE asset_id = ?", (asset_id,)))

    async def orphans(self) -> list[Orphan]:
        """Give the assets of ours that are still to be deleted."""
        return await self._read("SELECT orphan FROM orphans ORDER BY asset_id", Orphan)

    async def drop_doubt(self, doubt: Doubt) -> None:
        """Take note that a request left nothing behind."""
        row = (msgspec.json.encode(doubt),)
        await self._run(lambda c: c.execute("DELETE FROM doubts WHERE doubt = ?", row))

    async def doubts(self) -> list[Doubt]:
        """Give the requests of which nobody knows what they left behind."""
        return await self._read("SELECT doubt FROM doubts ORDER BY id", Doubt)

    async def _read(self, query: str, kind: type[T]) -> list[T]:
        rows = await self._run(lambda connection: connection.execute(query).fetchall())
        try:
            return [msgspec.json.decode(row[0], type=kind) for row in rows]
        except msgspec.DecodeError as error:
            raise self._file.error(f"holds a record that can't be read: {error}") from error

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in a transaction, in a worker thread: the disk may take its time."""
        return await anyio.to_thread.run_sync(self._file.transact, work, limiter=self._limiter)

    def _close(self) -> None:
        if self._life is not None:
            owner = self._life.owner
            with suppress(JournalError):
                self._file.transact(lambda connection: _bury(connection, owner))
            self._life.end()
            self._life = None
        self._file.close()

    def _claim(self, connection: sqlite3.Connection, key: str) -> Record | None:
        if self._life is None:
            self._sweep(connection)
            self._life = Life(self.path)
        owner = self._life.owner
        connection.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (owner, os.getpid()))
        query = "SELECT owner, pid FROM claims LEFT JOIN owners USING (owner) WHERE key = ?"
        found = connection.execute(query, (key,)).fetchone()
        if found and found[0] != owner and Life.goes_on(self.path, found[0]):
            raise self._in_use(key, f"process {found[1]} carries it")
        connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, owner))
        row = connection.execute("SELECT record FROM records WHERE key = ?", (key,)).fetchone()
        return msgspec.json.decode(row[0], type=Record) if row else None

    def _release(self, connection: sqlite3.Connection, key: str) -> None:
        if self._life is not None:
            row = (key, self._life.owner)
            connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", row)

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Take away what processes that were killed have left."""
        known = {owner for (owner,) in connection.execute("SELECT owner FROM owners")}
        # A process that was killed while it made its file is in no row. None is made meanwhile,
        # because that happens within a transaction as well.
        for owner in known | Life.found_beside(self.path):
            if not Life.goes_on(self.path, owner):
                _bury(connection, owner)
                Path(Life.path_of(self.path, owner)).unlink(missing_ok=True)

    def _in_use(self, key: str, why: str) -> UploadInUse:
        return UploadInUse(
            f"the upload of {key!r} is in use: {why}; wait for it, or give another key",
            path=self.path,
            key=key,
        )


def as_text(key: str) -> str:
    """Make a key of what may be no text: names of files can be any bytes."""
    return key.encode("utf-8", "backslashreplace").decode()


def _bury(connection: sqlite3.Connection, owner: str) -> None:
    """Drop what a process holds that has ended, or ends."""
    connection.execute("DELETE FROM claims WHERE owner = ?", (owner,))
    connection.execute("DELETE FROM owners WHERE owner = ?", (owner,))
