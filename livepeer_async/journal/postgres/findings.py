"""Explanations of errors of PostgreSQL, libpq and poolers, with advice."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from livepeer_async.errors import JournalError

MISSING_TABLES = (
    "has the schema livepeer_async, but not all of its tables: restore them from a backup, or drop "
    "the schema, which forgets all uploads"
)
SHARED_SESSIONS = (
    "is behind a pooler that shares sessions between transactions, which breaks the locks of "
    "uploads: connect to PostgreSQL itself, or use pool_mode = session"
)
SMALL_POOL = (
    "is behind a pooler that has no free session: its pool must be larger by two than the number "
    "of processes"
)
# Of a server that starts, stops or recovers.
STARTING = "the database system is"
NO_RIGHTS = (
    "can't be used, the role lacks rights: the first start needs CREATE on the database, or a "
    "schema livepeer_async that the role owns; later ones need USAGE on that schema, and SELECT, "
    "INSERT, UPDATE and DELETE on its tables"
)
# Another process holds a row, both wait for each other, or an administrator has cancelled the
# statement: it is tried again.
REPEATABLE = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.QueryCanceled,
)
# By SQLSTATE; the first match counts.
_FINDINGS: dict[type[Exception], str] = {
    errors.InsufficientPrivilege: NO_RIGHTS,
    errors.DiskFull: "can't be written, the server's disk is full: make room and run again; "
    "nothing in it is lost",
    errors.ReadOnlySqlTransaction: "is read-only: wanted the primary server, and a role whose "
    "transactions may write",
    errors.UndefinedTable: MISSING_TABLES,
    errors.UndefinedColumn: MISSING_TABLES,
}
# libpq reports failed connections without SQLSTATE, in words: those of the server are in its own
# language, and are shown as they are. The first match counts.
_CONNECT_FINDINGS = {
    r"authentication failed|no such user": "refuses the "
    "user or the password: check the URL, PGPASSWORD or .pgpass",
    r"no password supplied": "wants a password: set PGPASSWORD, .pgpass or the URL's password",
    r"valid client certificate": "wants a certificate of the client: set sslcert and sslkey",
    r"pg_hba\.conf": "refuses this host, user or encryption: pg_hba.conf must permit it",
    r'database ".*" does not exist|no such database': "isn't there: create the database, or "
    "correct the URL",
    r"permission denied for database": "refuses the role, which needs CONNECT on the database",
    r'role ".*" (does not exist|is not permitted)': "refuses the role: create it with LOGIN, or "
    "correct the URL",
    r"statement pooling mode": SHARED_SESSIONS,
    r"could not translate host name|failed to resolve host": "has an unknown host: correct the URL",
    r"certificate": "has a certificate that isn't trusted: check sslmode and sslrootcert",
    r"does not support SSL|SSL was required": "has no TLS, and sslmode wants it",
    r"invalid|bad value|unrecognized|definition of service": "has a wrong setting in its URL",
}
# The same, if a later attempt may succeed by itself.
_TRANSIENT_FINDINGS = {
    STARTING: "can't be used now",
    r"too many|connection slots|no more connections": "has no free connection: close others, or "
    "raise max_connections of the server, or the limit of the role or database",
    r"Connection refused|socket .*No such file": "can't be reached: start its server, or correct "
    "the URL",
}
_CONNECTING_TO = re.compile(
    r"^.*connection (is bad|failed): "
    r'(connection to server at "[^"]*"( \([^)]*\))?, port \d+ failed: )?'
)


class NotConnected(Exception):
    """The database can't be used now; the message says why, and what to do."""

    def __init__(self, finding: str, *, is_final: bool = True) -> None:
        super().__init__(finding)
        self.is_final = is_final


@contextmanager
def explained() -> Generator[None, None, None]:
    """Turn psycopg's errors, and those of a system without resources, into `NotConnected`."""
    try:
        yield
    except (psycopg.Error, OSError, RuntimeError) as error:
        finding, is_final = explain(error)
        raise NotConnected(finding, is_final=is_final) from error


def explain(error: Exception) -> tuple[str, bool]:
    """Explain an error, with advice; whether a later attempt can't succeed by itself."""
    for kind, finding in _FINDINGS.items():
        if isinstance(error, kind):
            return finding, True
    text = _reason(error)
    for findings, is_final in ((_TRANSIENT_FINDINGS, False), (_CONNECT_FINDINGS, True)):
        for pattern, finding in findings.items():
            if re.search(pattern, text):
                return f"{finding} ({text})", is_final
    return f"can't be reached or used: {text}", False


def _reason(error: Exception) -> str:
    """Return what libpq or the server says, on one line."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    text = re.sub(r"(?m)^(DETAIL|HINT|CONTEXT|LINE)\b.*$", "", str(error))
    # Lines that begin with a space are advice of libpq.
    lines = re.findall(r"^\S.*", text, re.MULTILINE) or [repr(error)]
    # Of several attempts, one that has reached a server says most.
    said = [line for line in lines if "FATAL:" in line] or lines[:1]
    return _CONNECTING_TO.sub("", said[-1]).rpartition("FATAL:")[2].strip()


def journal_error(location: str, finding: str) -> JournalError:
    """Return an error that names the database."""
    return JournalError(f"the journal {location} {finding}", path=location)
