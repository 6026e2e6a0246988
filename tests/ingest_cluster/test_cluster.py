"""Ingestions whose rows are uploaded by other processes."""

import os
import sys

import anyio
import pytest

from ingest.running import events_of, run, states_of, write_rows, write_videos
from ingest_cluster import processes
from livepeer_async import AsyncLivepeer
from livepeer_async.errors import ClusterError, ConfigurationError, SourceNotReadable
from livepeer_async.ingest import (
    BadRow,
    Checked,
    Notice,
    RowEnded,
    RowStarted,
    ingest,
    open_manifest,
)
from livepeer_async.ingest.cluster import nodes, workers
from support.constants import TIMEOUT

pytestmark = pytest.mark.anyio


def client_of(sandbox, folder, **options):
    """Create the client of a coordinator."""
    account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    return AsyncLivepeer(journal=folder / "uploads.journal", **{**account, **options})


async def run_on(address, livepeer, manifest, **options):
    """Run a manifest on a cluster, and return all events."""
    async with nodes.connect(address, None) as client:
        return await run(livepeer, manifest, cluster=client, **options)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


async def test_rows_are_uploaded_by_the_workers(sandbox, cluster, folder, tmp_path):
    videos = write_videos(folder, 12)
    seen = []
    async with client_of(sandbox, tmp_path) as livepeer:
        options = {"on_progress": lambda row, progress: seen.append(progress)}
        events = await run_on(cluster.address, livepeer, folder, **options)
        assert states_of(events) == dict.fromkeys(videos, "ready")
        for ended in events_of(RowEnded, events):
            name = os.path.basename(ended.row.source)
            stored = sandbox.stored(ended.playback_id)
            assert stored.read_bytes() == videos[name]
            assert (ended.length, ended.attempts, ended.verified) == (len(videos[name]), 1, "size")
        assert len(events_of(RowStarted, events)) == 12
        assert seen
        again = await run_on(cluster.address, livepeer, folder)
    assert all(it.is_earlier for it in events_of(RowEnded, again))
    assert len(events_of(RowEnded, again)) == 12
    assert sandbox.violations == []


async def test_row_goes_to_the_host_that_has_its_file(sandbox, cluster, tmp_path):
    (cluster.second / "there.mp4").write_bytes(b"there" * 100)
    path = write_rows(tmp_path, {"path": "/proc/self/cwd/there.mp4", "key": "there"})
    manifest = open_manifest(path, allow_outside=True)
    async with client_of(sandbox, tmp_path) as livepeer:
        events = await run_on(cluster.address, livepeer, manifest)
    (checked,) = events_of(Checked, events)
    (ended,) = events_of(RowEnded, events)
    assert (checked.rows, checked.bad) == (1, 0)
    assert (ended.state, ended.length, ended.error) == ("ready", 500, None)


async def test_file_that_no_host_has_fails_its_row(sandbox, cluster, tmp_path):
    path = write_rows(tmp_path, {"path": "nowhere.mp4"})
    async with client_of(sandbox, tmp_path) as livepeer:
        events = await run_on(cluster.address, livepeer, path)
    (ended,) = events_of(RowEnded, events)
    assert (ended.state, type(ended.error)) == ("failed", SourceNotReadable)
    assert "(127.0.0.1), where a worker needs it" in str(ended.error)


async def test_other_bad_rows_name_their_line(sandbox, cluster, tmp_path):
    (cluster.first / "empty.mp4").write_bytes(b"")
    (cluster.second / "empty.mp4").write_bytes(b"")
    path = write_rows(tmp_path, {"path": "/proc/self/cwd/empty.mp4", "key": "empty"})
    manifest = open_manifest(path, allow_outside=True)
    async with client_of(sandbox, tmp_path) as livepeer:
        events = await run_on(cluster.address, livepeer, manifest)
    (bad,) = events_of(BadRow, events)
    assert bad.location == f"{path}:1"
    assert "is empty" in bad.message


async def test_errors_of_rows_keep_their_class(sandbox, cluster, tmp_path):
    path = write_rows(tmp_path, {"url": "http://127.0.0.1:1/gone.mp4?signature=SECRET"})
    async with client_of(sandbox, tmp_path) as livepeer:
        events = await run_on(cluster.address, livepeer, path, reprocess=0)
    (ended,) = events_of(RowEnded, events)
    assert (ended.state, type(ended.error).__name__) == ("failed", "AssetFailed")
    assert ended.row.source.endswith("SECRET")


