"""Opens sessions with PostgreSQL, and checks that they can hold the lock of a journal."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from livepeer_async.journal.location import is_clear
from livepeer_async.journal.postgres.findings import (
    MISSING_TABLES,
    NO_RIGHTS,
    SHARED_SESSIONS,
    SMALL_POOL,
    NotConnected,
    explained,
)
from livepeer_async.journal.postgres.statements import SCHEMA, SCHEMA_VERSION
from livepeer_async.redaction import hides_variables

Connection = psycopg.Connection[Any]

MIN_SERVER_VERSION = 120000
CONNECT_TIMEOUT = 10
# Seconds for each step after connecting, which is several round trips.
STEP_TIMEOUT = 10.0
# Any number: the first transaction that takes its lock creates the tables.
_CREATION_LOCK = 0x6C706A61
_CREATED = r"CREATE TABLE (\S+)"
# Of the tables without which there are no uploads.
_MISSING_RIGHTS = """SELECT count(*)
    FROM unnest($1::text[]) name, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) needed
    WHERE name NOT IN ('livepeer_async.journal', 'livepeer_async.pauses')
    AND NOT has_table_privilege(name, needed)"""
ENCODINGS = ("UTF8", "SQL_ASCII")
# Each is set if the URL doesn't: a dead connection is noticed without waiting for the system.
_CLIENT_SETTINGS = {
    "application_name": "livepeer-async",
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
    # psycopg reads times only in these.
    "datestyle": "ISO",
    "timezone": "UTC",
    # Records must survive a power cut.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
}
# Those of newer servers, by the first version.
_NEWER_SETTINGS = {
    140000: ("idle_session_timeout", "0"),
    170000: ("transaction_timeout", "0"),
}
_SET_UP = """SELECT count(set_config(name, value, false))
    FROM unnest($1::text[], $2::text[]) AS settings (name, value)"""


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
        # Not a copy, which would need a descriptor; the family only matters for addresses.
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=connection.fileno())
        try:
            found.shutdown(socket.SHUT_RDWR)
        finally:
            found.detach()  # the socket is libpq's to close


@hides_variables
def connect(url: str, *, creates: bool = True) -> Connection:
    """Open a session that can hold a lock.

    Args:
        url: of the database.
        creates: whether to create missing tables, and to check the rights of the role.

    Raises:
        NotConnected: the database can't be reached or used.
    """
    with explained():
        connection = _open(url)
        try:
            for step in (
                _check_server,
                partial(_check_pooler, url=url),
                _set_up,
                partial(_check_schema, creates=creates),
            ):
                with time_limit(connection, STEP_TIMEOUT):
                    step(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _open(url: str) -> Connection:
    given = _parse(url)
    if given is None:
        # Not from the error of libpq, which may quote the password.
        raise NotConnected(
            "has a URL that libpq can't read: wanted postgresql://USER:PASSWORD@HOST:PORT/DATABASE "
            "with parameters of libpq, and @ / : % and spaces in its parts as %40 %2F %3A %25 %20"
        )
    conninfo = make_conninfo("", **{**_CLIENT_SETTINGS, **given, "client_encoding": "utf8"})
    return psycopg.connect(conninfo, autocommit=True, cursor_factory=psycopg.RawCursor)


def _parse(url: str) -> dict[str, Any] | None:
    """Return the parameters of a URL; `None` if libpq can't read it, or could misread it."""
    scheme, rest = url.split("://", 1)
    with suppress(psycopg.Error):
        if is_clear(url):
            return conninfo_to_dict(f"{scheme.lower()}://{rest}")
    return None


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
    try:
        with closing(_open(url)) as other, time_limit(other, STEP_TIMEOUT / 2):
            other.execute("BEGIN")
            is_shared = _value(other, "SELECT pg_backend_pid()") == own
            has_changed = _value(connection, "SELECT pg_backend_pid()") != own
            other.execute("ROLLBACK")
    except psycopg.OperationalError as error:
        if error.sqlstate is not None or connection.closed:
            raise
        raise NotConnected(SMALL_POOL, is_final=False) from error
    if is_shared or has_changed:
        raise NotConnected(SHARED_SESSIONS)


def _set_up(connection: Connection) -> None:
    version = connection.info.server_version
    newer = dict(setting for first, setting in _NEWER_SETTINGS.items() if version >= first)
    settings = {**_SESSION_SETTINGS, **newer}
    # First, because what follows takes longer than the shortest timeout; in few round trips.
    connection.execute(b"SET statement_timeout = 0")
    _value(connection, _SET_UP, [*settings], [*settings.values()])


def _check_schema(connection: Connection, *, creates: bool) -> None:
    """Create missing tables; refuse those of a newer version."""
    tables = re.findall(_CREATED, SCHEMA)
    with connection.transaction():
        # Not the lock of a session: a pooler may be in session mode.
        connection.execute(b"SELECT pg_advisory_xact_lock($1)", (_CREATION_LOCK,))
        count = "SELECT count(to_regclass(name)) FROM unnest($1::text[]) name"
        found = _value(connection, count, tables)
        if not found:
            if not creates:
                raise NotConnected("doesn't exist yet: the first upload creates it")
            _create_schema(connection)
        elif not _value(connection, count, ["livepeer_async.journal"]):
            raise NotConnected(MISSING_TABLES)
        version = _value(connection, "SELECT version FROM livepeer_async.journal")
        if (version or 0) > SCHEMA_VERSION:
            raise NotConnected(
                f"was written by a newer livepeer-async (version {version} of the tables; this one "
                f"knows {SCHEMA_VERSION}): upgrade, or use another database"
            )
        if version is None or 0 < found < len(tables):
            raise NotConnected(MISSING_TABLES)
        # Without DELETE, for example, claims would stay in silence.
        if creates and _value(connection, _MISSING_RIGHTS, tables):
            raise NotConnected(NO_RIGHTS)


def _create_schema(connection: Connection) -> None:
    # With `IF NOT EXISTS`, PostgreSQL would want the right to create a schema anyway.
    if _value(connection, "SELECT to_regnamespace('livepeer_async')") is None:
        connection.execute(b"CREATE SCHEMA livepeer_async")
    connection.execute(SCHEMA.encode())
