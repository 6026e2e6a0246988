import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from livepeer_async import ConfigurationError, JournalError, UploadInUse
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import Orphan, Record, RecordState, UnconfirmedRequest
from livepeer_async.journal.sqlite import database
from livepeer_async.journal.sqlite.database import SCHEMA_VERSION
from livepeer_async.sources.identity import SourceIdentity

pytestmark = pytest.mark.anyio

RECORD = Record(
    key="talk",
    state=RecordState.UPLOAD_CREATED,
    name="talk.mp4",
    identity=SourceIdentity(length=9, modified_ns=5, inode=3),
    requested_at=1.5,
    asset_id="asset-1",
    playback_id="playback-1",
    upload_url="https://origin.example/files/1",
)
ORPHAN = Orphan(asset_id="asset-1", key="talk", name="talk.mp4", since=2.0)
REQUEST = replace(RECORD, state=RecordState.REQUESTED, asset_id=None, upload_url=None)
UNCONFIRMED = UnconfirmedRequest(key="talk", name="talk.mp4", since=1.5, until=601.5)

# A process that acquires a key, prints "acquired" and is killed.
HOLDING = """
import asyncio, sys
from livepeer_async.journal.journal import Journal

async def main():
    journal = Journal(sys.argv[1], account="a")
    async with journal.acquire("talk"):
        print("acquired", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "uploads.journal"


@pytest.fixture
async def journal(path):
    journal = Journal(path, account="a")
    yield journal
    await journal.aclose()


@pytest.fixture
def holder(path):
    process = subprocess.Popen([sys.executable, "-c", HOLDING, path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"acquired\n"
    with process:
        yield process
        process.kill()


async def read_record(path, key="talk"):
    """Acquire a key and return its record, as another process would."""
    other = Journal(path, account="a")
    try:
        async with other.acquire(key) as record:
            return record
    finally:
        await other.aclose()


async def test_record_survives_its_journal(journal, path):
    async with journal.acquire("talk") as record:
        assert record is None
        await journal.write(RECORD)
    await journal.aclose()
    assert await read_record(path) == RECORD


async def test_key_has_one_record(journal):
    await journal.write(RECORD)
    await journal.write(RECORD)
    assert await journal.records() == [RECORD]
    await journal.drop("talk")
    assert await journal.records() == []


async def test_abandoned_upload_becomes_an_orphan(journal):
    await journal.write(RECORD)
    await journal.abandon(RECORD, is_useless=True)
    (orphan,) = await journal.orphans()
    assert replace(orphan, since=2.0) == ORPHAN
    assert await journal.records() == []
    await journal.drop_orphan("asset-1")
    assert await journal.orphans() == []


async def test_abandoned_request_becomes_an_unconfirmed_one(journal):
    await journal.write(REQUEST)
    await journal.abandon(REQUEST, is_useless=True)
    assert (await journal.records(), await journal.unconfirmed_requests()) == ([], [UNCONFIRMED])
    await journal.drop_unconfirmed(UNCONFIRMED)
    assert await journal.unconfirmed_requests() == []


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY])
async def test_forgetting_a_complete_upload_leaves_no_orphan(journal, state):
    await journal.write(replace(RECORD, state=state))
    assert await journal.forget("talk")
    assert not await journal.forget("talk")
    assert (await journal.records(), await journal.orphans()) == ([], [])


async def test_forgetting_an_unfinished_upload_leaves_an_orphan(journal):
    await journal.write(RECORD)
    assert await journal.forget("talk")
    (orphan,) = await journal.orphans()
    assert (orphan.asset_id, orphan.is_useless) == ("asset-1", False)


async def test_running_upload_cannot_be_forgotten(journal):
    async with journal.acquire("talk"):
        with pytest.raises(UploadInUse):
            await journal.forget("talk")


async def test_key_is_acquired_once_in_a_process(journal):
    async with journal.acquire("talk"):
        with pytest.raises(UploadInUse, match="'talk' is in use by this process"):
            async with journal.acquire("talk"):
                pytest.fail("two writers")
        async with journal.acquire("another"):
            pass
    async with journal.acquire("talk"):
        pass


async def test_key_is_acquired_once_in_a_file(journal, path):
    async with journal.acquire("talk"):
        with pytest.raises(UploadInUse, match=f"in use by process {os.getpid()}") as caught:
            await read_record(path)
        assert caught.value.key == "talk"
    assert await read_record(path) is None


async def test_key_is_acquired_once_among_processes(journal, holder):
    with pytest.raises(UploadInUse, match=rf"in use by process {holder.pid}"):
        async with journal.acquire("talk"):
            pytest.fail("two writers")


async def test_lease_ends_with_its_killed_process(journal, path, holder):
    holder.kill()
    holder.wait()
    async with journal.acquire("talk"):
        pass
    await journal.aclose()
    assert sorted(os.listdir(path.parent)) == [path.name]


async def test_lease_of_a_stopped_process_is_valid(journal, holder):
    holder.send_signal(19)
    with pytest.raises(UploadInUse):
        async with journal.acquire("talk"):
            pytest.fail("it may continue at any time")


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


@pytest.mark.parametrize(
    ("kind", "last"),
    [("record", "key = 'talk'"), ("orphan", "asset_id = 'talk'"), ("doubt", "id = 2")],
)
async def test_unreadable_rows_are_logged_and_skipped(journal, path, caplog, kind, last):
    for key in ("speech", "talk"):
        await journal.write(replace(RECORD, key=key))
        await journal.abandon(replace(RECORD, key=f"{key}2", asset_id=key), is_useless=True)
        await journal.abandon(replace(REQUEST, key=key + "3"), is_useless=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"UPDATE {kind}s SET {kind} = '{{' WHERE {last}")
    lists = {
        "record": journal.records,
        "orphan": journal.orphans,
        "doubt": journal.unconfirmed_requests,
    }
    found = {it: len(await read()) for it, read in lists.items()}
    assert found == {it: 1 if it == kind else 2 for it in lists}
    (line,) = caplog.messages
    noun = "unconfirmed request" if kind == "doubt" else kind
    assert f"journal {path}: skipping unreadable {noun}" in line


async def test_key_with_an_unreadable_record_is_rejected(journal, path):
    await journal.write(RECORD)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE records SET record = '{'")
    with pytest.raises(JournalError, match="holds a record that can't be read"):
        async with journal.acquire("talk"):
            pytest.fail("its record is unreadable")


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


async def test_key_may_be_a_file_name_that_is_not_utf8(journal):
    async with journal.acquire("a\udcff.mp4"):
        pass
    assert not await journal.forget("a\udcff.mp4")


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


async def test_closed_journal_is_not_opened_by_its_use(journal, path):
    await journal.open()
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(ConfigurationError, match="is closed"):
        await journal.write(RECORD)
    with pytest.raises(ConfigurationError, match="is closed"):
        async with journal.acquire("talk"):
            pytest.fail("it is closed")
    assert os.listdir(path.parent) == [path.name]
    await journal.open()
    async with journal.acquire("talk"):
        pass


async def test_journal_may_be_closed_during_a_claim(journal, path):
    async with journal.acquire("talk"):
        await journal.aclose()
    assert os.listdir(path.parent) == [path.name]
