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
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import msgspec

from livepeer_async.errors import JournalError, UploadInUse
from livepeer_async.uploads.records import Doubt, Orphan, Record, RecordState, remains_of

T = TypeVar("T")

# Written into the file by its first writer; a newer version of this package may count on.
SCHEMA_VERSION = 1
# "lpja": tells our files from any other program's databases.
APPLICATION_ID = 0x6C706A61
# Each transaction takes about a millisecond; who holds the file for longer isn't one of us.
BUSY_SECONDS = 10.0
# The permissions that nobody but the owner may have: upload URLs are secrets.
OTHERS = 0o077

_SCHEMA = """
CREATE TABLE account (fingerprint TEXT NOT NULL);
CREATE TABLE records (key TEXT PRIMARY KEY, state TEXT NOT NULL, record BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE orphans (asset_id TEXT PRIMARY KEY, orphan BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE doubts (id INTEGER PRIMARY KEY, doubt BLOB NOT NULL);
CREATE TABLE owners (owner TEXT PRIMARY KEY, pid INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
"""


class Journal:
    """A journal on disk; opened by the first call that needs it.

    Args:
        path: the file; made where there is none, readable by its owner alone.
        account: a fingerprint of the account; a journal belongs to one.
    """

    def __init__(self, path: str | os.PathLike[str], *, account: str) -> None:
        self.path = str(Path(path).absolute())
        self._account = account
        # One connection, used by one thread at a time.
        self._limiter = anyio.CapacityLimiter(1)
        self._connection: sqlite3.Connection | None = None
        self._life: _Life | None = None
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

    async def abandon(self, record: Record, now: float) -> None:
        """Put what an upload may have left on the server in the place of its record.

        Args:
            record: of the upload.
            now: seconds since 1970.
        """
        remains = remains_of(record, now)

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

        Nothing is deleted on the server: a ready asset stays, and what is of no more use is noted.

        Raises:
            UploadInUse: it is being carried.
            JournalError: the journal can't be read or written.
        """
        async with self.claimed(key) as record:
            if record is None:
                return False
            if record.state is RecordState.READY:
                await self.drop(key)
            else:
                await self.abandon(record, time.time())
            return True

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
            raise self._error(f"holds a record that can't be read: {error}") from error

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in a transaction, in a worker thread: the disk may take its time."""
        return await anyio.to_thread.run_sync(self._transact, work, limiter=self._limiter)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._translated():
            if self._connection is None:
                self._connection = self._open()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        return result

    def _open(self) -> sqlite3.Connection:
        # SQLite gives the files beside it the same permissions.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        file = Path(self.path)
        if file.stat().st_mode & OTHERS:
            with suppress(PermissionError):
                file.chmod(0o600)
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._check_kind(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            # Each commit reaches the disk: what the server has must be known after a power cut too.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            self._check_schema(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_kind(self, connection: sqlite3.Connection) -> None:
        """Refuse what isn't ours before a byte of it is changed."""
        kind = _value(connection, "PRAGMA application_id")
        version = _value(connection, "PRAGMA user_version")
        if kind != APPLICATION_ID and _value(connection, "SELECT count(*) FROM sqlite_schema"):
            raise self._error("is another program's database; give another file")
        if version > SCHEMA_VERSION:
            raise self._error(
                f"was written by a newer livepeer-async (version {version} of the file; this one "
                f"knows {SCHEMA_VERSION}): upgrade, or give another file"
            )

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file; refuse the file of another account."""
        if not _value(connection, "SELECT count(*) FROM sqlite_schema"):
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("INSERT INTO account VALUES (?)", (self._account,))
        # Written each time: that a file may only be read shows with the first write.
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if _value(connection, "SELECT fingerprint FROM account") != self._account:
            raise self._error(
                "was begun with another API key or base URL, whose assets it names: use that key, "
                "or give another file"
            )

    def _close(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection is not None and self._life is not None:
                self._connection.execute("DELETE FROM claims WHERE owner = ?", (self._life.owner,))
                self._connection.execute("DELETE FROM owners WHERE owner = ?", (self._life.owner,))
        if self._life is not None:
            self._life.end()
            self._life = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _claim(self, connection: sqlite3.Connection, key: str) -> Record | None:
        if self._life is None:
            self._sweep(connection)
            self._life = _Life(self.path)
        owner = self._life.owner
        connection.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (owner, os.getpid()))
        query = "SELECT owner, pid FROM claims LEFT JOIN owners USING (owner) WHERE key = ?"
        found = connection.execute(query, (key,)).fetchone()
        if found and found[0] != owner and _Life.goes_on(self.path, found[0]):
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
        for (owner,) in connection.execute("SELECT owner FROM owners").fetchall():
            if not _Life.goes_on(self.path, owner):
                connection.execute("DELETE FROM claims WHERE owner = ?", (owner,))
                connection.execute("DELETE FROM owners WHERE owner = ?", (owner,))
                Path(_Life.path_of(self.path, owner)).unlink(missing_ok=True)

    def _in_use(self, key: str, why: str) -> UploadInUse:
        return UploadInUse(
            f"the upload of {key!r} is in use: {why}; wait for it, or give another key",
            path=self.path,
            key=key,
        )

    def _error(self, what: str) -> JournalError:
        return JournalError(f"the journal {self.path} {what}", path=self.path)

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(_explain(error)) from error
        except msgspec.DecodeError as error:
            raise self._error(f"holds a record that can't be read: {error}") from error
        except OSError as error:
            raise self._error(f"can't be opened: {error.strerror}") from error


class _Life:
    """A sign of life that ends with the process: a lock on a file of its own.

    It is SQLite's own lock, on a database that stays empty: the same on every system.
    """

    def __init__(self, journal: str) -> None:
        self.owner = uuid.uuid4().hex
        self._path = self.path_of(journal, self.owner)
        Path(self._path).touch(0o600, exist_ok=False)
        self._lock = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._lock.execute("BEGIN EXCLUSIVE")

    def end(self) -> None:
        """Drop the lock and its file."""
        self._lock.close()
        Path(self._path).unlink(missing_ok=True)

    @staticmethod
    def path_of(journal: str, owner: str) -> str:
        """Name the file whose lock shows that an owner lives."""
        return f"{journal}-owner-{owner}"

    @classmethod
    def goes_on(cls, journal: str, owner: str) -> bool:
        """Whether the process of an owner still runs."""
        path = cls.path_of(journal, owner)
        if not Path(path).exists():
            return False
        with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                return True
        return False


def _value(connection: sqlite3.Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _explain(error: sqlite3.Error) -> str:
    """Say what SQLite's error means for the one who has to act."""
    name = getattr(error, "sqlite_errorname", "") or ""
    for mark, sentence in _SENTENCES.items():
        if name.startswith(mark):
            return sentence
    return f"can't be used: {error}"


_SENTENCES = {
    "SQLITE_BUSY": f"is locked by another program for more than {BUSY_SECONDS:.0f} s: end that "
    "program and run again",
    "SQLITE_FULL": "can't be written, the disk is full: make room and run again; nothing that it "
    "held is lost",
    "SQLITE_READONLY": "may only be read: make it writable, or give another file",
    "SQLITE_CANTOPEN": "can't be opened: its folder must be there, and writable",
    "SQLITE_NOTADB": "is no journal: the file is no SQLite database; give another file",
    "SQLITE_CORRUPT": "is damaged: give another file, and look at `assets list --phase uploading` "
    "for what was begun",
    "SQLITE_IOERR": "can't be read or written: the disk or its file system failed",
}
