"""Claims on PostgreSQL of processes that are killed or forked."""

import socket
import subprocess
import sys

import pytest

from livepeer_async.http import observers
from livepeer_async.journal.postgres import store
from support.clock import until
from support.records import hold_key

pytestmark = pytest.mark.anyio


@pytest.fixture
def location(postgres):
    return postgres.url


async def test_killed_process_of_another_machine_may_still_send(journal, postgres, monkeypatch):
    monkeypatch.setattr(store, "GRACE", 0.5)
    monkeypatch.setattr(observers, "REPORT_AFTER", 0.1)
    await journal.open()
    with hold_key(postgres.url) as holder:
        update = "UPDATE livepeer_async.owners SET machine = 'another-boot' WHERE pid = %s"
        postgres.execute(update, holder.pid)
    await until(lambda: len(postgres.lock_backends()) == 1)
    events = []
    with observers.observe_requests(events.append):
        async with journal.acquire("talk"):
            pass
    reason = f"waiting until process {holder.pid} on {socket.gethostname()} has certainly stopped,"
    assert {event.reason for event in events} == {reason}
    assert [event.seconds > 0 for event in events] == [True] * (len(events) - 1) + [False]


async def test_killed_process_of_this_machine_has_stopped(journal, postgres):
    with hold_key(postgres.url) as holder:
        pass
    await until(lambda: not postgres.lock_backends())
    async with journal.acquire("talk"):
        pass
    assert holder.returncode


FORKING = """
import asyncio, os, sys
from livepeer_async import JournalError
from livepeer_async.journal.journal import Journal

async def run_child(inherited):
    try:
        async with inherited.acquire("another"):
            pass
    except JournalError as error:
        print("child:", error, flush=True)
    await inherited.aclose()

async def run_parent():
    inherited = Journal(sys.argv[1], account="a")
    async with inherited.acquire("talk"):
        child = os.fork()
        if not child:
            asyncio.run(run_child(inherited))
            del inherited
            os._exit(0)
        os.waitpid(child, 0)
        owner = inherited._store._session.owner
        await inherited.drop("talk")
        print("parent:", owner == inherited._store._session.owner, flush=True)
    await inherited.aclose()

asyncio.run(run_parent())
"""


def test_forked_process_leaves_the_session_alone(postgres):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, postgres.url]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    shown = postgres.url_of(password=None)
    assert done.stdout.splitlines() == [
        f"child: the journal {shown} was opened before a fork; open a client in each process",
        "parent: True",
    ]
    assert done.stderr == ""
