"""Opens sessions with PostgreSQL, and checks that they can hold the lock of a journal."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from livepeer_async.errors import JournalError
from livepeer_async.journal.postgres.statements import SCHEMA, SCHEMA_VERSION

Connection = psycopg.Connection[Any]

MIN_SERVER_VERSION = 120000
CONNECT_TIMEOUT = 10
# Seconds for each step after connecting.
STEP_TIMEOUT = 10.0
# Any number: the first transaction that takes its lock creates the tables.
_CREATION_LOCK = 0x6C706A61
ENCODINGS = ("UTF8", "SQL_ASCII")
# Each is set if the URL doesn't: a dead connection is noticed without waiting for the system.
_CLIENT_SETTINGS = {
    "application_name": "livepeer-async",
    "client_encoding": "utf8",
    "connect_timeout": str(CONNECT_TIMEOUT),
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
# The server keeps the session of an unreachable client for at least 40 s, and not for hours. A
# transaction that its process doesn't end must not block others for longer.
_SESSION_SETTINGS = {
    "search_path": "livepeer_async",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
    "tcp_user_timeout": "45000",
    "idle_in_transaction_session_timeout": "40000",
    "lock_timeout": "3000",
    # Records must survive a power cut.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
}


class NotConnected(Exception):
    """The database can't be used now; the message says why, and what to do."""

    def __init__(self, finding: str, *, is_final: bool = True) -> None:
        super().__init__(finding)
        self.is_final = is_final


