"""A journal that finds no free file descriptor."""

import asyncio

import pytest

from livepeer_async import errors
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.journal.sqlite import database
from livepeer_async.sources.identity import SourceIdentity
from support.descriptors import no_free_descriptors

pytestmark = pytest.mark.anyio
RECORD = Record(
    key="talk",
    state=RecordState.REQUESTED,
    name="talk.mp4",
    identity=SourceIdentity(length=1),
    requested_at=0.0,
)


@pytest.fixture
async def journal(tmp_path):
    journal = Journal(tmp_path / "journal", account="account")
    yield journal
    await journal.aclose()


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
async def test_journal_waits_for_a_descriptor(journal, is_open):
    if is_open:
        await journal.open()
    with no_free_descriptors() as limited:
        # Another upload ends a moment later.
        asyncio.get_running_loop().call_later(0.15, limited.close)
        # The first claim opens a file beside the journal.
        async with journal.acquire("talk"):
            await journal.write(RECORD)
    assert list(await journal.records()) == [RECORD]


async def test_lasting_shortage_is_a_transient_error(journal, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    message = r"the journal .* can't be opened; raise the limit"
    with no_free_descriptors(), pytest.raises(errors.TooManyOpenFiles, match=message) as raised:
        await journal.open()
    assert errors.is_transient(raised.value)
    await journal.open()
    assert await journal.records() == []
