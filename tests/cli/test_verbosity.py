"""`--quiet` and `--verbose`."""

import logging
import re
import socket

import pytest

from livepeer_async.sandbox import Answer, Fault, On


@pytest.fixture(autouse=True)
def restored_loggers():
    """Restore the loggers that the command changes."""
    logs = [logging.getLogger(name) for name in ("httpx", "livepeer_async")]
    kept = [(list(log.handlers), log.level, log.propagate) for log in logs]
    yield
    for log, (handlers, level, propagate) in zip(logs, kept, strict=True):
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)


@pytest.mark.parametrize("command", ["upload", "ingest"])
def test_quiet_prints_only_results(sandbox, clip, tmp_path, run_here, command):
    source = clip if command == "upload" else tmp_path
    arguments = [command, source, "--no-journal", "--quiet"]
    done = run_here(*arguments, sandbox=sandbox, XDG_STATE_HOME=str(tmp_path / "state"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ready" in done.stdout or b"clip.mp4" in done.stdout


def test_quiet_still_prints_errors(sandbox, run_here):
    done = run_here("upload", "missing.mp4", "-q", sandbox=sandbox)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("Error: 'missing.mp4' can't be read")


def test_quiet_prints_bad_rows_and_the_report(sandbox, table, tmp_path, run_here):
    command = ["ingest", table, "-q", "--journal", tmp_path / "j"]
    done = run_here(*command, sandbox=sandbox)
    assert done.returncode == 1
    *bad, report = done.stderr.decode().splitlines()
    assert [re.search(r"videos.csv:(\d):", line)[1] for line in bad] == ["3", "4", "5"]
    (path,) = tmp_path.glob("*.report.jsonl")
    assert report == f"{path} has a line for each row that ended"
    checked = run_here(*command, "--check")
    assert [line.partition(" ")[2] for line in bad] == checked.stderr.decode().splitlines()


def test_quiet_prints_failed_rows_and_their_kinds(open_sandbox, folder, run_here):
    refused = Fault(On(path="request-upload", nth=1), Answer(status=422))
    with open_sandbox(faults=[refused]) as sandbox:
        done = run_here("ingest", folder, "-q", "--no-journal", "--no-report", sandbox=sandbox)
    assert done.returncode == 1
    failed, kinds, kind = done.stderr.decode().splitlines()
    assert ".mp4: 422 from POST" in failed
    assert kinds == "Error: 1 row failed and needs your attention:"
    assert kind.startswith("  1 InvalidRequest, ")


def test_quiet_prints_that_an_ingestion_is_halted(sandbox, folder, start):
    closed = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{closed.getsockname()[1]}/api"
    closed.close()
    command = ["ingest", folder, "-q", "--no-journal", "--no-report"]
    process = start(*command, sandbox=sandbox, LIVEPEER_BASE_URL=url)
    assert "halted: no connection to http://127.0.0.1" in process.stderr.readline().decode()


def test_verbose_logs_requests_without_secrets(sandbox, clip, run_here):
    done = run_here("upload", clip, "--no-journal", "--verbose", sandbox=sandbox)
    assert done.returncode == 0
    log = done.stderr.decode()
    assert "POST" in log
    assert "/asset/request-upload" in log
    (ticket,) = [it for it in sandbox.requests if it.path.endswith("/request-upload")]
    assert ticket.is_over
    assert "token=" not in log
    assert sandbox.api_key not in log


@pytest.mark.parametrize(
    "arguments", [["--quiet", "assets", "list"], ["assets", "--quiet", "list"]]
)
def test_options_may_stand_before_the_command(sandbox, run_here, arguments):
    done = run_here(*arguments, sandbox=sandbox)
    assert (done.returncode, done.stderr) == (0, b"")
    done = run_here(*(it.replace("quiet", "verbose") for it in arguments), sandbox=sandbox)
    assert b" GET http:" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["assets", "list", "--quiet", "--verbose"],
        ["assets", "list", "--verbose", "--quiet"],
        ["--verbose", "assets", "list", "--quiet"],
    ],
)
def test_quiet_and_verbose_exclude_each_other(run_here, arguments):
    done = run_here(*arguments)
    assert done.returncode == 2
    assert "--verbose can't be combined with --quiet" in done.stderr.decode()
