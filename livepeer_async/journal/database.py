"""The journal's SQLite file: opening, checking, transactions, and a cancellable busy timeout.

Everything here blocks and runs in worker threads. Errors become `JournalError`.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from livepeer_async.errors import JournalError

# SQLite's own wait. Short beside the second within which a cancelled call is back.
SQLITE_TIMEOUT = 0.05
# Some refusals come at once, as that of the switch to WAL: between these it is slept.
PAUSE_SECONDS = 0.01


class WaitCancelled(Exception):
    """Nobody waits for the call any more; nothing of it was done."""


class BusyTimeout:
    """The patience of one call, which runs out or is taken away from it.

    Args:
        seconds: how long it may wait, counted from here: the time in a queue is part of it.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._given_up = threading.Event()

    def cancel(self) -> None:
        """End the waiting, from any thread; what is done already is done."""
        self._given_up.set()

    def shorten(self, seconds: float) -> None:
        """Let it wait for so long from here at the most."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)

    def check(self) -> None:
        """Raise `GivenUp` where nobody waits any more."""
        if self._given_up.is_set():
            raise WaitCancelled

    def acquire(self, lock: threading.Lock) -> None:
        """Wait for a lock whose holder has a patience of its own, which runs out earlier."""
        self.check()
        while not lock.acquire(timeout=SQLITE_TIMEOUT):
            self.check()

    def retry_while_busy(self, attempt: Callable[[], T]) -> T:
        """Try, at least once, until the file isn't busy.

        Raises:
            GivenUp: nobody waits any more.
            sqlite3.OperationalError: it stays busy, or something else is wrong.
        """
        while True:
            self.check()
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > self._deadline:
                    raise
            self._given_up.wait(PAUSE_SECONDS)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else has a lock: the only error that passes by itself."""
    return (getattr(error, "sqlite_errorname", "") or "").startswith("SQLITE_BUSY")


T = TypeVar("T")

# Written into the file by its first writer; a newer version of this package may count on.
SCHEMA_VERSION = 1
# "lpja": tells our files from any other program's databases.
APPLICATION_ID = 0x6C706A61
# Each transaction takes about a millisecond; who holds the file for longer isn't one of us.
BUSY_SECONDS = 10.0
# Where one call has waited in vain, the following ones don't wait as long one after another.
LOCKED_SECONDS = 0.2
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