async def test_worker_of_another_account_is_refused(sandbox, cluster, folder, tmp_path):
    write_videos(folder, 1)
    async with client_of(sandbox, tmp_path, api_key="another-key") as livepeer:
        with pytest.raises(ClusterError, match=r"no worker can be used.*LIVEPEER_API_KEY"):
            await run_on(cluster.address, livepeer, folder)


@pytest.mark.cluster
async def test_worker_of_another_version_gets_no_rows(sandbox, cluster, folder, tmp_path):
    videos = write_videos(folder, 8)
    command = [sys.executable, os.path.join(processes.HERE, "other_version.py")]
    with processes.worker(cluster.address, sandbox, command=command) as other:
        async with client_of(sandbox, tmp_path) as livepeer:
            events = await run_on(cluster.address, livepeer, folder)
        processes.read_until(other, "this worker can't be used: it has livepeer-async 0.0.1")
    assert states_of(events) == dict.fromkeys(videos, "ready")
    assert any("livepeer-async 0.0.1" in it.message for it in events_of(Notice, events))


@pytest.mark.cluster
async def test_worker_with_another_journal_gets_no_rows(sandbox, cluster, folder, tmp_path):
    videos = write_videos(folder, 8)
    journal = str(tmp_path / "other.journal")
    with processes.worker(cluster.address, sandbox, LIVEPEER_JOURNAL=journal):
        async with client_of(sandbox, tmp_path) as livepeer:
            events = await run_on(cluster.address, livepeer, folder)
    assert states_of(events) == dict.fromkeys(videos, "ready")
    (notice,) = events_of(Notice, events)
    assert notice.message.endswith(f"its journal {journal} differs from the coordinator's")


async def test_stop_ends_rows_as_unfinished(sandbox, cluster, folder, tmp_path):
    write_videos(folder, 200)
    async with (
        client_of(sandbox, tmp_path) as livepeer,
        nodes.connect(cluster.address, None) as client,
        ingest(livepeer, folder, cluster=client) as running,
    ):
        states = []
        with anyio.fail_after(TIMEOUT):
            async for event in running:
                if isinstance(event, RowEnded):
                    running.stop()
                    states.append(event.state)
    assert set(states) <= {"ready", "unfinished"}
    assert len(states) < 200


async def test_missing_scheduler_is_named(monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_TIMEOUT", 0.1)
    with pytest.raises(ClusterError, match="no Dask scheduler responds at tcp://127"):
        async with nodes.connect("tcp://127.0.0.1:9", None):
            pass


@pytest.mark.cluster
async def test_worker_without_its_scheduler_waits_for_the_next(sandbox, folder, tmp_path):
    videos = write_videos(folder, 2)
    with processes.scheduler() as first:
        port = first.address.rpartition(":")[2]
        with processes.worker(first.address, sandbox) as worker:
            first.kill()
            first.wait(TIMEOUT)
            processes.read_until(worker, "left 127.0.0.1")
            processes.read_until(worker, "waiting for a scheduler")
            with processes.scheduler(port) as second:
                processes.read_until(worker, "joined")
                async with client_of(sandbox, tmp_path) as livepeer:
                    events = await run_on(second.address, livepeer, folder)
                    assert states_of(events) == dict.fromkeys(videos, "ready")


async def test_cluster_needs_a_journal(sandbox, cluster, folder):
    account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    async with AsyncLivepeer(**account) as livepeer:
        with pytest.raises(ConfigurationError, match="needs a journal"):
            await run_on(cluster.address, livepeer, folder)


async def test_cluster_must_be_a_client(sandbox, folder, tmp_path):
    async with client_of(sandbox, tmp_path) as livepeer:
        with pytest.raises(ConfigurationError, match=r"wanted a distributed\.Client"):
            await run(livepeer, folder, cluster="tcp://127.0.0.1:1")


async def test_closed_client_is_refused(sandbox, cluster, folder, tmp_path):
    async with nodes.connect(cluster.address, None) as client:
        pass
    async with client_of(sandbox, tmp_path) as livepeer:
        with pytest.raises(ConfigurationError, match="cluster isn't connected"):
            await run(livepeer, folder, cluster=client)


async def test_missing_extra_is_named(sandbox, folder, tmp_path, monkeypatch):
    for name in [it for it in sys.modules if it.startswith("livepeer_async.ingest.cluster.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "distributed", None)
    async with client_of(sandbox, tmp_path) as livepeer:
        with pytest.raises(ConfigurationError, match=r"install livepeer-async\[cluster\]"):
            await run(livepeer, folder, cluster=object())
