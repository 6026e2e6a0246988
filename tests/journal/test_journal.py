"""What a journal does in a file and on PostgreSQL."""

import os
import signal
from contextlib import aclosing, suppress

import pytest
from msgspec.structs import replace

from livepeer_async import ConfigurationError, JournalError, UploadInUse
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import Orphan, RecordState, UnconfirmedRequest
from support.clock import until
from support.records import RECORD, hold_key, read_record

pytestmark = pytest.mark.anyio

ORPHAN = Orphan(asset_id="asset-1", key="talk", name="talk.mp4", since=2.0)
REQUEST = replace(RECORD, state=RecordState.REQUESTED, asset_id=None, upload_url=None)
UNCONFIRMED = UnconfirmedRequest(key="talk", name="talk.mp4", since=1.5, until=601.5)


@pytest.fixture
def holder(location):
    with hold_key(location) as process:
        yield process


async def test_record_survives_its_journal(journal, location):
    async with journal.acquire("talk") as record:
        assert record is None
        await journal.write(RECORD)
    await journal.aclose()
    assert await read_record(location) == RECORD


async def test_identity_is_that_of_the_database(journal, location, tmp_path):
    async with aclosing(Journal(location, account="another" if journal.is_shared else "a")) as same:
        assert await same.identify() == await journal.identify()
    async with aclosing(Journal(tmp_path / "other.journal", account="a")) as other:
        assert await other.identify() != await journal.identify()


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


async def test_key_is_acquired_once_among_journals(journal, location):
    async with journal.acquire("talk"):
        with pytest.raises(UploadInUse, match=f"in use by process {os.getpid()}") as caught:
            await read_record(location)
        assert caught.value.key == "talk"
    assert await read_record(location) is None


async def test_key_is_acquired_once_among_processes(journal, holder):
    with pytest.raises(UploadInUse, match=rf"in use by process {holder.pid}"):
        async with journal.acquire("talk"):
            pytest.fail("two writers")


async def test_lease_ends_with_its_killed_process(journal, holder):
    holder.kill()
    holder.wait()

    async def is_free():
        # PostgreSQL notices the end of the connection in the background.
        with suppress(UploadInUse):
            async with journal.acquire("talk"):
                return True

    await until(is_free)


async def test_lease_of_a_stopped_process_is_valid(journal, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(UploadInUse):
        async with journal.acquire("talk"):
            pytest.fail("it may continue at any time")


@pytest.mark.parametrize(
    ("kind", "last"),
    [("record", "key = 'talk'"), ("orphan", "asset_id = 'talk'"), ("doubt", "id = 2")],
)
async def test_unreadable_rows_are_logged_and_skipped(journal, execute, caplog, kind, last):
    for key in ("speech", "talk"):
        await journal.write(replace(RECORD, key=key))
        await journal.abandon(replace(RECORD, key=f"{key}2", asset_id=key), is_useless=True)
        await journal.abandon(replace(REQUEST, key=key + "3"), is_useless=True)
    execute(f"UPDATE {kind}s SET {kind} = '{{' WHERE {last}")
    lists = {
        "record": journal.records,
        "orphan": journal.orphans,
        "doubt": journal.unconfirmed_requests,
    }
    found = {it: len(await read()) for it, read in lists.items()}
    assert found == {it: 1 if it == kind else 2 for it in lists}
    (line,) = caplog.messages
    noun = "unconfirmed request" if kind == "doubt" else kind
    assert f"journal {journal.path}: skipping unreadable {noun}" in line


async def test_key_with_an_unreadable_record_is_rejected(journal, execute):
    await journal.write(RECORD)
    execute("UPDATE records SET record = '{'")
    with pytest.raises(JournalError, match="holds a record that can't be read"):
        async with journal.acquire("talk"):
            pytest.fail("its record is unreadable")


async def test_key_may_be_a_file_name_that_is_not_utf8(journal):
    async with journal.acquire("a\udcff.mp4"):
        pass
    assert not await journal.forget("a\udcff.mp4")


async def test_closed_journal_is_not_opened_by_its_use(journal, is_closed):
    await journal.open()
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(ConfigurationError, match="is closed"):
        await journal.write(RECORD)
    with pytest.raises(ConfigurationError, match="is closed"):
        async with journal.acquire("talk"):
            pytest.fail("it is closed")
    await until(is_closed)
    await journal.open()
    async with journal.acquire("talk"):
        pass


async def test_journal_may_be_closed_during_a_claim(journal, is_closed):
    async with journal.acquire("talk"):
        await journal.aclose()
    await until(is_closed)
