"""What stays on the disk: the journal may hold upload URLs, neither the key nor a token."""

import os
import stat

import pytest

from discretion.evidence import Evidence
from discretion.scene import KEY, SECRETIVE, VIDEO, plant_all, plant_tokens, playing
from livepeer_async.sandbox import Stall
from livepeer_async.sources import opening
from support.clock import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def open_umask():
    """Let nothing but the package keep others out."""
    umask = os.umask(0)
    yield
    os.umask(umask)


@pytest.fixture
def evidence(monkeypatch):
    evidence = Evidence()
    plant_all(evidence)
    plant_tokens(evidence, monkeypatch)
    return evidence


def is_for_others(status):
    return bool(stat.S_IMODE(status.st_mode) & 0o077)


def journal_files(directory):
    return sorted(directory.glob("journal*"))


async def test_journal_is_for_its_owner_alone_and_holds_no_key(evidence, tmp_path, open_umask):
    async with playing("httpx", Evidence(), tmp_path) as scene:
        scene.fault(Stall(0.4), method="PATCH")
        async with scene.livepeer.begin_upload(scene.path, SECRETIVE) as upload:
            await until(lambda: upload.upload_url)
            kinds = {path.name.removeprefix("journal")[:7] for path in journal_files(tmp_path)}
            assert kinds == {"", "-wal", "-shm", "-owner-"}
            for path in journal_files(tmp_path):
                assert not is_for_others(path.stat()), path
                evidence.add(path.name, path.read_bytes().decode("latin-1"))
        assert any(upload.asset.playback_id in text for _, text in evidence.texts)
    for path in journal_files(tmp_path):
        assert not is_for_others(path.stat())
        evidence.add(path.name, path.read_bytes().decode("latin-1"))
    assert evidence.leaks() == []


async def test_journal_that_others_could_read_is_closed_to_them(tmp_path, open_umask):
    path = tmp_path / "journal"
    path.touch(0o666)
    async with playing("httpx", Evidence(), tmp_path):
        assert not is_for_others(path.stat())


async def test_journal_names_the_account_by_what_is_no_key(tmp_path):
    async with playing("httpx", Evidence(), tmp_path) as scene:
        fingerprint = scene.livepeer.account_fingerprint
        assert fingerprint in "".join(p.read_bytes().decode("latin-1") for p in tmp_path.iterdir())
        # Six digits that happen to be alike are no part of the key.
        windows = {KEY[at : at + 6] for at in range(len(KEY) - 6)}
        told = {window for window in windows if not set(window) <= set("0123456789abcdef")}
        assert told
        assert not any(window in fingerprint for window in told)


async def test_spooled_stream_is_for_its_owner_alone(tmp_path, open_umask, monkeypatch):
    async def pieces():
        yield VIDEO

    monkeypatch.setattr(opening, "SPOOL_IN_MEMORY", 1000)
    async with opening.open_source(pieces()):
        descriptors = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        # The list itself was read through one that is closed again.
        files = [os.stat(it) for it in descriptors if os.path.lexists(it)]
        (spool,) = [it for it in files if stat.S_ISREG(it.st_mode) and it.st_size == len(VIDEO)]
        assert not is_for_others(spool)
        assert spool.st_nlink == 0
