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
    """A sandbox to which a chunk takes minutes."""
    with open_sandbox(faults=[Fault(On(method="PATCH"), Slow(20_000))]) as sandbox:
        yield sandbox


@pytest.fixture
def video(tmp_path):
    write_video(tmp_path / "long.mp4", 9 * MIB)
    return tmp_path / "long.mp4"


def is_sending(sandbox):
    return any(seen.method == "PATCH" and seen.received for seen in sandbox.requests)


def test_ctrl_c_during_an_upload_says_what_is_left(slow_sandbox, video, start):
    process = start("upload", video, sandbox=slow_sandbox)
    wait_until(lambda: is_sending(slow_sandbox))
    output, errors = interrupt(process)
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    (asset,) = slow_sandbox.assets
    assert f"long.mp4: uploading, asset {asset.id}" in errors.splitlines()
    assert errors.splitlines()[-1] == (
        "interrupted: 0 of 1 ready; 1 upload left unfinished: the same command goes on from there"
    )
    listed = run("assets", "list", "--phase", "uploading", sandbox=slow_sandbox)
    assert slow_sandbox.assets[0].id in listed.stdout.decode()


def test_ctrl_c_with_json_tells_of_each_file_that_is_unfinished(slow_sandbox, video, clip, start):
    process = start("upload", video, clip, "--json", "--concurrency", "1", sandbox=slow_sandbox)
    wait_until(lambda: is_sending(slow_sandbox))
    output, _ = interrupt(process)
    assert process.returncode == 130
    sending, waiting = map(json.loads, output.splitlines())
    (asset,) = slow_sandbox.assets
    assert (sending["source"], sending["phase"]) == (str(video), "interrupted")
    assert (sending["asset_id"], waiting["asset_id"]) == (asset.id, None)
    assert waiting["error"] == {"type": "KeyboardInterrupt", "message": "interrupted while waiting"}


def test_the_echo_of_ctrl_c_leaves_room_behind_the_bars(slow_sandbox, video):
    terminal = Terminal("upload", video, sandbox=slow_sandbox)
    wait_until(lambda: is_sending(slow_sandbox))
    terminal.read_until("total")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    rows = [row for row in re.split(r"[\r\n]+", plain(terminal.screen)) if "━" in row]
    assert max(map(len, rows)) <= 100 - len("^C^C")


def test_ctrl_c_on_a_terminal_gives_the_cursor_back(slow_sandbox, video):
    terminal = Terminal("upload", video, sandbox=slow_sandbox)
    wait_until(lambda: is_sending(slow_sandbox))
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert terminal.screen.rindex("\x1b[?25h") > terminal.screen.rindex("\x1b[?25l")
    assert "interrupted: 0 of 1 ready" in terminal.screen
    assert "Traceback" not in terminal.screen


def test_ctrl_c_during_processing_says_that_it_goes_on(open_sandbox, video, start):
    with open_sandbox(processing_seconds=VERY_LONG) as sandbox:
        process = start("upload", video, sandbox=sandbox)
        assert process.stderr.readline() == b"long.mp4: uploading 9.0 MiB\n"
        assert process.stderr.readline() == b"long.mp4: processing\n"
        _, errors = interrupt(process)
    assert process.returncode == 130
    assert "1 file arrived and will become ready: livepeer-async assets list" in errors


def test_ctrl_c_while_standard_input_is_silent_ends_at_once(sandbox, start):
    process = start("upload", "-", sandbox=sandbox, stdin=subprocess.PIPE)
    process.stdin.write(read_clip()[:100])
    process.stdin.flush()
    wait_until(lambda: sandbox.requests)
    _, errors = interrupt(process)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert sandbox.assets == []


def test_ctrl_c_while_the_server_is_silent_ends_at_once(open_sandbox, start):
    with open_sandbox(faults=[Fault(On(), Stall(VERY_LONG))]) as sandbox:
        process = start("assets", "list", sandbox=sandbox)
        wait_until(lambda: sandbox.requests)
        output, errors = interrupt(process)
    assert process.returncode == 130
    assert (output, errors) == ("", "interrupted\n")


def test_a_terminated_demo_leaves_nothing(tmp_path, start):
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
def test_a_served_sandbox_ends_well_and_leaves_nothing(number, tmp_path, start):
    process = start("sandbox", "--storage", "s3", TMPDIR=str(tmp_path))
    lines = [process.stdout.readline().decode().strip() for _ in range(7)]
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lines[-2:])
    assert list(tmp_path.iterdir())
    assert run("assets", "list", **exports).returncode == 0
    process.send_signal(number)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, b"the sandbox has ended\n")
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_a_sentence(sandbox):
    done = run("sandbox", "--port", sandbox.base_url.rpartition(":")[2].removesuffix("/api"))
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    "arguments", [["upload", "{clip}", "--json"], ["upload", "{clip}"], ["assets", "list"]]
)
def test_a_reader_who_went_away_makes_no_noise(sandbox, clip, upload_clip, arguments, start):
    upload_clip(sandbox, "one")
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*(it.format(clip=clip) for it in arguments), sandbox=sandbox, stdout=writing)
    os.close(writing)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "Traceback" not in errors.decode()
    assert "Broken" not in errors.decode()
