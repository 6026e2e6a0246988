"""Killed workers and coordinators: each file becomes one asset with its bytes."""

import signal
import subprocess

import anyio
import pytest

from cluster.dask_runs import COUNT, assert_exact, count_repeated, is_sending
from ingest.running import run, states_of
from ingest_cluster import processes
from livepeer_async import AsyncLivepeer
from livepeer_async.ingest.cluster import nodes
from support.clock import until
from support.command_line import COMMAND, environment
from support.constants import MIB, TIMEOUT

pytestmark = pytest.mark.anyio

# Longer than the server waits for the rest of a broken PATCH.
STOPPED_SECONDS = 10.0


def client_of(sandbox, tmp_path):
    account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    return AsyncLivepeer(journal=tmp_path / "uploads.journal", **account)


async def finish(sandbox, address, tmp_path):
    """Run the manifest to its end, and return the states of the rows."""
    async with client_of(sandbox, tmp_path) as livepeer, nodes.connect(address, None) as client:
        return states_of(await run(livepeer, tmp_path / "videos", cluster=client))


def start_coordinator(address, sandbox, tmp_path):
    options = ["--cluster", address, "--journal", tmp_path / "uploads.journal", "--no-report"]
    return subprocess.Popen(
        [*COMMAND, "ingest", str(tmp_path / "videos"), *map(str, options)],
        env=environment(sandbox),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@pytest.mark.cluster
async def test_rows_of_a_killed_worker_move_to_others(sandbox, videos, tmp_path):
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox) as first,
        start_coordinator(scheduler.address, sandbox, tmp_path) as coordinator,
    ):
        await until(lambda: is_sending(sandbox))
        with processes.worker(scheduler.address, sandbox):
            first.kill()
            _, errors = coordinator.communicate(timeout=TIMEOUT)
    assert coordinator.returncode == 0, errors
    assert_exact(sandbox, videos)
    assert count_repeated(sandbox, videos) <= COUNT * 9 * MIB


@pytest.mark.cluster
async def test_killed_coordinator_is_followed_by_another(sandbox, videos, tmp_path):
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox),
        start_coordinator(scheduler.address, sandbox, tmp_path) as coordinator,
    ):
        await until(lambda: is_sending(sandbox))
        coordinator.kill()
        coordinator.wait(TIMEOUT)
        states = await finish(sandbox, scheduler.address, tmp_path)
    assert states == dict.fromkeys(videos, "ready")
    assert_exact(sandbox, videos)


@pytest.mark.cluster
async def test_all_are_killed_and_the_command_goes_on(sandbox, videos, tmp_path):
    with processes.scheduler() as scheduler:
        with (
            processes.worker(scheduler.address, sandbox) as worker,
            start_coordinator(scheduler.address, sandbox, tmp_path) as coordinator,
        ):
            await until(lambda: is_sending(sandbox))
            worker.kill()
            coordinator.kill()
        with processes.worker(scheduler.address, sandbox):
            states = await finish(sandbox, scheduler.address, tmp_path)
    assert states == dict.fromkeys(videos, "ready")
    assert_exact(sandbox, videos)


@pytest.mark.cluster
async def test_stopped_worker_keeps_its_rows(sandbox, videos, tmp_path):
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox) as worker,
        processes.worker(scheduler.address, sandbox),
        start_coordinator(scheduler.address, sandbox, tmp_path) as coordinator,
    ):
        await until(lambda: is_sending(sandbox))
        worker.send_signal(signal.SIGSTOP)
        await anyio.sleep(STOPPED_SECONDS)
        worker.send_signal(signal.SIGCONT)
        _, errors = coordinator.communicate(timeout=TIMEOUT)
    assert coordinator.returncode == 0, errors
    assert_exact(sandbox, videos)


@pytest.mark.cluster
async def test_lost_scheduler_ends_the_run_with_a_sentence(sandbox, videos, tmp_path):
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox),
        start_coordinator(scheduler.address, sandbox, tmp_path) as coordinator,
    ):
        await until(lambda: is_sending(sandbox))
        scheduler.kill()
        _, errors = coordinator.communicate(timeout=TIMEOUT)
    assert coordinator.returncode == 1
    assert "Traceback" not in errors.decode()
    assert f"the connection to {scheduler.address} is lost" in errors.decode()


async def test_ctrl_c_finishes_chunks_and_the_command_goes_on(sandbox, videos, tmp_path):
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox),
    ):
        with start_coordinator(scheduler.address, sandbox, tmp_path) as coordinator:
            await until(lambda: is_sending(sandbox))
            coordinator.send_signal(signal.SIGINT)
            _, errors = coordinator.communicate(timeout=TIMEOUT)
        assert coordinator.returncode == 130, errors
        assert not any(not it.is_over for it in sandbox.requests)
        assert count_repeated(sandbox, videos) <= 0
        states = await finish(sandbox, scheduler.address, tmp_path)
    assert states == dict.fromkeys(videos, "ready")
    assert_exact(sandbox, videos)
    assert count_repeated(sandbox, videos) == 0
