"""The tables of a journal in SQLite, and the statements for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from livepeer_async.journal.tables import Row, Statements

SCHEMA = """
CREATE TABLE account (fingerprint TEXT NOT NULL);
CREATE TABLE records (key TEXT PRIMARY KEY, state TEXT NOT NULL, record BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE orphans (asset_id TEXT PRIMARY KEY, orphan BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE doubts (id INTEGER PRIMARY KEY, doubt BLOB NOT NULL);
CREATE TABLE owners (owner TEXT PRIMARY KEY, pid INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
"""

STATEMENTS = Statements(
    select_record="SELECT key, record FROM records WHERE key = ?",
    # As one JSON value, because SQLite limits the number of parameters.
    select_records="SELECT key, record FROM records WHERE key IN (SELECT value FROM json_each(?))",
    select_keyed="SELECT key, record FROM records WHERE state != 'keyless' ORDER BY key",
    select_keyless="SELECT key, record FROM records WHERE state = 'keyless'",
    put_record="INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
    delete_record="DELETE FROM records WHERE key = ?",
    delete_claim="DELETE FROM claims WHERE key = ?",
    select_orphans="SELECT asset_id, orphan FROM orphans ORDER BY asset_id",
    put_orphan="INSERT OR REPLACE INTO orphans VALUES (?, ?)",
    replace_orphan="UPDATE orphans SET orphan = ? WHERE orphan = ?",
    delete_orphan="DELETE FROM orphans WHERE asset_id = ?",
    select_doubts="SELECT id, doubt FROM doubts ORDER BY id",
    add_doubt="INSERT INTO doubts (doubt) VALUES (?)",
    replace_doubt="UPDATE doubts SET doubt = ? WHERE doubt = ?",
    delete_doubt="DELETE FROM doubts WHERE doubt = ?",
)


class SqliteTables:
    """The tables of a journal in one transaction; see `Tables`.

    Args:
        connection: in the transaction.
    """

    statements = STATEMENTS

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.claimed: set[str] = set()
        self._connection = connection

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Execute a statement and return its rows."""
        return self._connection.execute(statement, values).fetchall()

    def find_records(self, keys: Sequence[str]) -> list[Row]:
        """Return the records of the given keys."""
        return self.execute(STATEMENTS.select_records, msgspec.json.encode(keys).decode())
