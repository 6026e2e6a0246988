"""Reads a journal from a copy: opening the original would repair it."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from livepeer_async.journal.records import Orphan, Record, RecordState, UnconfirmedRequest


class JournalContents(Struct, frozen=True):
    """The records of a journal."""

    records: list[Record] = []
    orphans: list[Orphan] = []
    unconfirmed_requests: list[UnconfirmedRequest] = []

    @property
    def finished(self) -> int:
        """The number of ready uploads."""
        return sum(record.state is RecordState.READY for record in self.records)

    def knows(self, asset_id: str, name: str) -> bool:
        """Whether the journal leads to an asset by its ID, or by its name."""
        ids = {it.asset_id for it in (*self.records, *self.orphans)}
        record_request = {it.name for it in self.records if it.asset_id is None}
        return asset_id in ids or name in record_request | {
            unconfirmed.name for unconfirmed in self.unconfirmed_requests
        }


def read_copy(path: Path) -> JournalContents:
    """Copy a journal with its write-ahead log, check it and read it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        for end in ("", "-wal"):
            if Path(f"{path}{end}").exists():
                shutil.copy(f"{path}{end}", f"{copy}{end}")
        with closing(sqlite3.connect(copy)) as connection:
            return read_journal(connection)


def read_journal(connection: sqlite3.Connection) -> JournalContents:
    """Check and read a journal; a new one may have no tables yet."""
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        return JournalContents()
    assert connection.execute("SELECT count(*) FROM account").fetchone() == (1,)

    def read(query: str, kind: type) -> list:
        return [msgspec.json.decode(row[0], type=kind) for row in connection.execute(query)]

    return JournalContents(
        records=read("SELECT record FROM records", Record),
        orphans=read("SELECT orphan FROM orphans", Orphan),
        unconfirmed_requests=read("SELECT doubt FROM doubts", UnconfirmedRequest),
    )
