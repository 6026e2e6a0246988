"""Moments that kills at random seldom strike, each struck on purpose."""

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
TIMES = 150 if IS_LONG else 10

# A process that is killed when it has made its owner lock, and the journal doesn't name it yet.
LOCKING = """
import asyncio, os, signal, sys
from livepeer_async.journal import journal

class Last(journal.OwnerLock):
    def __init__(self, path):
        super().__init__(path)
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    journal.OwnerLock = Last
    async with journal.Journal(sys.argv[1], account="a").acquire("talk"):
        pass

asyncio.run(main())
"""


def test_an_owner_lock_that_no_record_names_is_swept_away(journal):
    killed = subprocess.run([sys.executable, "-c", LOCKING, journal], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(os.listdir(journal.parent)) > 1
    anyio.run(lease, journal)
    assert os.listdir(journal.parent) == [journal.name]


async def lease(path):
    journal = Journal(path, account="a")
    async with journal.acquire("talk"):
        pass
    await journal.aclose()


def test_many_that_begin_one_journal_at_once_all_can(tmp_path):
    """Each has connections of its own, which know no more of each other than processes do."""
    together = Barrier(PROCESSES, timeout=30)

    async def begin(path):
        journal = Journal(path, account="a")
        together.wait()
        await journal.open()
        await journal.aclose()

    with ThreadPoolExecutor(PROCESSES) as pool:
        for number in range(TIMES):
            path = tmp_path / f"{number}.journal"
            begun = [pool.submit(anyio.run, begin, path) for _ in range(PROCESSES)]
            assert [it.exception() for it in begun] == [None] * PROCESSES
