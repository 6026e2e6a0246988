"""Workers that can't be used, stop or lose their journal: one sentence each, nothing is lost."""

import resource
import signal
import subprocess
import sys
from contextlib import ExitStack

import anyio
import pytest
import trustme

from cluster.dask_runs import COUNT, assert_exact, count_repeated, is_sending
from ingest.running import events_of, run, states_of, write_videos
from ingest_cluster import processes
from livepeer_async import AsyncLivepeer
from livepeer_async.errors import ClusterError
from livepeer_async.ingest import Notice, RowEnded, ingest
from livepeer_async.ingest.cluster import nodes
from livepeer_async.sandbox import Sandbox
from support.clock import until
from support.command_line import COMMAND, environment
from support.constants import MIB, TIMEOUT
from support.daemons import free_port
from support.disk_limits import small_disk
from support.postgres import PASSWORD

pytestmark = [pytest.mark.anyio, pytest.mark.cluster, pytest.mark.timeout(300)]

STOPPED_SECONDS = 60.0
# The scheduler hands the rows of a stopped worker to another one long before that.
WORKER_TTL = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s"}
# Longer than the journal waits for its database.
LOST_SECONDS = 75.0
RUN_SECONDS = 200.0
# An installation from before there were clusters.
STUB = '__version__ = "0.0.1"\n'


def client_of(sandbox, journal):
    account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    return AsyncLivepeer(journal=journal, **account)


def ingest_on(place, sandbox, folder, journal, *options):
    """Start the command with a cluster."""
    options = ["--journal", journal, "--no-report", *options]
    return processes.running(
        [*COMMAND, "ingest", str(folder), *place, *map(str, options)],
        env=environment(sandbox),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


async def test_stopped_worker_is_no_second_writer(sandbox, videos, postgres, tmp_path):
    with (
        processes.scheduler(**WORKER_TTL) as scheduler,
        processes.worker(scheduler.address, sandbox, PGPASSWORD=PASSWORD) as worker,
        ingest_on(
            ["--cluster", scheduler.address], sandbox, tmp_path / "videos", postgres.url
        ) as coordinator,
    ):
        await until(lambda: is_sending(sandbox))
        worker.send_signal(signal.SIGSTOP)
        with processes.worker(scheduler.address, sandbox, PGPASSWORD=PASSWORD):
            await anyio.sleep(STOPPED_SECONDS)
            worker.send_signal(signal.SIGCONT)
            _, errors = coordinator.communicate(timeout=RUN_SECONDS)
    assert coordinator.returncode == 0, errors
    assert b"Traceback" not in errors
    assert_exact(sandbox, videos)
    assert count_repeated(sandbox, videos) <= COUNT * 8 * MIB


async def run_until_ready(sandbox, journal, address, folder, disturb):
    """Run a manifest whose worker is disturbed once it sends; return the events."""
    events = []
    async with (
        client_of(sandbox, journal) as livepeer,
        nodes.connect(address, None) as client,
        ingest(livepeer, folder, cluster=client) as running,
        anyio.create_task_group() as tasks,
    ):

        async def collect():
            events.extend([event async for event in running])

        tasks.start_soon(collect)
        await until(lambda: is_sending(sandbox))
        with anyio.fail_after(RUN_SECONDS):
            await disturb(events)
    return events


def has_notice(events, text):
    return any(text in it.message for it in events_of(Notice, events))


async def test_worker_is_used_again_once_its_journal_responds(
    sandbox, videos, postgres, postgres_proxy, tmp_path
):
    async def cut(events):
        postgres_proxy.cut("both")
        # As its uploads have stopped, the rows wait.
        await anyio.sleep(LOST_SECONDS)
        postgres_proxy.heal()

    url = postgres.url_of(port=postgres_proxy.port)
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox, LIVEPEER_JOURNAL=url),
    ):
        folder = tmp_path / "videos"
        events = await run_until_ready(sandbox, postgres.url, scheduler.address, folder, cut)
    assert states_of(events) == dict.fromkeys(videos, "ready")
    assert has_notice(events, "gets no rows until it can be used: the journal")
    assert has_notice(events, "no worker can be used now; the run waits")
    assert_exact(sandbox, videos)


async def test_lost_database_is_waited_for(sandbox, videos, postgres, tmp_path):
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox, PGPASSWORD=PASSWORD),
        ingest_on(
            ["--cluster", scheduler.address], sandbox, tmp_path / "videos", postgres.url
        ) as coordinator,
    ):
        await until(lambda: is_sending(sandbox))
        postgres.server.stop("immediate")
        try:
            await anyio.sleep(LOST_SECONDS)
        finally:
            postgres.server.start()
        _, errors = coordinator.communicate(timeout=RUN_SECONDS)
    assert coordinator.returncode == 0, errors
    assert b"Traceback" not in errors
    assert_exact(sandbox, videos)


