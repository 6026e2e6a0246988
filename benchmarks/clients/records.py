"""Records of ready files, written directly into the database of a journal."""

import sqlite3
import time
from contextlib import closing

import msgspec

from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sources.identity import SourceIdentity

INSERT = "INSERT OR REPLACE INTO records VALUES (?, ?, ?)"
POSTGRES_INSERT = (
    "INSERT INTO livepeer_async.records (account, id, key, state, record) "
    "VALUES (%s, sha256(convert_to(%s::text, 'UTF8')), %s, %s, %s)"
)


def make_record(key, status=None):
    """Create the record of a ready file, with the identity of its `os.stat_result`."""
    return Record(
        key=key,
        state=RecordState.READY,
        name=key.rpartition("/")[2],
        identity=SourceIdentity(
            length=status.st_size if status else 1024,
            modified_ns=status and status.st_mtime_ns,
            inode=status and status.st_ino,
        ),
        requested_at=time.time(),
        asset_id="00000000-0000-0000-0000-000000000000",
        playback_id="0000000000000000",
        verified="size",
    )


def row_of(record):
    """Convert a record to a row of the table."""
    return record.key, record.state, msgspec.json.encode(record)


def fill(path, records):
    """Write records in one transaction."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(INSERT, map(row_of, records))


def fill_postgres(url, account, records):
    """Write records to a database in one transaction."""
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(POSTGRES_INSERT, (postgres_row(account, it) for it in records))


def postgres_row(account, record):
    """Convert a record to the values of `POSTGRES_INSERT`."""
    key, state, encoded = row_of(record)
    return account, key, key, str(state), encoded
