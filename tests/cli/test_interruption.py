import json
import os
import re
import signal
import subprocess

import pytest

from livepeer_async.cli.sample_video import read_clip, write_video
from livepeer_async.sandbox import Fault, On, Slow, Stall
from support.clock import wait_until
from support.command_line import Terminal, interrupt, plain, run
from support.constants import MIB, TIMEOUT, VERY_LONG


@pytest.fixture
def slow_sandbox(open_sandbox):
    """A sandbox that takes minutes to receive a chunk."""
    with open_sandbox(faults=[Fault(On(method="PATCH"), Slow(20_000))]) as sandbox:
        yield sandbox


@pytest.fixture
def video(tmp_path):
    write_video(tmp_path / "long.mp4", 9 * MIB)
    return tmp_path / "long.mp4"


def is_sending(sandbox):
    return any(seen.method == "PATCH" and seen.received for seen in sandbox.requests)


def test_ctrl_c_reports_unfinished_uploads(slow_sandbox, video, start):
    process = start("upload", video, sandbox=slow_sandbox)
    wait_until(lambda: is_sending(slow_sandbox))
    output, errors = interrupt(process)
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    (asset,) = slow_sandbox.assets
    assert f"long.mp4: uploading, asset {asset.id}" in errors.splitlines()
    assert errors.splitlines()[-1] == (
        "interrupted: 0 of 1 ready; 1 upload unfinished: run the same command to resume"
    )
    listed = run("assets", "list", "--phase", "uploading", sandbox=slow_sandbox)
    assert slow_sandbox.assets[0].id in listed.stdout.decode()


@pytest.mark.parametrize("command", ["upload", "ingest"])
def test_ctrl_c_prints_what_is_ready(slow_sandbox, video, clip, command, start):
    report = video.parent / "report.jsonl"
    is_ingestion = command == "ingest"
    ingestion = [video.parent, "--report", report, "--no-journal"]
    files = ingestion if is_ingestion else [video, clip]
    process = start(command, *files, "--concurrency", "2", sandbox=slow_sandbox)

    def find_ready():
        return [asset for asset in slow_sandbox.assets if asset.phase == "ready"]

    wait_until(lambda: find_ready() and is_sending(slow_sandbox))
    if is_ingestion:
        wait_until(lambda: "ready" in report.read_text())
    else:
        wait_for_line(process, b"clip.mp4: ready after ")
    process.send_signal(signal.SIGINT)
    if is_ingestion:
        wait_for_line(process, b" interrupted: finishing chunks ")
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=TIMEOUT)
    (asset,) = find_ready()
    line = output.decode().splitlines()[-1]
    assert line.split()[:3] == ["clip.mp4", asset.id, asset.playback_id]
    assert b"lvpr.tv" not in output + errors
    last = errors.decode().splitlines()[-1]
    assert last.startswith("interrupted: 1 of 2 ready; 1 ")
    assert not is_ingestion or last.endswith("the same command uploads all rows again")


def wait_for_line(process, text):
    while text not in process.stderr.readline():
        assert process.poll() is None


def test_ctrl_c_with_json_writes_unfinished_files(slow_sandbox, video, clip, start):
    process = start("upload", video, clip, "--json", "--concurrency", "1", sandbox=slow_sandbox)
    wait_until(lambda: is_sending(slow_sandbox))
    output, _ = interrupt(process)
    assert process.returncode == 130
    sending, waiting = map(json.loads, output.splitlines())
    (asset,) = slow_sandbox.assets
    assert (sending["source"], sending["phase"]) == (str(video), "interrupted")
    assert (sending["asset_id"], waiting["asset_id"]) == (asset.id, None)
    assert waiting["error"] == {"type": "KeyboardInterrupt", "message": "interrupted while waiting"}


def test_bars_leave_room_for_the_echo_of_ctrl_c(slow_sandbox, video):
    terminal = Terminal("upload", video, sandbox=slow_sandbox)
    wait_until(lambda: is_sending(slow_sandbox))
    terminal.read_until("total")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    rows = [row for row in re.split(r"[\r\n]+", plain(terminal.screen)) if re.search("[━╍─]", row)]
    assert max(map(len, rows)) <= 100 - len("^C^C")


