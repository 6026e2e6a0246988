"""Uploads without a key: the journal records them while they run, to find leftovers of a kill."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from livepeer_async import Asset, errors
from livepeer_async.journal.acquiring import acquire_lease
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.sqlite.database import JournalDatabase
from livepeer_async.sandbox import Answer, Fault, On, Slow, Stall
from livepeer_async.sources.source import BytesSource
from support import command_line
from support.clock import until
from support.constants import VERY_LONG
from support.records import ON_BOTH
from support.sandbox import PART, SMALL_S3, cancel_when, client_for, make_bytes, sandbox_and_client
from support.streams import split

pytestmark = pytest.mark.anyio
VIDEO = make_bytes(5 * PART + 99)
MOMENTS = {
    "request for an upload": On(path="request-upload"),
    "creation": On(method="POST", path="/upload/tus"),
    "chunk": On(method="PATCH", nth=2),
    "poll of the asset": On(method="GET", path="/asset/"),
}
PROGRAM = Path(__file__).with_name("keyless_program.py")


@pytest.fixture
def start(journal):
    """Start a process that uploads, and kill it after the test."""
    started = []

    def start(sandbox):
        arguments = [sandbox.api_key, sandbox.base_url, str(journal)]
        command = [sys.executable, PROGRAM, *arguments]
        env = command_line.environment(PYTHONPATH=":".join(sys.path))
        started.append(subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL))
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.wait()


def read_keys(journal):
    """Read the keys of all records and leases from the database."""
    with closing(sqlite3.connect(journal)) as connection:
        query = "SELECT key FROM records UNION SELECT key FROM claims"
        return [row[0] for row in connection.execute(query)]


async def assert_no_leftovers(livepeer):
    assert await livepeer.leftovers() == []
    assert await livepeer.journal.records() == []
    assert await livepeer.journal.orphans() == []
    assert await livepeer.journal.unconfirmed_requests() == []


@ON_BOTH
@pytest.mark.parametrize("moment", MOMENTS)
async def test_running_keyless_upload_is_no_leftover(moment, journal):
    stall = Fault(MOMENTS[moment], Stall(VERY_LONG))
    async with (
        sandbox_and_client(stall, client={"journal": journal}) as (sandbox, livepeer),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(livepeer.upload, VIDEO)
        await until(lambda: stall.fired)
        stall.on = On(path="nothing")
        await assert_no_leftovers(livepeer)
        async with client_for(sandbox, journal) as other:
            await assert_no_leftovers(other)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("moment", ["creation", "chunk"])
async def test_killed_keyless_upload_is_a_leftover(moment, journal, start):
    stall = Fault(MOMENTS[moment], Stall(VERY_LONG))
    async with sandbox_and_client(stall, **SMALL_S3) as (sandbox, _):
        process = start(sandbox)
        await until(lambda: stall.fired)
        stall.on = On(path="nothing")
        async with client_for(sandbox, journal) as livepeer:
            await assert_no_leftovers(livepeer)
            process.kill()
            await asyncio.to_thread(process.wait)
            (left,) = await livepeer.leftovers()
            assert (left.asset.id, left.is_ours, left.key) == (sandbox.assets[0].id, True, "")
            assert await livepeer.journal.records() == []
            await livepeer.delete_leftover(left.asset.id)
            await assert_no_leftovers(livepeer)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]
    assert read_keys(journal) == []


async def test_request_of_a_killed_keyless_upload_is_a_leftover(journal, start):
    stall = Fault(On(path="request-upload"), Stall(VERY_LONG, after_bytes=1 << 40))
    async with sandbox_and_client(stall) as (sandbox, _):
        process = start(sandbox)
        await until(lambda: sandbox.assets)
        process.kill()
        await asyncio.to_thread(process.wait)
        async with client_for(sandbox, journal) as livepeer:
            (left,) = await livepeer.leftovers()
            assert (left.asset.id, left.is_ours, left.key) == (sandbox.assets[0].id, False, "")
            await livepeer.assets.delete(left.asset.id)
            assert await livepeer.leftovers() == []


async def test_command_lists_and_deletes_leftovers_of_a_kill(journal, start):
    stall = Fault(MOMENTS["chunk"], Stall(VERY_LONG))
    async with sandbox_and_client(stall, **SMALL_S3) as (sandbox, _):
        process = start(sandbox)
        await until(lambda: stall.fired)
        process.kill()
        await asyncio.to_thread(process.wait)

        async def run(*arguments):
            options = ["--journal", journal, "--json"]
            done = await asyncio.to_thread(
                command_line.run, "journal", *arguments, *options, sandbox=sandbox
            )
            assert done.returncode == 0, done.stderr
            return [json.loads(line) for line in done.stdout.splitlines()]

        assert await run("list") == []
        (line,) = await run("orphans", "--delete")
        assert (line["asset_id"], line["is_deleted"]) == (sandbox.assets[0].id, True)
        assert sandbox.assets[0].is_deleted


async def test_suspended_process_keeps_its_keyless_upload(journal, start):
    stall = Fault(MOMENTS["chunk"], Stall(VERY_LONG))
    async with sandbox_and_client(stall, **SMALL_S3) as (sandbox, _):
        process = start(sandbox)
        await until(lambda: stall.fired)
        process.send_signal(signal.SIGSTOP)
        async with client_for(sandbox, journal) as livepeer:
            await assert_no_leftovers(livepeer)
        assert [asset.is_deleted for asset in sandbox.assets] == [False]


@pytest.mark.parametrize("wait", [True, False])
async def test_finished_keyless_upload_leaves_no_record(wait, journal):
    async with sandbox_and_client(client={"journal": journal}) as (_, livepeer):
        await livepeer.upload(VIDEO, wait=wait)
        assert read_keys(journal) == []
        await assert_no_leftovers(livepeer)


async def test_keyless_upload_takes_three_transactions(journal, monkeypatch):
    transactions = []
    transact = JournalDatabase.transact

    def count(self, *arguments):
        transactions.append(arguments)
        return transact(self, *arguments)

    async with sandbox_and_client(client={"journal": journal}) as (_, livepeer):
        # The first upload of a client looks for the leftovers of killed processes.
        await livepeer.upload(VIDEO)
        monkeypatch.setattr(JournalDatabase, "transact", count)
        await livepeer.upload(VIDEO)
        assert len(transactions) == 3


async def test_replaced_keyless_upload_is_no_leftover(journal):
    """Its bytes arrived and were wrong, so it restarts under the same lease."""
    ours, others = Journal(journal, account="a"), Journal(journal, account="a")
    source = BytesSource(memoryview(VIDEO), "x")
    async with acquire_lease(ours, None, source, access=[""]) as lease:
        for asset_id in ("1", "2"):
            await lease.record_request("x")
            await lease.record_asset(Asset(id=asset_id))
            assert (await others.orphans(), await others.unconfirmed_requests()) == ([], [])
            await lease.mark_uploaded()
        await lease.record_request("x")
        assert (await others.orphans(), await others.unconfirmed_requests()) == ([], [])
    assert len(await others.unconfirmed_requests()) == 1
    assert read_keys(journal) == []
    await ours.aclose()
    await others.aclose()


@ON_BOTH
async def test_resumable_keyless_upload_is_a_leftover(journal):
    stall = Fault(MOMENTS["chunk"], Stall(VERY_LONG, after_bytes=1))

    async def upload(livepeer):
        async with livepeer.begin_upload(VIDEO):
            pass

    async with sandbox_and_client(stall, client={"journal": journal}) as (sandbox, livepeer):
        await cancel_when(lambda: stall.fired, upload, livepeer)
        (left,) = await livepeer.leftovers()
        assert (left.asset.id, left.is_ours) == (sandbox.assets[0].id, True)
        assert await livepeer.journal.records() == []


async def test_deleted_keyless_upload_leaves_no_record(journal):
    refused = Fault(On(method="POST", path="/upload/tus"), Answer(403))
    async with sandbox_and_client(refused, client={"journal": journal}) as (sandbox, livepeer):
        with pytest.raises(errors.UploadRefused):
            await livepeer.upload(VIDEO)
        assert sandbox.assets[0].is_deleted
        await assert_no_leftovers(livepeer)
        assert read_keys(journal) == []


async def test_keyless_upload_is_recorded_before_its_request(journal):
    refused = Fault(On(path="request-upload"), Answer(403))
    async with sandbox_and_client(refused, client={"journal": journal}) as (sandbox, livepeer):
        with sqlite3.connect(journal) as connection:
            connection.execute("ALTER TABLE records RENAME TO hidden")
        with pytest.raises(errors.JournalError):
            await livepeer.upload(VIDEO)
        assert sandbox.requests == []


async def test_complete_upload_succeeds_if_its_record_cannot_be_dropped(journal, caplog):
    slow = Fault(MOMENTS["chunk"], Slow(PART * 20))
    async with sandbox_and_client(slow, client={"journal": journal}, **SMALL_S3) as (_, livepeer):
        async with livepeer.begin_upload(split(VIDEO, PART), length=len(VIDEO)) as upload:
            with sqlite3.connect(journal) as connection:
                connection.execute("ALTER TABLE records RENAME TO hidden")
        assert upload.result.asset.phase == "ready"
        assert f"asset {upload.asset.id} is uploaded, but" in caplog.text
        with sqlite3.connect(journal) as connection:
            connection.execute("ALTER TABLE hidden RENAME TO records")
        await assert_no_leftovers(livepeer)


async def test_interrupted_process_deletes_the_asset_of_its_stream(journal, start):
    stall = Fault(MOMENTS["chunk"], Stall(VERY_LONG))
    async with sandbox_and_client(stall, **SMALL_S3) as (sandbox, _):
        process = start(sandbox)
        await until(lambda: stall.fired)
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]
        async with client_for(sandbox, journal) as livepeer:
            await assert_no_leftovers(livepeer)
