"""Moments that random kills rarely hit."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import anyio

from livepeer_async.journal.journal import Journal
from restarts.plan import IS_LONG

PROCESSES = 4
REPETITIONS = 150 if IS_LONG else 10

# A process that is killed after creating its owner lock, before the journal names it.
KILLED_WITH_LOCK = """
import asyncio, os, signal, sys
from livepeer_async.journal.sqlite import store
from livepeer_async.journal.journal import Journal

class KillingLock(store.OwnerLock):
    def __init__(self, path):
        super().__init__(path)
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store.OwnerLock = KillingLock
    async with Journal(sys.argv[1], account="a").acquire("talk"):
        pass

asyncio.run(main())
"""


def test_owner_lock_without_a_record_is_deleted(journal):
    killed = subprocess.run([sys.executable, "-c", KILLED_WITH_LOCK, journal], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(os.listdir(journal.parent)) > 1
    anyio.run(lease, journal)
    assert os.listdir(journal.parent) == [journal.name]


async def lease(path):
    journal = Journal(path, account="a")
    async with journal.acquire("talk"):
        pass
    await journal.aclose()


def test_concurrent_creation_of_a_journal_succeeds(tmp_path):
    """Each thread has its own connections, as processes do."""
    barrier = Barrier(PROCESSES, timeout=30)

    async def begin(path):
        journal = Journal(path, account="a")
        barrier.wait()
        await journal.open()
        await journal.aclose()

    with ThreadPoolExecutor(PROCESSES) as pool:
        for number in range(REPETITIONS):
            path = tmp_path / f"{number}.journal"
            begun = [pool.submit(anyio.run, begin, path) for _ in range(PROCESSES)]
            assert [it.exception() for it in begun] == [None] * PROCESSES
