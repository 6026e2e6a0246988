"""The owners of claims: each open journal is one, with an advisory lock of its session.

Everything here runs on the session that holds the lock, or is to hold it.
"""

from __future__ import annotations

import secrets
from typing import Any

from msgspec import Struct

from livepeer_async.journal.postgres.connecting import Connection
from livepeer_async.journal.postgres.processes import Process
from livepeer_async.journal.tables import Tables

# The first of the two numbers of the locks; the second one is the owner.
NAMESPACE = 0x6C706A
# The same of the locks on keys, for moments.
KEY_NAMESPACE = NAMESPACE + 1
MAX_OWNER = 2**31 - 1
# The clients of an account notify each other on this channel, with the account appended.
CHANNEL = "livepeer_async_"

# Conditions on rows of pg_locks and owners.
HAS_LOCK = f"""locktype = 'advisory' AND granted AND objsubid = 2 AND classid = {NAMESPACE}
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
IS_ALIVE = f"EXISTS (SELECT FROM pg_locks WHERE {HAS_LOCK} AND objid = owners.owner)"
# For the session that asks: a pooler may have given it another.
HOLDS_LOCK = f"""SELECT EXISTS (
    SELECT FROM pg_locks WHERE {HAS_LOCK} AND objid = $1 AND pid = pg_backend_pid())"""

_COLUMNS = f"""owners.owner, host, machine, pid, started, {IS_ALIVE},
    coalesce(extract(epoch FROM now() - lost_at), 0)::float8"""
_FIND = f"""SELECT {_COLUMNS} FROM claims JOIN owners USING (owner)
    WHERE claims.account = $1 AND id = $2"""
_FIND_LOST = f"SELECT {_COLUMNS} FROM owners WHERE account = $1 AND lost_at IS NOT NULL"
_NOTE_LOST = f"""UPDATE owners SET lost_at = now()
    WHERE account = $1 AND lost_at IS NULL AND NOT {IS_ALIVE}"""
_TRY_LOCK = "SELECT pg_try_advisory_lock($1, $2), EXISTS (SELECT FROM owners WHERE owner = $2::int)"
_DELETE = f"""
WITH gone AS (DELETE FROM owners WHERE owner = $1 RETURNING account, max_rate)
SELECT pg_notify('{CHANNEL}' || account, $1::text) FROM gone WHERE max_rate IS NOT NULL"""


class Owner(Struct, frozen=True):
    """An owner of claims.

    Attributes:
        number: the number of its lock.
        process: its process.
        is_alive: whether a session holds its lock.
        lost_seconds: since a process first saw that none does; 0 if none has noted it.
    """

    number: int
    process: Process
    is_alive: bool
    lost_seconds: float


def become_owner(
    connection: Connection, account: str, process: Process, former: set[int]
) -> tuple[int, set[bytes]]:
    """Acquire a new lock, and take over the claims of former owners that others don't have by now.

    Args:
        connection: the session that holds the lock.
        account: a fingerprint of the account.
        process: the current process.
        former: the numbers that it may have had in sessions that were lost; gets the new one.

    Returns:
        The owner's number, and the IDs of the keys that it has claims on.
    """
    number, previous = _acquire_lock(connection), list(former)
    # The commit may succeed without a response.
    former.add(number)
    with connection.transaction():
        connection.execute(
            b"INSERT INTO owners (owner, account, host, machine, pid, started) "
            b"VALUES ($1, $2, $3, $4, $5, $6)",
            (number, account, process.host, process.machine, process.pid, process.started),
        )
        # Locked first, so that nothing removes the owners meanwhile.
        connection.execute(
            b"SELECT FROM owners WHERE owner = ANY($1::int[]) FOR UPDATE", (previous,)
        )
        claimed = b"UPDATE claims SET owner = $2 WHERE owner = ANY($1::int[]) RETURNING id"
        rows = connection.execute(claimed, (previous, number)).fetchall()
        connection.execute(b"DELETE FROM owners WHERE owner = ANY($1::int[])", (previous,))
    former.intersection_update({number})
    return number, {row[0] for row in rows}


def find_owner(tables: Tables, key_id: bytes) -> Owner | None:
    """Return the owner of the claim on a key, if any."""
    rows = tables.execute(_FIND, key_id)
    return _owner(rows[0]) if rows else None


def note_lost_owners(connection: Connection, account: str) -> list[Owner]:
    """Note which owners of an account have lost their sessions, and return all that have."""
    connection.execute(_NOTE_LOST.encode(), (account,))
    rows = connection.execute(_FIND_LOST.encode(), (account,)).fetchall()
    return [_owner(row) for row in rows]


def delete_owner(connection: Connection, number: int) -> None:
    """Delete an owner and its claims, and tell the others that share its rate."""
    connection.execute(_DELETE.encode(), (number,))


def _acquire_lock(connection: Connection) -> int:
    """Acquire the lock of a number that no owner has."""
    while True:
        number = 1 + secrets.randbelow(MAX_OWNER)
        row = connection.execute(_TRY_LOCK.encode(), (NAMESPACE, number)).fetchone()
        is_locked, is_taken = row or (False, True)
        if is_locked and not is_taken:
            return number
        if is_locked:
            connection.execute(b"SELECT pg_advisory_unlock($1, $2)", (NAMESPACE, number))


def _owner(row: tuple[Any, ...]) -> Owner:
    number, host, machine, pid, started, is_alive, lost_seconds = row
    process = Process(host=host, machine=machine, pid=pid, started=started)
    return Owner(number, process, is_alive=is_alive, lost_seconds=lost_seconds)
