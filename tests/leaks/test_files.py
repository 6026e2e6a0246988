"""Files are private to their owner; the journal may hold upload URLs, but no key or token."""

import os
import stat

import pytest

from leaks.context import (
    API_KEY,
    SECRET_ASSET,
    VIDEO,
    open_context,
)
from leaks.detector import LeakDetector
from livepeer_async.sandbox import Stall
from livepeer_async.sources import opening
from support.clock import until

pytestmark = pytest.mark.anyio


def is_accessible_to_others(status):
    return bool(stat.S_IMODE(status.st_mode) & 0o077)


def journal_files(directory):
    return sorted(directory.glob("journal*"))


async def test_journal_is_private_and_has_no_key(detector, tmp_path, open_umask):
    async with open_context("httpx", LeakDetector(), tmp_path) as context:
        context.fault(Stall(0.4), method="PATCH")
        async with context.livepeer.begin_upload(context.path, SECRET_ASSET) as upload:
            await until(lambda: upload.upload_url)
            kinds = {path.name.removeprefix("journal")[:7] for path in journal_files(tmp_path)}
            assert kinds == {"", "-wal", "-shm", "-owner-"}
            for path in journal_files(tmp_path):
                assert not is_accessible_to_others(path.stat()), path
                detector.add(path.name, path.read_bytes().decode("latin-1"))
        assert any(upload.asset.playback_id in text for _, text in detector.texts)
    for path in journal_files(tmp_path):
        assert not is_accessible_to_others(path.stat())
        detector.add(path.name, path.read_bytes().decode("latin-1"))
    assert detector.find_leaks() == []


async def test_existing_journal_becomes_private(tmp_path, open_umask):
    path = tmp_path / "journal"
    path.touch(0o666)
    async with open_context("httpx", LeakDetector(), tmp_path):
        assert not is_accessible_to_others(path.stat())


async def test_journal_fingerprint_has_no_part_of_the_key(tmp_path):
    async with open_context("httpx", LeakDetector(), tmp_path) as context:
        fingerprint = context.livepeer.account_fingerprint
        assert fingerprint in "".join(p.read_bytes().decode("latin-1") for p in tmp_path.iterdir())
        # Six hexadecimal digits may be equal by chance.
        windows = {API_KEY[at : at + 6] for at in range(len(API_KEY) - 6)}
        parts = {window for window in windows if not set(window) <= set("0123456789abcdef")}
        assert parts
        assert not any(window in fingerprint for window in parts)


async def test_spooled_stream_is_private(tmp_path, open_umask, monkeypatch):
    async def video_blocks():
        yield VIDEO

    monkeypatch.setattr(opening, "MAX_SPOOL_IN_MEMORY", 1000)
    async with opening.open_source(video_blocks()):
        descriptors = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        # One descriptor belonged to the list itself and is closed.
        files = [os.stat(it) for it in descriptors if os.path.lexists(it)]
        (spool,) = [it for it in files if stat.S_ISREG(it.st_mode) and it.st_size == len(VIDEO)]
        assert not is_accessible_to_others(spool)
        assert spool.st_nlink == 0
