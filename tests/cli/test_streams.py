"""Standard streams that are closed or full."""

import os
import subprocess
from contextlib import suppress

import pytest

from support.command_line import COMMAND, environment
from support.constants import TIMEOUT

pytestmark = pytest.mark.slow


def run_with(redirection, *arguments, sandbox):
    """Run a command with streams that a shell has redirected."""
    command = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, env=environment(sandbox), timeout=TIMEOUT, check=False
    )


@pytest.mark.parametrize(
    ("redirection", "options"),
    [(">&-", ()), (">&-", ("--json",)), ("2>&-", ()), ("<&- >&- 2>&-", ())],
)
def test_closed_stream_is_ignored(sandbox, folder, tmp_path, redirection, options):
    report = tmp_path / "report.jsonl"
    arguments = ["ingest", folder, "--report", report, *options]
    done = run_with(redirection, *arguments, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    assert len(report.read_text().splitlines()) == len(sandbox.assets) == 4
    assert b"Traceback" not in done.stderr
    assert (done.stdout == b"") == (">&-" in redirection.replace("2>&-", ""))


def test_full_non_blocking_log_is_ignored(sandbox, folder, tmp_path):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(65536))
    (folder / "bad.mp4").touch()
    command = [*COMMAND, "ingest", str(folder), "--report", str(tmp_path / "report.jsonl")]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=writing,
        env=environment(sandbox),
        timeout=TIMEOUT,
        check=False,
    )
    for descriptor in (reading, writing):
        os.close(descriptor)
    assert (done.returncode, done.stdout.split()[:2]) == (1, [b"ready", b"4"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_full_log_is_ignored(sandbox, folder, tmp_path):
    (folder / "bad.mp4").touch()
    report = tmp_path / "report.jsonl"
    done = run_with("2>/dev/full", "ingest", folder, "--report", report, sandbox=sandbox)
    assert done.returncode == 1
    assert done.stdout.split()[:2] == [b"ready", b"4"]
    assert len(report.read_text().splitlines()) == 5
    assert {asset.phase for asset in sandbox.assets} == {"ready"}


def test_full_report_and_full_log_do_not_stop_uploads(sandbox, folder):
    done = run_with("2>/dev/full", "ingest", folder, "--report", "/dev/full", sandbox=sandbox)
    assert done.returncode == 1
    assert done.stdout.split()[:2] == [b"ready", b"4"]
    assert len(sandbox.assets) == 4
