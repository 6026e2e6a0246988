"""Clusters with a journal on PostgreSQL, and larger ones."""

import os

import anyio
import pytest

from cluster.dask_runs import assert_exact
from ingest.running import events_of, run, states_of, write_videos
from ingest_cluster import processes
from livepeer_async import AsyncLivepeer
from livepeer_async.errors import ClusterError
from livepeer_async.ingest import RowEnded, ingest
from livepeer_async.ingest.cluster import nodes
from livepeer_async.sandbox import Sandbox
from support.constants import MIB
from support.postgres import PASSWORD

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

ROWS = 120_000


@pytest.fixture
async def sandbox():
    async with Sandbox(waiting_seconds=0.0, processing_seconds=0.0) as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


async def run_with(sandbox, postgres, address, folder):
    account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    async with (
        AsyncLivepeer(journal=postgres.url, **account) as livepeer,
        nodes.connect(address, None) as client,
    ):
        return await run(livepeer, folder, cluster=client)


async def test_two_coordinators_share_a_manifest(sandbox, postgres, folder):
    videos = write_videos(folder, 60)
    found = []

    async def coordinate(address):
        found.append(await run_with(sandbox, postgres, address, folder))

    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox, PGPASSWORD=PASSWORD),
        processes.worker(scheduler.address, sandbox, LIVEPEER_JOURNAL=postgres.url),
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(coordinate, scheduler.address)
            tasks.start_soon(coordinate, scheduler.address)
    for events in found:
        assert states_of(events) == dict.fromkeys(videos, "ready")
    assert_exact(sandbox, videos)
    ended = [it for events in found for it in events_of(RowEnded, events)]
    assert sum(it.attempts for it in ended) == 60


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_worker_without_the_password_is_refused(sandbox, postgres, folder, password):
    write_videos(folder, 1)
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox, PGPASSWORD=password),
        pytest.raises(ClusterError, match="password") as caught,
    ):
        await run_with(sandbox, postgres, scheduler.address, folder)
    assert PASSWORD not in str(caught.value)


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_coordinator_keeps_no_rows(sandbox, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"path": "missing/{number}.mp4"}}\n' for number in range(ROWS)))
    account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    sizes = []
    count = 0
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox, threads=4),
        processes.worker(scheduler.address, sandbox, threads=4),
    ):
        async with (
            AsyncLivepeer(journal=tmp_path / "uploads.journal", **account) as livepeer,
            nodes.connect(scheduler.address, None) as client,
            ingest(livepeer, path, cluster=client) as running,
        ):
            async for event in running:
                count += isinstance(event, RowEnded)
                if isinstance(event, RowEnded) and count % (ROWS // 4) == 0:
                    sizes.append(resident_bytes())
    assert count == ROWS
    # The first quarter fills buffers and caches.
    assert max(sizes) - sizes[1] < 8 * MIB
