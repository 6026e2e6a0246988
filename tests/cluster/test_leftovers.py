"""What a process leaves is found by the others on the same PostgreSQL journal."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import Fault, On, Stall
from livepeer_async.sources.identity import SourceIdentity
from support import command_line
from support.clock import until
from support.constants import VERY_LONG
from support.sandbox import SMALL_S3, client_for, sandbox_and_client

pytestmark = pytest.mark.anyio

KEYLESS = Path(__file__).parents[1] / "uploads/keyless_program.py"
KEYED = Path(__file__).parents[1] / "uploads/owner_program.py"


@pytest.fixture
def start(postgres):
    """Start a process that uploads, and kill it after the test."""
    started = []

    def start(program, sandbox, *paths):
        command = [sys.executable, program, sandbox.api_key, sandbox.base_url, postgres.url, *paths]
        env = command_line.environment(PYTHONPATH=":".join(sys.path))
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, env=env, **pipes))
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(params=[pytest.param("here", marks=pytest.mark.cluster), "elsewhere"])
def kill(request, postgres):
    """Kill a process of this machine, or one that was killed on another an hour ago."""

    async def kill(process):
        process.kill()
        await asyncio.to_thread(process.wait)
        if request.param == "elsewhere":
            lost = "machine = 'another', lost_at = now() - interval '1 hour'"
            query = f"UPDATE livepeer_async.owners SET {lost} WHERE pid = %s"
            postgres.execute(query, process.pid)

    return kill


async def leftovers_of(livepeer):
    """Wait until there are leftovers."""
    found = []

    async def look():
        found[:] = await livepeer.leftovers()
        return found

    await until(look)
    return found


async def test_killed_keyless_upload_is_a_leftover_for_others(postgres, start, kill):
    stall = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG))
    async with (
        sandbox_and_client(stall, client={"journal": postgres.url}, **SMALL_S3) as (sandbox, first),
        client_for(sandbox, postgres.url) as second,
    ):
        process = start(KEYLESS, sandbox)
        await until(lambda: stall.fired)
        assert await first.leftovers() == await second.leftovers() == []
        await kill(process)
        for livepeer in (first, second):
            (left,) = await leftovers_of(livepeer)
            assert (left.asset.id, left.is_ours) == (sandbox.assets[0].id, True)
        await first.delete_leftover(left.asset.id)
        assert sandbox.assets[0].is_deleted
        assert await first.leftovers() == await second.leftovers() == []


async def test_request_of_a_killed_process_is_a_leftover_for_others(postgres, start, kill):
    stall = Fault(On(path="request-upload"), Stall(VERY_LONG, after_bytes=1 << 40))
    async with sandbox_and_client(stall, client={"journal": postgres.url}) as (sandbox, livepeer):
        process = start(KEYLESS, sandbox)
        await until(lambda: sandbox.assets)
        await kill(process)
        (left,) = await leftovers_of(livepeer)
        assert (left.asset.id, left.is_ours) == (sandbox.assets[0].id, False)


@pytest.mark.cluster  # waits for the grace period
async def test_killed_upload_is_unfinished_for_others(postgres, start, kill, tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(bytes(1000))
    stall = Fault(On(method="POST", path="/upload/tus"), Stall(VERY_LONG))
    async with sandbox_and_client(stall, client={"journal": postgres.url}, **SMALL_S3) as (
        sandbox,
        livepeer,
    ):
        process = start(KEYED, sandbox, path)
        await until(lambda: stall.fired)
        (found,) = await livepeer.unfinished()
        assert found.is_running
        await kill(process)

        async def is_over():
            return not (await livepeer.unfinished())[0].is_running

        await until(is_over)
        await livepeer.discard(str(path))
        assert sandbox.assets[0].is_deleted
        assert await livepeer.unfinished() == []


async def test_orphan_of_one_client_is_cleaned_up_by_another(postgres):
    async with (
        sandbox_and_client(client={"journal": postgres.url}) as (sandbox, first),
        client_for(sandbox, postgres.url) as second,
    ):
        for is_useless in (True, False):
            ticket = await first.assets.request_upload("a.mp4")
            record = Record(
                key="k",
                state=RecordState.ASSET_CREATED,
                name="a.mp4",
                identity=SourceIdentity(length=9),
                requested_at=1.0,
                asset_id=ticket.asset.id,
                has_handle=True,
            )
            await first.journal.abandon(record, is_useless=is_useless)
        (left,) = (await second.clean_up()).found
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]
        assert left.asset.id == sandbox.assets[1].id
        # It is reported once, whichever client does.
        assert (await first.clean_up()).found == ()
