"""Processes on one PostgreSQL journal share pauses and the maximum rate."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from livepeer_async import RetryPolicy
from livepeer_async.journal.postgres import shared_limits
from livepeer_async.sandbox import Answer, Fault, On, Stall
from support import command_line
from support.clock import until
from support.constants import MIB, VERY_LONG
from support.pgbouncer import run_pgbouncer
from support.sandbox import client_for, make_bytes, sandbox_and_client

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

RATE_PROGRAM = Path(__file__).with_name("rate_program.py")
KEYLESS = Path(__file__).parents[1] / "uploads/keyless_program.py"
VIDEO = make_bytes(1000)
TICKETS = "request-upload"
# Bytes that the process without a journal sends in one comparison.
ROUND = 3 * MIB


@pytest.fixture
def start():
    """Start a program, and kill it after the test."""
    started = []

    def start(program, sandbox, *arguments):
        command = [sys.executable, program, sandbox.api_key, sandbox.base_url, *arguments]
        env = command_line.environment(PYTHONPATH=":".join(sys.path))
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, env=env, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def tickets(sandbox):
    return [request for request in sandbox.requests if TICKETS in request.path]


def received(sandbox):
    """Count the bytes that the server has of each stream."""
    server, count = sandbox._server, Counter()  # noqa: SLF001 - which stream a request is of
    for request in sandbox.requests:
        if name := server.find_asset_name(request.path, ""):
            count[name] += request.received
    return count


async def compare(sandbox, *names):
    """Return what streams send, as fractions of a stream that shares nothing."""
    before = received(sandbox)
    await until(lambda: received(sandbox)["alone"] >= before["alone"] + ROUND)
    sent = received(sandbox) - before
    return [sent[name] / sent["alone"] for name in names]


async def test_processes_share_a_rate_until_one_is_killed(postgres, start):
    async with sandbox_and_client() as (sandbox, _):
        start(RATE_PROGRAM, sandbox, "alone", f"{MIB}")
        processes = {
            name: start(RATE_PROGRAM, sandbox, name, f"{MIB}", postgres.url) for name in ("a", "b")
        }
        await until(lambda: len(received(sandbox)) == 3)
        assert all(0.3 <= share <= 0.75 for share in await compare(sandbox, "a", "b"))
        start(RATE_PROGRAM, sandbox, "c", f"{MIB}", postgres.url)
        await until(lambda: len(received(sandbox)) == 4)
        assert all(0.2 <= share <= 0.5 for share in await compare(sandbox, "a", "b", "c"))
        for name in ("a", "b"):
            processes[name].kill()
        # The next sign of life shows that they are gone.
        await compare(sandbox, "c")
        await compare(sandbox, "c")
        assert (await compare(sandbox, "c"))[0] >= 0.8


async def test_pause_passes_a_pooler_that_keeps_sessions(postgres):
    refusal = Fault(On(path=TICKETS, times=1), Answer(429, headers={"Retry-After": "300"}))
    with run_pgbouncer(postgres.server, "session") as port:
        url = postgres.url_of(port=port)
        async with (
            sandbox_and_client(refusal, client={"journal": url}) as (sandbox, first),
            client_for(sandbox, postgres.url) as second,
        ):
            first.throttle.max_rate = second.throttle.max_rate = MIB
            await until(lambda: first.throttle.rate_share == MIB / 2)
            upload = asyncio.create_task(first.upload(VIDEO))
            await until(lambda: second.throttle.is_paused)
            upload.cancel()


@pytest.mark.parametrize("status", [429, 503])
async def test_new_process_obeys_the_pause_of_others(postgres, start, status):
    refusal = Fault(On(path=TICKETS, times=1), Answer(status, headers={"Retry-After": "300"}))
    client = {"journal": postgres.url, "retry": RetryPolicy()}
    async with sandbox_and_client(refusal, client=client) as (sandbox, livepeer):
        upload = asyncio.create_task(livepeer.upload(VIDEO))
        await until(lambda: postgres.execute("SELECT * FROM livepeer_async.pauses"))
        await until(lambda: all(request.is_over for request in sandbox.requests))
        before = len(sandbox.requests)
        start(KEYLESS, sandbox, postgres.url)
        start(KEYLESS, sandbox, postgres.url)
        owners = "SELECT owner FROM livepeer_async.owners"
        await until(lambda: len(postgres.execute(owners)) == 3)
        await asyncio.sleep(3)
        assert len(sandbox.requests) == before
        # A probe is due, and its success ends the pause of all.
        postgres.execute("UPDATE livepeer_async.pauses SET paused_until = now()")
        await until(lambda: len(tickets(sandbox)) == 3)
        upload.cancel()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_probe_of_an_ended_process_is_replaced(postgres, start, end, monkeypatch):
    if end is signal.SIGKILL:
        # Not the time-out, the end of its session lets another probe.
        monkeypatch.setattr(shared_limits, "PROBE_TIMEOUT", VERY_LONG)
    refusal = Fault(On(path=TICKETS, times=1), Answer(429))
    stall = Fault(On(path=TICKETS, times=1), Stall(VERY_LONG))
    async with (
        sandbox_and_client(refusal, stall) as (sandbox, _),
        client_for(sandbox, postgres.url) as livepeer,
    ):
        process = start(KEYLESS, sandbox, postgres.url)
        await until(lambda: stall.fired)
        assert livepeer.throttle.is_paused
        upload = asyncio.create_task(livepeer.upload(VIDEO))
        await asyncio.sleep(1)
        assert len(tickets(sandbox)) == 2
        process.send_signal(end)
        await upload
        assert not livepeer.throttle.is_paused
