"""What a journal on the disk holds, read from a copy: looking at it must not repair it.

In comes the path of a journal that no process has open; out come its records, or the complaint
that it is corrupt.
"""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from livepeer_async.journal.records import Orphan, Record, RecordState, UnconfirmedRequest


class Copy(Struct, frozen=True):
    """What a journal holds."""

    records: list[Record] = []
    orphans: list[Orphan] = []
    unconfirmed_requests: list[UnconfirmedRequest] = []

    @property
    def finished(self) -> int:
        """How many uploads are written down as ready."""
        return sum(record.state is RecordState.READY for record in self.records)

    def knows(self, asset_id: str, name: str) -> bool:
        """Whether an asset could be found by what is written: by its ID, or else by its name."""
        ids = {it.asset_id for it in (*self.records, *self.orphans)}
        asked = {it.name for it in self.records if it.asset_id is None}
        return asset_id in ids or name in asked | {
            unconfirmed.name for unconfirmed in self.unconfirmed_requests
        }


def copy_journal(path: Path) -> Copy:
    """Copy a journal with what isn't merged yet, check it and read it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        for end in ("", "-wal"):
            if Path(f"{path}{end}").exists():
                shutil.copy(f"{path}{end}", f"{copy}{end}")
        with closing(sqlite3.connect(copy)) as connection:
            return read_journal(connection)


def read_journal(connection: sqlite3.Connection) -> Copy:
    """Check a journal and read all that it holds; a new one may hold no table yet."""
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        return Copy()
    assert connection.execute("SELECT count(*) FROM account").fetchone() == (1,)

    def read(query: str, kind: type) -> list:
        return [msgspec.json.decode(row[0], type=kind) for row in connection.execute(query)]

    return Copy(
        records=read("SELECT record FROM records", Record),
        orphans=read("SELECT orphan FROM orphans", Orphan),
        unconfirmed_requests=read("SELECT doubt FROM doubts", UnconfirmedRequest),
    )
