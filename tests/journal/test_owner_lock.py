"""An owner's lock and its file by themselves; `restarts` has whose claims hold in a journal."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from livepeer_async.journal.owner_lock import OwnerLock

# A process that has a lock until it is killed.
HOLDING = """
import sys, time
from livepeer_async.journal.owner_lock import OwnerLock

lock = OwnerLock(sys.argv[1])
print(lock.owner, flush=True)
time.sleep(60)
"""
ASKING = """
import sys
from livepeer_async.journal.owner_lock import OwnerLock

print(OwnerLock.is_held(sys.argv[1], sys.argv[2], None))
"""


@pytest.fixture
def journal(tmp_path):
    return str(tmp_path / "uploads.journal")


@pytest.fixture
def make_lock(journal):
    """Make locks that are released at the end of the test."""
    made = []

    def make_lock():
        made.append(OwnerLock(journal))
        return made[-1]

    yield make_lock
    for lock in made:
        lock.release(keeps_file=False)


@pytest.fixture
def open_umask():
    umask = os.umask(0)
    yield
    os.umask(umask)


def is_held(journal, owner):
    """Ask in this process, which is no process of the claims'."""
    return OwnerLock.is_held(journal, owner, None)


def is_held_for_others(journal, owner):
    """Ask in another process."""
    command = [sys.executable, "-c", ASKING, journal, owner]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return {"True\n": True, "False\n": False}[done.stdout]


def test_a_lock_is_held_until_its_process_is_killed(journal):
    with subprocess.Popen([sys.executable, "-c", HOLDING, journal], stdout=subprocess.PIPE) as it:
        owner = it.stdout.readline().decode().strip()
        was_held = is_held(journal, owner)
        it.kill()
    assert was_held
    # Another process may have got its number: the lock counts, not that.
    assert not OwnerLock.is_held(journal, owner, os.getpid())
    assert OwnerLock.found_beside(journal) == {owner}


def test_one_that_asks_about_its_own_lock_does_not_lose_it(journal, make_lock):
    """Where a process closes a file, the system drops all the locks that it has on that file."""
    lock = make_lock()
    assert is_held(journal, lock.owner)
    assert is_held_for_others(journal, lock.owner)


def test_who_asks_takes_no_lock(journal, make_lock):
    lock = make_lock()
    lock.release(keeps_file=True)
    assert [is_held(journal, lock.owner) for _ in range(2)] == [False, False]
    assert not is_held_for_others(journal, lock.owner)


@pytest.mark.parametrize("keeps_file", [False, True])
def test_a_lock_that_is_released_leaves_its_file_only_where_that_is_wanted(journal, keeps_file):
    lock = OwnerLock(journal)
    file = Path(lock.path_of(journal, lock.owner))
    assert file.exists()
    lock.release(keeps_file=keeps_file)
    assert list(file.parent.iterdir()) == [file] * keeps_file


def test_a_lock_may_be_released_in_another_thread(journal):
    with ThreadPoolExecutor(1) as thread:
        lock = thread.submit(OwnerLock, journal).result()
    lock.release(keeps_file=True)
    assert not is_held(journal, lock.owner)


def test_each_owner_has_a_lock_of_its_own(journal, make_lock):
    first, second = make_lock(), make_lock()
    assert OwnerLock.found_beside(journal) == {first.owner, second.owner}
    first.release(keeps_file=True)
    assert not is_held(journal, first.owner)
    assert is_held(journal, second.owner)


def test_nobody_else_may_open_its_files(journal, make_lock, open_umask):
    """Who can open one can lock it, and so shut out whoever wants the owner's keys."""
    make_lock()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path(journal).parent.iterdir()}
    assert modes == {0o600}


def test_only_the_owners_of_this_journal_are_found(journal):
    names = ["-wal", "-owner", "2-owner-another", ".bak-owner-another", "-owner-it"]
    for path in [journal, *(journal + name for name in names), f"{journal}-owner-it-journal"]:
        Path(path).touch()
    assert OwnerLock.found_beside(journal) == {"it"}


def test_of_an_owner_who_made_only_half_of_it_the_rest_is_found(journal):
    Path(f"{journal}-owner-it-journal").touch()
    assert OwnerLock.found_beside(journal) == {"it"}


def test_all_files_of_an_owner_are_deleted_and_no_others(journal):
    for name in ("", "-owner-it", "-owner-it-journal", "-owner-its"):
        Path(journal + name).touch()
    for _ in range(2):
        OwnerLock.delete_files(journal, "it")
    left = {Path(journal).name, f"{Path(journal).name}-owner-its"}
    assert set(os.listdir(Path(journal).parent)) == left
