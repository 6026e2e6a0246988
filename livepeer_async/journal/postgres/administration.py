"""Administration of a journal on PostgreSQL: lists accounts and owners, and ends sessions.

Everything here blocks, and uses a session of its own that owns nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import datetime

from msgspec import Struct
from psycopg import errors

from livepeer_async.journal.location import hide_password
from livepeer_async.journal.postgres.connecting import (
    STEP_TIMEOUT,
    Connection,
    connect,
    time_limit,
)
from livepeer_async.journal.postgres.findings import NotConnected, explained, journal_error
from livepeer_async.journal.postgres.owners import HAS_LOCK, IS_ALIVE
from livepeer_async.redaction import hides_variables

_ACCOUNTS = b"""SELECT account FROM records UNION SELECT account FROM orphans
    UNION SELECT account FROM doubts ORDER BY account"""
_OWNERS = f"""SELECT owner, host, pid, since, {IS_ALIVE}, count(claims.id)
    FROM owners LEFT JOIN claims USING (owner) GROUP BY owner ORDER BY since"""
_TERMINATE = f"""SELECT pg_terminate_backend(pg_locks.pid) FROM pg_locks
    WHERE {HAS_LOCK} AND objid = $1"""
_MAY_NOT_END = (
    "doesn't permit the role to end the session of owner {}: use the role of that session, or one "
    "with pg_signal_backend"
)


class ListedOwner(Struct, frozen=True, kw_only=True):
    """An owner of claims, as `journal release` shows it.

    Attributes:
        number: of its lock.
        host, pid: of its process.
        since: when its session was opened.
        is_alive: whether its session still holds the lock.
        claims: the number of its claims.
    """

    number: int
    host: str
    pid: int
    since: datetime
    is_alive: bool
    claims: int


@hides_variables
def find_accounts(url: str) -> list[str]:
    """Return the fingerprints of the accounts that have rows.

    Raises:
        JournalError: the database can't be used.
    """
    with _session(url) as connection:
        return [row[0] for row in connection.execute(_ACCOUNTS).fetchall()]


@hides_variables
def list_owners(url: str) -> list[ListedOwner]:
    """Return the owners of all accounts; raises as `find_accounts` does."""
    with _session(url) as connection:
        rows = connection.execute(_OWNERS.encode()).fetchall()
    return [
        ListedOwner(
            number=number, host=host, pid=pid, since=since, is_alive=is_alive, claims=claims
        )
        for number, host, pid, since, is_alive, claims in rows
    ]


@hides_variables
def end_session(url: str, number: int) -> bool:
    """End the session of an owner, which frees its claims unless its process claims them again.

    Returns:
        Whether a session held its lock.

    Raises:
        JournalError: the database can't be used, or the role may not end the session.
    """
    with _session(url) as connection:
        try:
            rows = connection.execute(_TERMINATE.encode(), (number,)).fetchall()
        except errors.InsufficientPrivilege as error:
            raise NotConnected(_MAY_NOT_END.format(number)) from error
    return bool(rows)


@contextmanager
def _session(url: str) -> Generator[Connection, None, None]:
    try:
        connecting = closing(connect(url, creates=False))
        with explained(), connecting as connection, time_limit(connection, STEP_TIMEOUT):
            yield connection
    except NotConnected as failure:
        raise journal_error(hide_password(url), str(failure)) from failure.__cause__
