"""The tables of a journal on PostgreSQL, and the statements for them.

Each statement has the account as `$1`. A key may be longer than an index can hold, so its SHA-256
identifies the row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from livepeer_async.journal.postgres.findings import journal_error
from livepeer_async.journal.tables import Row, Statements

if TYPE_CHECKING:
    import psycopg

# Written into the database by its first client; a newer version of this package may increase it.
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE livepeer_async.journal (
    version int NOT NULL, id text NOT NULL DEFAULT md5(random()::text || clock_timestamp())
);
CREATE TABLE livepeer_async.records (
    account text, id bytea, key text NOT NULL, state text NOT NULL, record bytea NOT NULL,
    PRIMARY KEY (account, id)
);
CREATE TABLE livepeer_async.orphans (
    account text, asset_id text, orphan bytea NOT NULL, PRIMARY KEY (account, asset_id)
);
CREATE TABLE livepeer_async.doubts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text NOT NULL, doubt bytea NOT NULL
);
CREATE TABLE livepeer_async.owners (
    owner int PRIMARY KEY, account text NOT NULL, host text NOT NULL, machine text NOT NULL,
    pid int NOT NULL, started bigint NOT NULL, since timestamptz NOT NULL DEFAULT now(),
    lost_at timestamptz, max_rate float8
);
CREATE TABLE livepeer_async.claims (
    account text, id bytea, owner int NOT NULL REFERENCES livepeer_async.owners ON DELETE CASCADE,
    PRIMARY KEY (account, id)
);
CREATE INDEX ON livepeer_async.claims (owner);
CREATE TABLE livepeer_async.pauses (
    account text PRIMARY KEY, paused_until timestamptz NOT NULL, count int NOT NULL,
    prober int, probed_at timestamptz
);
INSERT INTO livepeer_async.journal (version) VALUES (1);
"""

_ID = "sha256(convert_to($2, 'UTF8'))"
STATEMENTS = Statements(
    select_record=f"SELECT key, record FROM records WHERE account = $1 AND id = {_ID}",
    select_records="SELECT key, record FROM records WHERE account = $1 AND id = ANY($2::bytea[])",
    select_keyed="SELECT key, record FROM records WHERE account = $1 AND state != 'keyless' "
    'ORDER BY key COLLATE "C"',
    select_keyless="SELECT key, record FROM records WHERE account = $1 AND state = 'keyless'",
    put_record=f"INSERT INTO records VALUES ($1, {_ID}, $2, $3, $4) "
    "ON CONFLICT (account, id) DO UPDATE SET state = excluded.state, record = excluded.record",
    delete_record=f"DELETE FROM records WHERE account = $1 AND id = {_ID}",
    delete_claim=f"DELETE FROM claims WHERE account = $1 AND id = {_ID}",
    select_orphans="SELECT asset_id, orphan FROM orphans WHERE account = $1 ORDER BY asset_id",
    put_orphan="INSERT INTO orphans VALUES ($1, $2, $3) "
    "ON CONFLICT (account, asset_id) DO UPDATE SET orphan = excluded.orphan",
    replace_orphan="UPDATE orphans SET orphan = $2 WHERE account = $1 AND orphan = $3",
    delete_orphan="DELETE FROM orphans WHERE account = $1 AND asset_id = $2",
    select_doubts="SELECT id::text, doubt FROM doubts WHERE account = $1 ORDER BY id",
    # A call that is repeated, because its result was lost, adds nothing.
    add_doubt="INSERT INTO doubts (account, doubt) SELECT $1, $2 WHERE NOT EXISTS "
    "(SELECT FROM doubts WHERE account = $1 AND doubt = $2)",
    replace_doubt="UPDATE doubts SET doubt = $2 WHERE account = $1 AND doubt = $3",
    delete_doubt="DELETE FROM doubts WHERE account = $1 AND doubt = $2",
)


class PostgresTables:
    """The tables of an account in one transaction; see `Tables`.

    Args:
        execute: executes a statement in the transaction.
        location: of the journal, for messages.
        account: a fingerprint of the account.
        claimed: collects the keys that are claimed.
    """

    statements = STATEMENTS

    def __init__(
        self,
        execute: Callable[[str, tuple[Any, ...]], psycopg.Cursor[Any]],
        location: str,
        account: str,
        claimed: set[str],
    ) -> None:
        self.claimed = claimed
        self._execute = execute
        self._location = location
        self._account = account

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Execute a statement for the account, and return its rows.

        Raises:
            JournalError: PostgreSQL can't store a value.
        """
        if any("\0" in value for value in values if isinstance(value, str)):
            finding = "can't hold a key with the character NUL: use another key"
            raise journal_error(self._location, finding)
        cursor = self._execute(statement, (self._account, *values))
        return cursor.fetchall() if cursor.description else []

    def find_records(self, keys: Sequence[str]) -> list[Row]:
        """Return the records of the given keys."""
        return self.execute(STATEMENTS.select_records, [key_id(key) for key in keys])


def key_id(key: str) -> bytes:
    """Return what identifies the row of a key."""
    return hashlib.sha256(key.encode()).digest()
