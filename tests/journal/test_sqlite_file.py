"""A journal's file: what SQLite and the file system do."""

import os
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from livepeer_async import JournalError, UploadInUse
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.sqlite import database
from livepeer_async.journal.sqlite.database import SCHEMA_VERSION
from support.records import RECORD, read_record

pytestmark = pytest.mark.anyio


@pytest.fixture
def location(path):
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "uploads.journal"


async def test_open_files_are_readable_by_their_owner_only(journal, path):
    path.touch(0o644)
    async with journal.acquire("talk"):
        await journal.write(RECORD)
        modes = {name: os.stat(path.parent / name).st_mode for name in os.listdir(path.parent)}
        assert len(modes) > 2
        assert {stat.S_IMODE(mode) for mode in modes.values()} == {0o600}


async def test_closed_journal_leaves_no_other_files(journal, path):
    async with journal.acquire("talk"):
        pass
    await journal.aclose()
    assert os.listdir(path.parent) == [path.name]


async def test_newer_journal_is_rejected_unchanged(journal, path):
    await journal.open()
    await journal.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"newer livepeer-async \(version 2.*upgrade"):
        await Journal(path, account="a").open()
    assert path.read_bytes() == before


async def test_journal_of_another_account_is_rejected(journal, path):
    await journal.open()
    with pytest.raises(JournalError, match="another API key or base URL"):
        await Journal(path, account="b").open()


async def test_foreign_database_is_rejected_unchanged(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program's database"):
        await Journal(path, account="a").open()
    assert path.read_bytes() == before


async def test_other_file_is_rejected_unchanged(path):
    path.write_bytes(b"name,path\n" * 100)
    with pytest.raises(JournalError, match="isn't a journal"):
        await Journal(path, account="a").open()
    assert path.read_bytes() == b"name,path\n" * 100


async def test_missing_folder_is_an_error(path):
    with pytest.raises(JournalError, match=r"can't be opened: there is no folder .*; create it"):
        await Journal(path / "deeper", account="a").open()


async def test_locked_journal_is_an_error_after_a_while(journal, path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    await journal.open()
    await journal.aclose()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked by another program"):
            await journal.open()
    other.close()
    await journal.open()


async def test_full_disk_keeps_the_old_record(journal, path):
    await journal.write(RECORD)
    # SQLite's page limit raises the same error as a full disk.
    connection = journal._store._database._connection  # noqa: SLF001 - the limit applies to one connection
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(JournalError, match="disk is full: make room"):
        for number in range(1000):
            await journal.write(replace(RECORD, key=f"{number:0200}"))
    assert RECORD in await journal.records()
    await journal.aclose()
    assert await read_record(path) == RECORD


@pytest.mark.parametrize("folder_mode", [0o777, 0o555])
async def test_read_only_journal_is_an_error(folder_mode):
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "uploads.journal")
        journal = Journal(path, account="a")
        await journal.write(RECORD)
        await journal.aclose()
        path.chmod(0o444)
        os.chmod(folder, folder_mode)
        try:
            # Root may write every file.
            os.seteuid(user or 65534)
            with pytest.raises(JournalError, match="is read-only: make it writable"):
                await journal.open()
        finally:
            os.seteuid(user)
            os.chmod(folder, 0o700)
        path.chmod(0o600)
        assert await read_record(path) == RECORD


async def test_link_to_a_journal_is_the_same_journal(journal, path, tmp_path):
    link = tmp_path / "elsewhere" / "link.journal"
    link.parent.mkdir()
    link.symlink_to(path)
    async with journal.acquire("talk"):
        with pytest.raises(UploadInUse):
            await read_record(link)


@pytest.mark.parametrize("mode", [0o644, 0o755])
async def test_other_file_keeps_its_permissions(path, mode):
    path.write_bytes(b"name,path\n" * 100)
    path.chmod(mode)
    with pytest.raises(JournalError):
        await Journal(path, account="a").open()
    assert stat.S_IMODE(path.stat().st_mode) == mode


async def test_folder_is_rejected_and_keeps_its_permissions(tmp_path):
    tmp_path.chmod(0o755)
    with pytest.raises(JournalError, match="is a folder; use the path of a file"):
        await Journal(tmp_path, account="a").open()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


async def test_upgrade_between_check_and_write_is_detected(path, monkeypatch):
    make_private = database._make_private  # noqa: SLF001 - it runs between the two

    def upgrade(file):
        make_private(file)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    journal = Journal(path, account="a")
    await journal.open()
    await journal.aclose()
    monkeypatch.setattr(database, "_make_private", upgrade)
    with pytest.raises(JournalError, match="newer livepeer-async"):
        await journal.open()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)


async def test_killed_process_leaves_no_other_files(journal, path):
    (path.parent / f"{path.name}-owner-{'0' * 32}").touch()
    async with journal.acquire("talk"):
        pass
    await journal.aclose()
    assert os.listdir(path.parent) == [path.name]
