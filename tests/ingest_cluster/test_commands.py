"""`livepeer-async ingest --workers`, and what Dask's logs and pages show."""

import os
import signal
import socket
from urllib.parse import quote

import pytest

from ingest.running import write_rows, write_videos
from ingest_cluster import processes
from livepeer_async.sandbox import Sandbox
from support.command_line import documents, lines_of, run, start
from support.constants import TIMEOUT
from support.postgres import PASSWORD


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


def children_of(process):
    """Return the process IDs of a process's children."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return [int(it) for it in file.read().split()]


def test_workers_upload_to_the_embedded_sandbox(folder, tmp_path):
    videos = write_videos(folder, 5)
    report = tmp_path / "report.jsonl"
    options = ["--sandbox", "--workers", 1, "--report", report, "--json"]
    done = run("ingest", folder, *options, TMPDIR=str(tmp_path))
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    states = {(it["key"], it["state"]) for it in documents(lines_of(done.stdout))}
    assert states == {(str(folder / name), "ready") for name in videos}
    assert report.read_bytes() == done.stdout
    assert b"distributed" not in done.stderr
    # Temporary folders of workers and the sandbox are gone.
    assert sorted(os.listdir(tmp_path)) == ["report.jsonl", "videos"]


@pytest.mark.cluster
@pytest.mark.parametrize("is_option", [True, False])
def test_workers_get_the_password_of_the_journal(folder, postgres, is_option):
    videos = write_videos(folder, 2)
    options = ["--workers", 1, "--json", "--verbose"]
    journal = ["--journal", postgres.url] if is_option else []
    variables = {} if is_option else {"LIVEPEER_JOURNAL": postgres.url}
    with Sandbox(processing_seconds=0.0) as sandbox:
        done = run("ingest", folder, *options, *journal, sandbox=sandbox, **variables)
    assert done.returncode == 0, done.stderr
    assert len(lines_of(done.stdout)) == len(videos)
    assert PASSWORD not in (done.stdout + done.stderr).decode()
    assert quote(PASSWORD) not in (done.stdout + done.stderr).decode()


@pytest.mark.cluster
def test_command_ends_if_all_its_workers_do(folder, tmp_path):
    write_videos(folder, 1)
    with Sandbox(processing_seconds=TIMEOUT) as sandbox:
        journal = tmp_path / "uploads.journal"
        with start("ingest", folder, "--workers", 1, "--journal", journal, sandbox=sandbox) as it:
            processes.read_until(it, "report:")
            (child,) = children_of(it)
            os.kill(child, signal.SIGKILL)
            _, errors = it.communicate(timeout=TIMEOUT)
    assert it.returncode == 1
    assert b"all worker processes have ended (exit status -9)" in errors
    assert b"Traceback" not in errors


def test_worker_without_an_api_key_ends_at_once():
    done = run("worker", "127.0.0.1:9")
    assert done.returncode == 2
    assert b"no API key: set LIVEPEER_API_KEY" in done.stderr


def test_used_port_is_named(folder, tmp_path):
    with Sandbox() as sandbox, socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        journal = tmp_path / "uploads.journal"
        done = run("ingest", folder, "--listen", place, "--journal", journal, sandbox=sandbox)
    assert done.returncode == 1
    assert f"{place} can't be used: Address already in use".encode() in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.cluster
def test_missing_scheduler_is_named(folder, tmp_path):
    with Sandbox() as sandbox:
        journal = ["--journal", tmp_path / "uploads.journal"]
        done = run("ingest", folder, "--cluster", "127.0.0.1:9", *journal, sandbox=sandbox)
    assert done.returncode == 1
    assert b"no Dask scheduler responds at tcp://127.0.0.1:9" in done.stderr


@pytest.mark.cluster
def test_logs_of_dask_show_nothing_of_a_row(folder, tmp_path):
    (folder / "SECRET.mp4").write_bytes(b"video")
    path = write_rows(folder, {"path": "SECRET.mp4", "key": "SECRET", "name": "SECRET"})
    options = ["--workers", 1, "--no-report", "--json", "--verbose"]
    with Sandbox(processing_seconds=0.0) as sandbox:
        journal = tmp_path / "uploads.journal"
        done = run("ingest", path, *options, "--journal", journal, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    lines = [it for it in done.stderr.splitlines() if b"distributed" in it]
    assert lines
    assert not any(b"SECRET" in it for it in lines)
    assert sandbox.api_key.encode() not in done.stderr
