"""A journal's record, and how another process reads it."""

from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sources.identity import SourceIdentity

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


async def read_record(location, key="talk"):
    """Acquire a key and return its record, as another process would."""
    other = Journal(location, account="a")
    try:
        async with other.acquire(key) as record:
            return record
    finally:
        await other.aclose()