class JournalDatabase:
    """A journal's file; opened by the first transaction.

    Args:
        path: made where there is none, readable by its owner alone.
        account: a fingerprint of the account; a journal belongs to one.
    """

    def __init__(self, path: str | os.PathLike[str], account: str) -> None:
        # Links are followed, as SQLite does: all files beside it must be beside the same one.
        self.path = str(Path(path).resolve())
        self._account = account
        # A task that ends by `Task.cancel` leaves its thread behind, and another may come.
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened_by = 0
        self._was_locked = False

    @property
    def is_forked(self) -> bool:
        """Whether it is a copy of what another process has open: SQLite's locks aren't copied."""
        return self._connection is not None and self._opened_by != os.getpid()

    def busy_timeout(self) -> BusyTimeout:
        """Begin to count how long a call waits."""
        return BusyTimeout(BUSY_SECONDS)

    def transact(
        self, work: Callable[[sqlite3.Connection], T], busy_timeout: BusyTimeout | None = None
    ) -> T:
        """Do something in a transaction.

        Raises:
            JournalError: the file can't be opened, read or written; it is as it was.
            GivenUp: nobody waits for it any more; the file is as it was.
        """
        if self.is_forked:
            raise self.error("was opened before a fork; open a client in each process")
        busy_timeout = busy_timeout or self.busy_timeout()
        with self._locked(busy_timeout), self._translated():
            connection = self._begin(busy_timeout)
            with _transaction(connection):
                return work(connection)

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def error(self, what: str) -> JournalError:
        """Make an error that names the file."""
        return JournalError(f"the journal {self.path} {what}", path=self.path)

    @contextmanager
    def _locked(self, busy_timeout: BusyTimeout) -> Generator[None, None, None]:
        busy_timeout.acquire(self._lock)
        try:
            yield
        finally:
            self._lock.release()

    def _begin(self, busy_timeout: BusyTimeout) -> sqlite3.Connection:
        """Begin a transaction that may write; open the file first where it isn't open."""
        if self._was_locked:
            busy_timeout.shorten(LOCKED_SECONDS)
        try:
            if self._connection is None:
                self._connection = self._open(busy_timeout)
                self._opened_by = os.getpid()
            busy_timeout.retry_while_busy(partial(self._connection.execute, "BEGIN IMMEDIATE"))
        except sqlite3.OperationalError as error:
            self._was_locked = is_busy(error)
            raise
        self._was_locked = False
        return self._connection

    def _open(self, busy_timeout: BusyTimeout) -> sqlite3.Connection:
        self._make()
        connection = sqlite3.connect(
            self.path, timeout=SQLITE_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            busy_timeout.retry_while_busy(partial(self._look, connection))
            _close_to_others(Path(self.path))
            busy_timeout.retry_while_busy(partial(connection.execute, "PRAGMA journal_mode = WAL"))
            # Each commit reaches the disk: what the server has must be known after a power cut too.
            connection.execute("PRAGMA synchronous = FULL")
            busy_timeout.retry_while_busy(partial(connection.execute, "BEGIN IMMEDIATE"))
            with _transaction(connection):
                self._check_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self) -> None:
        """Make the file where there is none; refuse what can't be opened, or only be read."""
        path = Path(self.path)
        if path.is_dir():
            raise self.error("is a folder; give the path of a file")
        # SQLite gives the files beside it the same permissions.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # SQLite would make files beside it that may only be read as well, and leave them. It isn't
        # opened to find out: closing it again drops SQLite's own locks on it in this process.
        if not os.access(self.path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise self.error(_SENTENCES["SQLITE_READONLY"])

    def _look(self, connection: sqlite3.Connection) -> None:
        # One snapshot: another process may be making the tables of a new file.
        connection.execute("BEGIN")
        with _transaction(connection):
            self._check_kind(connection)

    def _check_kind(self, connection: sqlite3.Connection) -> None:
        """Refuse what isn't ours before a byte of it is changed."""
        kind = _value(connection, "PRAGMA application_id")
        version = _value(connection, "PRAGMA user_version")
        if kind != APPLICATION_ID and _value(connection, "SELECT count(*) FROM sqlite_schema"):
            raise self.error("is another program's database; give another file")
        if version > SCHEMA_VERSION:
            raise self.error(
                f"was written by a newer livepeer-async (version {version} of the file; this one "
                f"knows {SCHEMA_VERSION}): upgrade, or give another file"
            )

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file; refuse the file of another account."""
        # Another process, of a newer version too, may have written since it was looked at.
        self._check_kind(connection)
        if not _value(connection, "SELECT count(*) FROM sqlite_schema"):
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("INSERT INTO account VALUES (?)", (self._account,))
        # Written each time: that a disk may only be read shows with the first write.
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if _value(connection, "SELECT fingerprint FROM account") != self._account:
            raise self.error(
                "was begun with another API key or base URL, whose assets it names: use that key, "
                "or give another file"
            )

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self.error(_explain(error)) from error
        except msgspec.DecodeError as error:
            raise self.error(f"holds a record that can't be read: {error}") from error
        except OSError as error:
            raise self.error(f"can't be opened: {error.strerror}") from error


def _close_to_others(file: Path) -> None:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & OTHERS:
        with suppress(PermissionError):
            file.chmod(mode & ~OTHERS)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None, None, None]:
    """End what was begun: all of it counts, or nothing."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


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


_NO_ROOM = (
    "can't be written, the disk is full: make room and run again; nothing that it held is lost"
)
# The first that fits counts.
_SENTENCES = {
    "SQLITE_BUSY": f"is locked by another program for more than {BUSY_SECONDS:.0f} s: end that "
    "program and run again",
    "SQLITE_FULL": _NO_ROOM,
    # There is no room for the file that it shares memory by.
    "SQLITE_IOERR_SHMSIZE": _NO_ROOM,
    "SQLITE_READONLY": "may only be read: make it writable, or give another file",
    "SQLITE_CANTOPEN": "can't be opened: its folder must be there, and writable",
    "SQLITE_NOTADB": "is no journal: the file is no SQLite database; give another file",
    "SQLITE_CORRUPT": "is damaged: give another file, and look at `assets list --phase uploading` "
    "for what was begun",
    "SQLITE_IOERR": "can't be read or written: the disk or its file system failed",
}
