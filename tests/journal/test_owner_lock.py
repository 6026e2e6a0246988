"""An owner's lock and its file; `restarts` tests the claims of killed processes."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from livepeer_async.journal.sqlite.owner_lock import OwnerLock

# A process that holds a lock until it is killed.
HOLDER = """
import sys, time
from livepeer_async.journal.sqlite.owner_lock import OwnerLock

lock = OwnerLock(sys.argv[1])
print(lock.owner, flush=True)
time.sleep(60)
"""
CHECKER = """
import sys
from livepeer_async.journal.sqlite.owner_lock import OwnerLock

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


def is_held(journal, owner):
    """Check in this process, without a process number."""
    return OwnerLock.is_held(journal, owner, None)


def is_held_for_others(journal, owner):
    """Check in another process."""
    command = [sys.executable, "-c", CHECKER, journal, owner]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return {"True\n": True, "False\n": False}[done.stdout]


def test_lock_is_held_until_its_process_is_killed(journal):
    with subprocess.Popen([sys.executable, "-c", HOLDER, journal], stdout=subprocess.PIPE) as it:
        owner = it.stdout.readline().decode().strip()
        was_held = is_held(journal, owner)
        it.kill()
    assert was_held
    # The lock counts: another process may have the number now.
    assert not OwnerLock.is_held(journal, owner, os.getpid())
    assert OwnerLock.found_beside(journal) == {owner}


def test_checking_an_own_lock_does_not_release_it(journal, make_lock):
    """POSIX releases all locks of a process on a file when it closes the file once."""
    lock = make_lock()
    assert is_held(journal, lock.owner)
    assert is_held_for_others(journal, lock.owner)


def test_check_takes_no_lock(journal, make_lock):
    lock = make_lock()
    lock.release(keeps_file=True)
    assert [is_held(journal, lock.owner) for _ in range(2)] == [False, False]
    assert not is_held_for_others(journal, lock.owner)


@pytest.mark.parametrize("keeps_file", [False, True])
def test_release_keeps_the_file_only_if_requested(journal, keeps_file):
    lock = OwnerLock(journal)
    file = Path(lock.path_of(journal, lock.owner))
    assert file.exists()
    lock.release(keeps_file=keeps_file)
    assert list(file.parent.iterdir()) == [file] * keeps_file


def test_lock_may_be_released_in_another_thread(journal):
    with ThreadPoolExecutor(1) as thread:
        lock = thread.submit(OwnerLock, journal).result()
    lock.release(keeps_file=True)
    assert not is_held(journal, lock.owner)


def test_each_owner_has_its_own_lock(journal, make_lock):
    first, second = make_lock(), make_lock()
    assert OwnerLock.found_beside(journal) == {first.owner, second.owner}
    first.release(keeps_file=True)
    assert not is_held(journal, first.owner)
    assert is_held(journal, second.owner)


def test_lock_file_is_private(journal, make_lock, open_umask):
    """Other users could lock the file, and so block the owner's keys."""
    make_lock()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path(journal).parent.iterdir()}
    assert modes == {0o600}


def test_only_owners_of_this_journal_are_found(journal):
    names = ["-wal", "-owner", "2-owner-another", ".bak-owner-another", "-owner-it"]
    for path in [journal, *(journal + name for name in names), f"{journal}-owner-it-journal"]:
        Path(path).touch()
    assert OwnerLock.found_beside(journal) == {"it"}


def test_owner_with_only_one_of_its_files_is_found(journal):
    Path(f"{journal}-owner-it-journal").touch()
    assert OwnerLock.found_beside(journal) == {"it"}


def test_all_files_of_an_owner_are_deleted_and_no_others(journal):
    for name in ("", "-owner-it", "-owner-it-journal", "-owner-its"):
        Path(journal + name).touch()
    for _ in range(2):
        OwnerLock.delete_files(journal, "it")
    left = {Path(journal).name, f"{Path(journal).name}-owner-its"}
    assert set(os.listdir(Path(journal).parent)) == left