@contextmanager
def time_limit(connection: Connection, seconds: float) -> Generator[None, None, None]:
    """Shut a connection down if the block takes longer, which then fails."""
    lock, is_over = threading.Lock(), False

    def interrupt() -> None:
        with lock:
            if not is_over:
                shut_down(connection)

    timer = threading.Timer(max(seconds, 0.0), interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            is_over = True


def shut_down(connection: Connection) -> None:
    """Shut the socket of a connection down, so that a thread that waits for it gets an error."""
    with suppress(psycopg.Error, OSError):
        # A copy, because the socket is libpq's to close.
        copy = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with copy:
            copy.shutdown(socket.SHUT_RDWR)


def connect(url: str, *, creates: bool = True) -> Connection:
    """Open a session that can hold a lock.

    Args:
        url: of the database.
        creates: whether to create missing tables.

    Raises:
        NotConnected: the database can't be reached or used.
    """
    with explained():
        connection = _open(url)
        try:
            with time_limit(connection, STEP_TIMEOUT):
                _check_server(connection)
                _check_pooler(connection, url)
                _set_up(connection)
                _check_schema(connection, creates=creates)
        except BaseException:
            connection.close()
            raise
        return connection


def _open(url: str) -> Connection:
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error as error:
        # Its message may quote the password.
        raise NotConnected(
            "isn't a URL that libpq can read; wanted postgresql://USER@HOST:PORT/DATABASE, with "
            "special characters in %XX form"
        ) from error
    conninfo = make_conninfo("", **{**_CLIENT_SETTINGS, **given})
    return psycopg.connect(conninfo, autocommit=True, cursor_factory=psycopg.RawCursor)


def _value(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def _check_server(connection: Connection) -> None:
    version = connection.info.server_version
    if version < MIN_SERVER_VERSION:
        raise NotConnected(
            f"is on PostgreSQL {version // 10000}; wanted {MIN_SERVER_VERSION // 10000} or newer"
        )
    encoding = _value(connection, "SHOW server_encoding")
    if encoding not in ENCODINGS:
        raise NotConnected(f"has the encoding {encoding}; wanted UTF8")
    if _value(connection, "SELECT pg_is_in_recovery()"):
        raise NotConnected("is a read-only standby; wanted the primary server", is_final=False)


def _check_pooler(connection: Connection, url: str) -> None:
    """Refuse a pooler that gives each transaction another session: locks don't pass it.

    Raises:
        NotConnected: there is one.
    """
    own = _value(connection, "SELECT pg_backend_pid()")
    if own == connection.info.backend_pid:
        return
    # There is a pooler. While a second connection is in a transaction, the first one must keep its
    # session, and the second one must have another.
    with closing(_open(url)) as other, time_limit(other, STEP_TIMEOUT):
        other.execute("BEGIN")
        is_shared = _value(other, "SELECT pg_backend_pid()") == own
        has_changed = _value(connection, "SELECT pg_backend_pid()") != own
        other.execute("ROLLBACK")
    if is_shared or has_changed:
        raise NotConnected(
            "is behind a pooler that shares sessions between transactions, which breaks the locks "
            "of uploads: connect to PostgreSQL itself, or use pool_mode = session"
        )


def _set_up(connection: Connection) -> None:
    settings = dict(_SESSION_SETTINGS)
    for name, value in settings.items():
        _value(connection, "SELECT set_config($1, $2, false)", name, value)


def _check_schema(connection: Connection, *, creates: bool) -> None:
    """Create missing tables; refuse those of a newer version."""
    with connection.transaction():
        # Not the lock of a session: a pooler may be in session mode.
        connection.execute(b"SELECT pg_advisory_xact_lock($1)", (_CREATION_LOCK,))
        if _value(connection, "SELECT to_regclass('livepeer_async.journal')") is None:
            if not creates:
                raise NotConnected("doesn't exist yet: the first upload creates it")
            for statement in filter(str.strip, SCHEMA.split(";")):
                connection.execute(statement.encode())
        version = _value(connection, "SELECT version FROM livepeer_async.journal")
    if version is None or version > SCHEMA_VERSION:
        raise NotConnected(
            f"was written by a newer livepeer-async (version {version} of the tables; this one "
            f"knows {SCHEMA_VERSION}): upgrade, or use another database"
        )


@contextmanager
def explained() -> Generator[None, None, None]:
    """Turn psycopg's errors into `NotConnected`."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        finding, is_final = explain(error)
        raise NotConnected(finding, is_final=is_final) from error


def explain(error: Exception) -> tuple[str, bool]:
    """Explain an error, with advice; whether a later attempt can't succeed by itself."""
    for kind, finding in _FINDINGS.items():
        if isinstance(error, kind):
            return finding, True
    text = _first_lines(error)
    for part, finding in _CONNECT_FINDINGS.items():
        if part in text:
            return f"{finding} ({text})", True
    return f"can't be reached or used: {text}", False


def _first_lines(error: Exception) -> str:
    """Return what libpq or the server says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("- ").rpartition("FATAL:")[2].strip() if lines else repr(error)


def journal_error(location: str, finding: str) -> JournalError:
    """Return an error that names the database."""
    return JournalError(f"the journal {location} {finding}", path=location)


_NO_RIGHTS = (
    "can't be used, the role lacks rights: the first start needs CREATE on the database, or a "
    "schema livepeer_async that the role owns; later ones need USAGE on that schema, and SELECT, "
    "INSERT, UPDATE and DELETE on its tables"
)
_DISK_FULL = (
    "can't be written, the server's disk is full: make room and run again; nothing in it is lost"
)
_NO_TABLES = (
    "has the schema livepeer_async, but not all of its tables: drop the schema if it is empty, or "
    "use another database"
)
# The first match counts.
_FINDINGS: dict[type[Exception], str] = {
    errors.InsufficientPrivilege: _NO_RIGHTS,
    errors.DiskFull: _DISK_FULL,
    errors.ReadOnlySqlTransaction: "is read-only; wanted the primary server",
    errors.UndefinedTable: _NO_TABLES,
}
# libpq reports failed connections without a code, in words.
_CONNECT_FINDINGS = {
    "password authentication failed": "refuses the password: check the URL, PGPASSWORD or .pgpass",
    "no password supplied": "wants a password: set PGPASSWORD, .pgpass or the URL's password",
    "no pg_hba.conf entry": "refuses this host, user or encryption: pg_hba.conf must permit it",
    'database "': "isn't there: create the database, or correct the URL",
    'role "': "refuses the role: create it, or correct the URL",
    "could not translate host name": "has an unknown host: correct the URL",
    "failed to resolve host": "has an unknown host: correct the URL",
    "invalid": "has an invalid setting in its URL",
    "certificate": "has a certificate that isn't trusted: check sslmode and sslrootcert",
    "does not support SSL": "has no TLS, and sslmode wants it",
}