async def test_worker_short_of_descriptors_is_used_again(sandbox, tmp_path):
    (tmp_path / "videos").mkdir()
    videos = write_videos(tmp_path / "videos", 60, 2 * MIB)
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox) as worker,
    ):
        limits = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)

        async def limit(events):
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (1, limits[1]))
            # It can't even accept a connection of Dask, or finds that no upload can begin.
            await anyio.sleep(STOPPED_SECONDS)
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, limits)

        journal, folder = tmp_path / "uploads.journal", tmp_path / "videos"
        events = await run_until_ready(sandbox, journal, scheduler.address, folder, limit)
    assert states_of(events) == dict.fromkeys(videos, "ready")
    assert_exact(sandbox, videos)


async def test_full_disk_ends_the_run_and_the_command_goes_on(sandbox, videos, tmp_path):
    with (
        small_disk(tmp_path / "disk", 4 * MIB) as disk,
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox),
    ):
        if not disk.is_real:
            pytest.skip("no disk can be mounted here")
        place, folder = ["--cluster", scheduler.address], tmp_path / "videos"
        journal = disk.folder / "uploads.journal"
        with ingest_on(place, sandbox, folder, journal) as coordinator:
            await until(lambda: is_sending(sandbox))
            disk.fill()
            _, errors = coordinator.communicate(timeout=RUN_SECONDS)
        assert coordinator.returncode == 1, errors
        assert b"no worker can be used; the worker on" in errors
        assert b"disk is full" in errors
        assert b"Traceback" not in errors
        disk.free()
        async with (
            client_of(sandbox, journal) as livepeer,
            nodes.connect(scheduler.address, None) as client,
        ):
            events = await run(livepeer, folder, cluster=client)
    assert states_of(events) == dict.fromkeys(videos, "ready")
    assert_exact(sandbox, videos)


@pytest.mark.parametrize("has_others", [False, True])
async def test_unusable_workers_are_named(has_others, tmp_path):
    (tmp_path / "videos").mkdir()
    videos = write_videos(tmp_path / "videos", 20)
    (tmp_path / "old" / "livepeer_async").mkdir(parents=True)
    (tmp_path / "old" / "livepeer_async" / "__init__.py").write_text(STUB)
    old = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", "--no-nanny"]
    with Sandbox() as sandbox, processes.scheduler() as scheduler, ExitStack() as stack:
        path = str(tmp_path / "old")
        command = [*old, "--no-dashboard", scheduler.address]
        env = environment(sandbox, PYTHONPATH=path)
        process = stack.enter_context(processes.running(command, env=env, stderr=subprocess.PIPE))
        processes.read_until(process, "Registered to")
        stranger = processes.worker(scheduler.address, sandbox, LIVEPEER_API_KEY="another-key")
        stack.enter_context(stranger)
        if has_others:
            stack.enter_context(processes.worker(scheduler.address, sandbox))
        async with (
            client_of(sandbox, tmp_path / "uploads.journal") as livepeer,
            nodes.connect(scheduler.address, None) as client,
        ):
            if not has_others:
                with pytest.raises(ClusterError, match="no worker can be used; the worker on"):
                    await run(livepeer, tmp_path / "videos", cluster=client)
                return
            events = await run(livepeer, tmp_path / "videos", cluster=client)
    assert states_of(events) == dict.fromkeys(videos, "ready")
    assert has_notice(events, "it can't run this version of livepeer-async; install the same")
    assert has_notice(events, "LIVEPEER_BASE_URL differs from the coordinator's")
    assert len(events_of(RowEnded, events)) == 20


def write_certificates(authority, folder):
    """Issue a certificate; return the options of the commands."""
    folder.mkdir()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    names = {"--tls-ca": "ca.pem", "--tls-cert": "cert.pem", "--tls-key": "key.pem"}
    return [text for option, name in names.items() for text in (option, str(folder / name))]


async def test_processes_authenticate_each_other(sandbox, videos, tmp_path):
    authority = trustme.CA()
    ours = write_certificates(authority, tmp_path / "ours")
    others = write_certificates(trustme.CA(), tmp_path / "others")
    place = f"127.0.0.1:{free_port()}"
    folder, journal = tmp_path / "videos", tmp_path / "uploads.journal"
    command = [*COMMAND, "worker", place, "--once"]
    env = environment(sandbox)
    with (
        ingest_on(["--listen", place], sandbox, folder, journal, *ours) as coordinator,
        processes.running([*command, *others], env=env, stderr=subprocess.PIPE) as stranger,
        processes.running(command, env=env, stderr=subprocess.PIPE) as plain,
    ):
        reasons = {stranger: b"or its TLS certificates don't match", plain: b"or it expects TLS"}
        for process, reason in reasons.items():
            _, errors = process.communicate(timeout=RUN_SECONDS)
            assert process.returncode == 1, errors
            assert reason in errors
            assert b"Traceback" not in errors
        with (
            processes.running([*command, *ours], env=env, stderr=subprocess.PIPE) as first,
            processes.running([*command, *ours], env=env, stderr=subprocess.PIPE) as second,
        ):
            _, errors = coordinator.communicate(timeout=RUN_SECONDS)
            assert coordinator.returncode == 0, errors
            for process in (first, second):
                assert process.wait(TIMEOUT) == 0
    assert_exact(sandbox, videos)
