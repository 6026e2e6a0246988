"""Sessions of a shared journal in real time, and processes that want the same keys."""

import json
import subprocess
import sys
import time

import anyio
import pytest

from livepeer_async.http.observers import WaitEvent, observe_requests
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.postgres.session import STOP_AFTER
from support.clock import until
from support.records import RECORD, hold_key

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

KEYS = 500


@pytest.fixture
async def journal(postgres, postgres_proxy):
    journal = Journal(postgres.url_of(port=postgres_proxy.port), account="a")
    yield journal
    await journal.aclose()


async def test_call_to_a_silent_database_ends_with_the_session(journal, postgres, postgres_proxy):
    async with journal.acquire("talk"), anyio.create_task_group() as tasks:
        postgres_proxy.cut("both", "silent")
        started = time.monotonic()
        tasks.start_soon(journal.write, RECORD)
        await until(lambda: not journal.holds_claims)
        assert time.monotonic() - started < STOP_AFTER + 2
        postgres_proxy.heal()
        await until(lambda: journal.holds_claims)
    assert await journal.records() == [RECORD]


async def test_cancelled_call_to_a_silent_database_ends_within_two_seconds(journal, postgres_proxy):
    async with journal.acquire("talk"):
        # In the middle of a heartbeat, of a transaction, and of nothing.
        for delay in (0.0, 0.3, 1.7):
            await journal.write(RECORD)
            postgres_proxy.cut("both", "silent")
            started = time.monotonic()
            with anyio.move_on_after(delay):
                await journal.write(RECORD)
            assert time.monotonic() - started < delay + 2
            postgres_proxy.heal()


async def test_claim_of_another_machine_is_free_after_its_grace_period(journal, postgres):
    await journal.open()
    with hold_key(postgres.url) as holder:
        update = "UPDATE livepeer_async.owners SET machine = 'another-boot' WHERE pid = %s"
        postgres.execute(update, holder.pid)
    started, events = time.monotonic(), []
    with observe_requests(events.append):
        await until(lambda: len(postgres.lock_backends()) == 1)
        async with journal.acquire("talk"):
            assert 19 < time.monotonic() - started < 25
    assert all(isinstance(event, WaitEvent) for event in events)
    assert f"waiting until process {holder.pid} on " in str(events[0])


# Acquires all keys at once, in an order of its own, and holds them until all processes are done.
CLAIMING = """
import asyncio, json, random, sys
from livepeer_async import UploadInUse
from livepeer_async.journal.journal import Journal

async def main(url, seed, count):
    journal = Journal(url, account="a")
    keys = [str(number) for number in range(int(count))]
    random.Random(seed).shuffle(keys)
    done, held = asyncio.Event(), []
    async def hold(key, is_decided):
        try:
            async with journal.acquire(key):
                held.append(key)
                is_decided.set()
                await done.wait()
        except UploadInUse:
            is_decided.set()
    await journal.open()
    print(flush=True)
    sys.stdin.readline()
    async with asyncio.TaskGroup() as tasks:
        decided = [asyncio.Event() for _ in keys]
        for key, is_decided in zip(keys, decided):
            tasks.create_task(hold(key, is_decided))
        for is_decided in decided:
            await is_decided.wait()
        print(json.dumps(held), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        done.set()
    await journal.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


def test_processes_divide_the_same_keys(postgres):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", CLAIMING, postgres.url]
    processes = [subprocess.Popen([*command, str(seed), str(KEYS)], **pipes) for seed in range(3)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    held = [json.loads(process.stdout.readline()) for process in processes]
    assert sorted(int(key) for keys in held for key in keys) == list(range(KEYS))
    for process in processes:
        process.communicate("\n")
        assert process.returncode == 0
    assert postgres.execute("SELECT count(*) FROM livepeer_async.claims") == [(0,)]
