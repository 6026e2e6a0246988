"""Journals on both databases, a record, and how other processes read and hold a key."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sources.identity import SourceIdentity

# Runs a test with the fixture `journal` in a file and on PostgreSQL.
ON_BOTH = pytest.mark.parametrize("journal", ["sqlite", "postgres"], indirect=True)

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


# Acquires a key, prints "acquired", and waits until it is killed.
HOLDING = """
import asyncio, sys
from livepeer_async.journal.journal import Journal

async def main():
    journal = Journal(sys.argv[1], account="a")
    async with journal.acquire(sys.argv[2]):
        print("acquired", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@contextmanager
def hold_key(location, key="talk"):
    """Hold a key in another process, which is killed at the end of the block."""
    command = [sys.executable, "-c", HOLDING, str(location), key]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"acquired\n"
        yield process
        process.kill()
