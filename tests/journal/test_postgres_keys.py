"""Keys in a database: any text, and only those of one account."""

import pytest
from msgspec.structs import replace

from livepeer_async import JournalError
from livepeer_async.journal.journal import Journal
from support.records import RECORD, read_record

pytestmark = pytest.mark.anyio


@pytest.fixture
def location(postgres):
    return postgres.url


KEYS = {
    "long": "long/" + "é🎬" * 5_000,
    "not UTF-8": "a\udcff.mp4",
    "quotes": "'; DROP TABLE records; --$1 %s",
    "line breaks": "a\r\nb\tc",
    "empty": "",
}


async def test_key_may_be_any_text(journal, postgres):
    for key in KEYS.values():
        async with journal.acquire(key) as found:
            assert found is None
            # As a lease does, which writes keys as text.
            await journal.write(replace(RECORD, key=key.replace("\udcff", "\\udcff")))
    assert {key: record.name for key, record in (await journal.find(list(KEYS.values()))).items()}
    assert len(await journal.find(list(KEYS.values()))) == len(KEYS)
    for key in KEYS.values():
        assert (await read_record(postgres.url, key)).name == RECORD.name
        assert await journal.forget(key)
    assert await journal.records() == []


async def test_key_with_nul_is_refused(journal, postgres):
    with pytest.raises(JournalError, match="can't hold a key with the character NUL: use another"):
        async with journal.acquire("a\0b"):
            pytest.fail("PostgreSQL can't store it")
    assert await journal.find(["a\0b"]) == {}
    async with journal.acquire("ab"):
        pass
    assert await read_record(postgres.url, "ab") is None


async def test_accounts_do_not_see_each_other(journal, postgres):
    other = Journal(postgres.url, account="b")
    request = replace(RECORD, asset_id=None)
    async with journal.acquire("talk"), other.acquire("talk") as found:
        assert found is None
        await journal.write(RECORD)
        await journal.abandon(replace(request, key="request"), is_useless=True)
        await journal.abandon(replace(RECORD, key="orphan"), is_useless=True)
        await journal.write(RECORD)
        for it in (other.records, other.orphans, other.unconfirmed_requests):
            assert await it() == []
        assert await other.find(["talk"]) == {}
        await other.drop("talk")
        await other.drop_orphan("asset-1")
    assert not await other.forget("talk")
    await other.aclose()
    assert await journal.records() == [RECORD]
    assert (len(await journal.orphans()), len(await journal.unconfirmed_requests())) == (1, 1)
