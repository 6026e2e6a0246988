"""Whose claims hold, where the file that shows it is missing, unreadable or another process's."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from livepeer_async import JournalError, UploadInUse
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.owner_lock import OwnerLock

pytestmark = pytest.mark.anyio

# A process that claims a key until it is killed.
CLAIMING = """
import anyio, sys
from livepeer_async.journal.journal import Journal

async def main():
    async with Journal(sys.argv[1], account="a").acquire("talk"):
        print("claimed", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def claiming(journal):
    arguments = [sys.executable, "-c", CLAIMING, journal]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"claimed\n"
        yield process
        process.kill()


@pytest.fixture
async def opened(journal):
    opened = Journal(journal, account="a")
    yield opened
    await opened.aclose()


def owner_file(journal):
    (owner,) = OwnerLock.found_beside(str(journal))
    return Path(OwnerLock.path_of(str(journal), owner))


@contextmanager
def as_nobody():
    """Be somebody whom modes bind, as they don't bind root."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


async def test_a_process_whose_file_was_deleted_keeps_its_claims(opened, journal, claiming):
    owner_file(journal).unlink()
    with pytest.raises(UploadInUse, match=f"process {claiming.pid} carries it"):
        async with opened.acquire("talk"):
            pytest.fail("two writers")


async def test_claims_without_a_file_end_with_the_process(opened, journal, claiming):
    owner_file(journal).unlink()
    claiming.kill()
    claiming.wait()
    async with opened.acquire("talk"):
        pass
    await opened.aclose()
    assert os.listdir(journal.parent) == [journal.name]


async def test_a_file_that_may_not_be_opened_is_named(journal, claiming):
    claiming.kill()
    claiming.wait()
    file = owner_file(journal)
    for path in journal.parent.iterdir():
        os.chmod(path, 0o666)
    os.chmod(file, 0)
    os.chmod(journal.parent, 0o777)
    opened = Journal(journal, account="a")
    pattern = f"process {claiming.pid} still runs, because the file {file} can't be opened.*delete"
    for folder in journal.parents:
        # pytest's folders are for their owner alone.
        if stat.S_IMODE(folder.stat().st_mode) & 0o005 != 0o005:
            folder.chmod(0o755)
    with as_nobody():
        with pytest.raises(JournalError, match=pattern) as caught:
            async with opened.acquire("talk"):
                pytest.fail("nobody knows whether it is carried")
        assert not isinstance(caught.value, UploadInUse)
        async with opened.acquire("another"):
            pass
    assert file.exists()
    file.unlink()
    async with opened.acquire("talk"):
        pass
    await opened.aclose()


@pytest.mark.parametrize(("pid", "holds"), [(1, True), (None, False)])
def test_without_a_file_the_process_counts(journal, pid, holds):
    assert OwnerLock.is_held(str(journal), "gone", pid) is holds
    with as_nobody():
        assert OwnerLock.is_held(str(journal), "gone", pid) is holds
    assert not list(journal.parent.iterdir())


@pytest.mark.parametrize("pid", [0, -1, 2**70])
def test_what_is_no_process_does_not_run(journal, pid):
    assert not OwnerLock.is_held(str(journal), "gone", pid)


@pytest.mark.parametrize("name", ["a?b#c%41 d", "\udcff"])
def test_any_path_is_found(tmp_path, name):
    journal = str(tmp_path / name)
    lock = OwnerLock(journal)
    assert OwnerLock.is_held(journal, lock.owner, None)
    lock.release(keeps_file=True)
    assert not OwnerLock.is_held(journal, lock.owner, os.getpid())


async def test_a_file_that_is_no_lock_is_named(opened, journal, claiming):
    claiming.kill()
    claiming.wait()
    owner_file(journal).write_bytes(b"no database" * 100)
    with pytest.raises(JournalError, match=r"owner-\w+ can't be opened"):
        async with opened.acquire("talk"):
            pytest.fail("nobody knows whether it is carried")


def test_a_child_may_not_use_what_its_parent_has_open(journal):
    """It runs in a process of its own: the one that runs the tests has threads."""
    done = subprocess.run([sys.executable, "-c", FORKING, journal], capture_output=True, check=True)
    assert done.stdout.decode().split("\n")[:-1] == [
        f"child: the journal {journal} was opened before a fork; open a client in each process",
        "parent: still mine",
    ]
    assert done.stderr == b""
    with closing(sqlite3.connect(journal)) as connection:
        assert connection.execute("SELECT count(*) FROM claims").fetchone() == (0,)


FORKING = """
import asyncio, os, sys
from livepeer_async import JournalError, UploadInUse
from livepeer_async.journal.journal import Journal

async def be_child(parents):
    try:
        async with parents.acquire("another"):
            pass
    except JournalError as error:
        print("child:", error, flush=True)
    await parents.aclose()

async def be_parent():
    parents, other = (Journal(sys.argv[1], account="a") for _ in range(2))
    async with parents.acquire("talk"):
        child = os.fork()
        if not child:
            asyncio.run(be_child(parents))
            os._exit(0)
        os.waitpid(child, 0)
        try:
            async with other.acquire("talk"):
                pass
        except UploadInUse:
            print("parent: still mine", flush=True)
    await other.aclose()
    await parents.aclose()

asyncio.run(be_parent())
"""
