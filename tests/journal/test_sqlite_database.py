"""The journal's file: durability and permissions."""

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from livepeer_async.journal.journal import Journal

pytestmark = pytest.mark.anyio

# Of SQLite's `PRAGMA synchronous`: lower values may lose commits in a power cut.
FULL = 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "uploads.journal"


@pytest.fixture
def opened(monkeypatch):
    """List what SQLite opens: the path, its permissions at that moment, the connection."""
    found, connect = [], sqlite3.connect

    def record(file, **options):
        name = str(file).removeprefix("file:").partition("?")[0]
        mode = stat.S_IMODE(os.stat(name).st_mode)
        found.append((name, mode, connect(file, **options)))
        return found[-1][2]

    monkeypatch.setattr(sqlite3, "connect", record)
    return found


@pytest.fixture
async def journal(path, opened):
    journal = Journal(path, account="a")
    await journal.open()
    yield journal
    await journal.aclose()


@pytest.mark.parametrize("is_new", [True, False])
async def test_each_commit_is_flushed_to_the_disk(journal, path, opened, is_new):
    if not is_new:
        await journal.aclose()
        opened.clear()
        await journal.open()
    (connection,) = (connection for name, _, connection in opened if name == str(path))
    assert connection.execute("PRAGMA synchronous").fetchone()[0] >= FULL


async def test_reader_does_not_block_the_writer(journal, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM records").fetchone()
        async with journal.acquire("talk"):
            pass


async def test_file_is_private_from_the_start(path, opened):
    """A file that was opened stays readable after its permissions are restricted."""
    before = os.umask(0)
    try:
        journal = Journal(path, account="a")
        async with journal.acquire("talk"):
            pass
        await journal.aclose()
    finally:
        os.umask(before)
    assert len(opened) > 1
    assert {mode for _, mode, _ in opened} == {0o600}
