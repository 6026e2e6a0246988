"""Claims whose owner lock file is missing, unreadable or of another process."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from livepeer_async import JournalError, UploadInUse
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.sqlite.owner_lock import OwnerLock
from support.disk_limits import unprivileged

pytestmark = pytest.mark.anyio

# A process that holds a claim until it is killed.
HOLDING = """
import anyio, sys
from livepeer_async.journal.journal import Journal

async def main():
    async with Journal(sys.argv[1], account="a").acquire("talk"):
        print("acquired", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def holder(journal):
    arguments = [sys.executable, "-c", HOLDING, journal]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"acquired\n"
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


async def test_process_with_a_deleted_lock_file_keeps_its_claims(opened, journal, holder):
    owner_file(journal).unlink()
    with pytest.raises(UploadInUse, match=f"in use by process {holder.pid}"):
        async with opened.acquire("talk"):
            pytest.fail("two writers")


async def test_claims_without_a_lock_file_end_with_the_process(opened, journal, holder):
    owner_file(journal).unlink()
    holder.kill()
    holder.wait()
    async with opened.acquire("talk"):
        pass
    await opened.aclose()
    assert os.listdir(journal.parent) == [journal.name]


async def test_unreadable_lock_file_is_in_the_message(journal, holder):
    holder.kill()
    holder.wait()
    file = owner_file(journal)
    for path in journal.parent.iterdir():
        os.chmod(path, 0o666)
    os.chmod(file, 0)
    os.chmod(journal.parent, 0o777)
    opened = Journal(journal, account="a")
    pattern = f"process {holder.pid} still runs, because the file {file} can't be opened.*delete"
    for folder in journal.parents:
        # pytest's folders are accessible to their owner only.
        if stat.S_IMODE(folder.stat().st_mode) & 0o005 != 0o005:
            folder.chmod(0o755)
    with unprivileged():
        with pytest.raises(JournalError, match=pattern) as caught:
            async with opened.acquire("talk"):
                pytest.fail("the claim may be held")
        assert not isinstance(caught.value, UploadInUse)
        async with opened.acquire("another"):
            pass
    assert file.exists()
    file.unlink()
    async with opened.acquire("talk"):
        pass
    await opened.aclose()


@pytest.mark.parametrize(("pid", "holds"), [(1, True), (None, False)])
def test_missing_lock_file_falls_back_to_the_process(journal, pid, holds):
    assert OwnerLock.is_held(str(journal), "gone", pid) is holds
    with unprivileged():
        assert OwnerLock.is_held(str(journal), "gone", pid) is holds
    assert not list(journal.parent.iterdir())


@pytest.mark.parametrize("pid", [0, -1, 2**70])
def test_invalid_pid_does_not_hold_a_claim(journal, pid):
    assert not OwnerLock.is_held(str(journal), "gone", pid)


@pytest.mark.parametrize("name", ["a?b#c%41 d", "\udcff"])
def test_lock_file_beside_any_path_is_found(tmp_path, name):
    journal = str(tmp_path / name)
    lock = OwnerLock(journal)
    assert OwnerLock.is_held(journal, lock.owner, None)
    lock.release(keeps_file=True)
    assert not OwnerLock.is_held(journal, lock.owner, os.getpid())


async def test_invalid_lock_file_is_in_the_message(opened, journal, holder):
    holder.kill()
    holder.wait()
    owner_file(journal).write_bytes(b"no database" * 100)
    with pytest.raises(JournalError, match=r"owner-\w+ can't be opened"):
        async with opened.acquire("talk"):
            pytest.fail("the claim may be held")


def test_journal_opened_before_a_fork_is_refused(journal):
    """Runs in a process of its own: that of the tests has threads."""
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

async def run_child(inherited):
    try:
        async with inherited.acquire("another"):
            pass
    except JournalError as error:
        print("child:", error, flush=True)
    await inherited.aclose()

async def run_parent():
    inherited, other = (Journal(sys.argv[1], account="a") for _ in range(2))
    async with inherited.acquire("talk"):
        child = os.fork()
        if not child:
            asyncio.run(run_child(inherited))
            os._exit(0)
        os.waitpid(child, 0)
        try:
            async with other.acquire("talk"):
                pass
        except UploadInUse:
            print("parent: still mine", flush=True)
    await other.aclose()
    await inherited.aclose()

asyncio.run(run_parent())
"""
