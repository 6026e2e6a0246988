"""The journal's SQLite file: opening, checking, transactions.

Everything here blocks and runs in worker threads. Errors become `JournalError`.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from livepeer_async.errors import JournalError
from livepeer_async.http.shortages import is_shortage, shortage_error
from livepeer_async.journal.busy_timeout import SQLITE_TIMEOUT, BusyTimeout, is_busy
from livepeer_async.journal.sqlite.statements import SCHEMA

T = TypeVar("T")

# Written into the file by its first writer; a newer version of this package may increase it.
SCHEMA_VERSION = 1
# "lpja": distinguishes journals from databases of other programs.
APPLICATION_ID = 0x6C706A61
# A transaction takes about a millisecond; only another program holds the file for longer.
BUSY_SECONDS = 10.0
# After a timeout the next calls only wait this long, or many waits would add up.
LOCKED_SECONDS = 0.2
# Permissions to remove: upload URLs are secrets.
GROUP_AND_OTHERS = 0o077


class JournalDatabase:
    """A journal's file; opened by the first transaction.

    Args:
        path: created if missing, readable by its owner only.
        account: a fingerprint of the account that the journal belongs to; `None` opens an existing
            journal of any account.
    """

    def __init__(self, path: str | os.PathLike[str], account: str | None) -> None:
        # Links are resolved, as SQLite does: the owner files must be beside SQLite's own files.
        self.path = str(Path(path).resolve())
        self._account = account
        # `Task.cancel` leaves the thread of a call running, beside that of the next call. Other
        # event loops have threads of their own.
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened_by = 0
        self._was_locked = False

    @property
    def is_forked(self) -> bool:
        """Whether the connection was opened before a fork, which doesn't copy SQLite's locks."""
        return self._connection is not None and self._opened_by != os.getpid()

    def busy_timeout(self) -> BusyTimeout:
        """Return the busy timeout of a call that starts now."""
        return BusyTimeout(BUSY_SECONDS)

    def transact(
        self, work: Callable[[sqlite3.Connection], T], busy_timeout: BusyTimeout | None = None
    ) -> T:
        """Call a function in a transaction.

        The function is called again if no file descriptor was free.

        Raises:
            JournalError: the file can't be opened, read or written; it is unchanged.
            TooManyOpenFiles: no file descriptor was free; the file is unchanged.
            WaitCancelled: the wait was cancelled; the file is unchanged.
        """
        if self.is_forked:
            raise self.error("was opened before a fork; open a client in each process")
        busy_timeout = busy_timeout or self.busy_timeout()

        def attempt() -> T:
            connection = self._begin(busy_timeout)
            with _transaction(connection):
                return work(connection)

        with self._locked(busy_timeout), self._translated():
            return busy_timeout.retry_while_short(attempt)

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def error(self, finding: str) -> JournalError:
        """Return an error that names the file."""
        return JournalError(f"the journal {self.path} {finding}", path=self.path)

    @contextmanager
    def _locked(self, busy_timeout: BusyTimeout) -> Generator[None, None, None]:
        busy_timeout.acquire(self.lock)
        try:
            yield
        finally:
            self.lock.release()

    def _begin(self, busy_timeout: BusyTimeout) -> sqlite3.Connection:
        """Begin a transaction that may write; open the file if necessary."""
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
        self._create()
        connection = sqlite3.connect(
            self.path, timeout=SQLITE_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            busy_timeout.retry_while_busy(partial(self._inspect, connection))
            _make_private(Path(self.path))
            busy_timeout.retry_while_busy(partial(connection.execute, "PRAGMA journal_mode = WAL"))
            # Each commit reaches the disk, because records must survive a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            busy_timeout.retry_while_busy(partial(connection.execute, "BEGIN IMMEDIATE"))
            with _transaction(connection):
                self._check_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self) -> None:
        """Create the file if it is missing; reject one that is a folder or read-only."""
        path = Path(self.path)
        if path.is_dir():
            raise self.error("is a folder; use the path of a file")
        # SQLite gives the files beside it the same permissions.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # SQLite would create read-only files beside a read-only file. The file isn't opened to find
        # out, because closing it would drop SQLite's own locks on it in this process.
        if not os.access(self.path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise self.error(_FINDINGS["SQLITE_READONLY"])

    def _inspect(self, connection: sqlite3.Connection) -> None:
        # In one snapshot: another process may be creating the tables of a new file.
        connection.execute("BEGIN")
        with _transaction(connection):
            self._check_kind(connection)

    def _check_kind(self, connection: sqlite3.Connection) -> None:
        """Reject another program's database or a newer journal before anything is changed."""
        kind = _value(connection, "PRAGMA application_id")
        version = _value(connection, "PRAGMA user_version")
        if kind != APPLICATION_ID and _value(connection, "SELECT count(*) FROM sqlite_schema"):
            raise self.error("is another program's database; use another file")
        if version > SCHEMA_VERSION:
            raise self.error(
                f"was written by a newer livepeer-async (version {version} of the file; this one "
                f"knows {SCHEMA_VERSION}): upgrade, or use another file"
            )

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """Create the tables of a new file; reject the file of another account."""
        # Checked again: another process, even of a newer version, may have written meanwhile.
        self._check_kind(connection)
        if not _value(connection, "SELECT count(*) FROM sqlite_schema"):
            if self._account is None:
                raise self.error("is empty; wanted a journal")
            for statement in filter(str.strip, SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("INSERT INTO account VALUES (?)", (self._account,))
        # Written each time, because only a write detects a read-only disk.
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        fingerprint = _value(connection, "SELECT fingerprint FROM account")
        if self._account not in (None, fingerprint):
            raise self.error(
                "belongs to another API key or base URL: use that key, or use another file"
            )

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if is_shortage(error):
                finding = f"the journal {self.path} can't be opened"
                raise shortage_error(error, finding) from error
            if isinstance(error, OSError):
                folder = Path(self.path).parent
                if isinstance(error, FileNotFoundError):
                    finding = f"can't be opened: there is no folder {folder}; create it, or use "
                    raise self.error(f"{finding}another file") from error
                raise self.error(f"can't be opened: {error.strerror}") from error
            raise self.error(_explain(error)) from error
        except msgspec.DecodeError as error:
            raise self.error(f"holds a record that can't be read: {error}") from error


def _make_private(file: Path) -> None:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & GROUP_AND_OTHERS:
        with suppress(PermissionError):
            file.chmod(mode & ~GROUP_AND_OTHERS)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None, None, None]:
    """Commit the transaction that was begun, or roll it back after an error."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After an error such as a full disk, SQLite has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _value(connection: sqlite3.Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _explain(error: sqlite3.Error) -> str:
    """Explain SQLite's error, with advice."""
    name = getattr(error, "sqlite_errorname", "") or ""
    findings = (text for prefix, text in _FINDINGS.items() if name.startswith(prefix))
    return next(findings, f"can't be used: {error}")


_DISK_FULL = "can't be written, the disk is full: make room and run again; nothing in it is lost"
# By the prefix of SQLite's error name; the first match counts.
_FINDINGS = {
    "SQLITE_BUSY": f"is locked by another program for more than {BUSY_SECONDS:.0f} s: end that "
    "program and run again",
    "SQLITE_FULL": _DISK_FULL,
    # The shared-memory file doesn't fit.
    "SQLITE_IOERR_SHMSIZE": _DISK_FULL,
    "SQLITE_READONLY": "is read-only: make it writable, or use another file",
    "SQLITE_CANTOPEN": "can't be opened: its folder must exist and be writable",
    "SQLITE_NOTADB": "isn't a journal: the file isn't an SQLite database; use another file",
    "SQLITE_CORRUPT": "is damaged: use another file; `assets list --phase uploading` shows the "
    "unfinished uploads",
    "SQLITE_IOERR": "can't be read or written: the disk or its file system failed",
}