def test_ctrl_c_restores_the_cursor(slow_sandbox, video):
    terminal = Terminal("upload", video, sandbox=slow_sandbox)
    wait_until(lambda: is_sending(slow_sandbox))
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert terminal.screen.rindex("\x1b[?25h") > terminal.screen.rindex("\x1b[?25l")
    assert "interrupted: 0 of 1 ready" in terminal.screen
    assert "Traceback" not in terminal.screen


def test_ctrl_c_during_processing_suggests_assets_list(open_sandbox, video, start):
    with open_sandbox(processing_seconds=VERY_LONG) as sandbox:
        process = start("upload", video, sandbox=sandbox)
        assert process.stderr.readline() == b"long.mp4: uploading 9.0 MiB\n"
        assert process.stderr.readline() == b"long.mp4: processing\n"
        _, errors = interrupt(process)
    assert process.returncode == 130
    assert "1 file arrived and will become ready: livepeer-async assets list" in errors


def test_ctrl_c_ends_a_wait_for_standard_input(sandbox, start):
    process = start("upload", "-", sandbox=sandbox, stdin=subprocess.PIPE)
    process.stdin.write(read_clip()[:100])
    process.stdin.flush()
    wait_until(lambda: sandbox.requests)
    _, errors = interrupt(process)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert sandbox.assets == []


def test_ctrl_c_ends_a_wait_for_the_server(open_sandbox, start):
    with open_sandbox(faults=[Fault(On(), Stall(VERY_LONG))]) as sandbox:
        process = start("assets", "list", sandbox=sandbox)
        wait_until(lambda: sandbox.requests)
        output, errors = interrupt(process)
    assert process.returncode == 130
    assert (output, errors) == ("", "interrupted\n")


def test_terminated_demo_cleans_up(tmp_path, start):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = start("demo", TMPDIR=str(scratch))
    assert process.stderr.readline() == b"\n"
    assert b": uploading " in process.stderr.readline()
    process.terminate()
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert errors.decode().splitlines()[-1] == "interrupted"
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_sandbox_succeeds_and_cleans_up(number, tmp_path, start):
    process = start("sandbox", "--storage", "s3", TMPDIR=str(tmp_path))
    lines = [process.stdout.readline().decode().strip() for _ in range(7)]
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lines[-2:])
    assert list(tmp_path.iterdir())
    assert run("assets", "list", **exports).returncode == 0
    process.send_signal(number)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, b"the sandbox has stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_port_in_use_has_no_traceback(sandbox):
    done = run("sandbox", "--port", sandbox.base_url.rpartition(":")[2].removesuffix("/api"))
    assert done.returncode == 1
    assert "use --port or --host for another one" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


PRINTING = (
    *(["--help"], ["--version"], ["ingest", "--help"]),
    *(["assets", "list"], ["assets", "list", "--json"], ["assets", "get", "{asset}"]),
    *(["upload", "{clip}"], ["upload", "{clip}", "--json"], ["ingest", "{folder}"]),
    *(["ingest", "{folder}", "--json"], ["ingest", "{folder}", "--check"], ["journal", "list"]),
)


@pytest.mark.slow
@pytest.mark.parametrize("shares_stderr", [False, True])
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_closed_pipe_is_silent(
    sandbox, clip, upload_clip, tmp_path, start, arguments, shares_stderr
):
    (asset,) = upload_clip(sandbox, "one")
    state = str(tmp_path / "state")
    if arguments == ["journal", "list"]:
        run("upload", clip, sandbox=sandbox, XDG_STATE_HOME=state)
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": writing} | ({"stderr": writing} if shares_stderr else {})
    names = {"clip": clip, "folder": tmp_path, "asset": asset}
    process = start(
        *(it.format(**names) for it in arguments),
        sandbox=sandbox,
        XDG_STATE_HOME=state,
        **streams,
    )
    os.close(writing)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 141
    assert not shares_stderr or errors is None
    for word in ("Traceback", "Broken", "ignored"):
        assert word not in (errors or b"").decode()
