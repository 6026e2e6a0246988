"""`--quiet` and `--verbose`."""

import logging

import pytest


@pytest.fixture(autouse=True)
def httpx_log():
    """Restore the logger of httpx."""
    log = logging.getLogger("httpx")
    kept = list(log.handlers), log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = kept


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


def test_verbose_logs_requests_without_secrets(sandbox, clip, run_here):
    done = run_here("upload", clip, "--no-journal", "--verbose", sandbox=sandbox)
    assert done.returncode == 0
    log = done.stderr.decode()
    assert "HTTP Request: POST" in log
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
    assert b"HTTP Request: GET" in done.stderr


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
