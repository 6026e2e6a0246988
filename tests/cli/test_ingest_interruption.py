import os
import signal
import time

import pytest

from livepeer_async.cli.sample_video import write_video
from livepeer_async.sandbox import Fault, On, Slow, Stall
from support.clock import wait_until
from support.command_line import Terminal, read_report, run, untimed
from support.command_line import start as start_command
from support.constants import MIB, TIMEOUT, VERY_LONG

# Bytes per second: a chunk of one part takes two seconds, or minutes.
SLOW = 4_000_000
SLOWER = 20_000


@pytest.fixture
def sandbox(open_sandbox):
    fault = Fault(On(method="PATCH"), Slow(SLOW))
    with open_sandbox(storage="s3", faults=[fault]) as sandbox:
        yield sandbox


@pytest.fixture
def command(tmp_path):
    """The arguments of a command for four videos of three chunks."""
    folder = tmp_path / "shows"
    folder.mkdir()
    for number in range(4):
        write_video(folder / f"{number}.mp4", 17 * MIB, seed=number)
    report, journal = tmp_path / "report.jsonl", tmp_path / "j.journal"
    return ["ingest", folder, "--report", report, "--journal", journal, "--concurrency", "2"]


def patched(sandbox):
    return [seen for seen in sandbox.requests if seen.method == "PATCH"]


def count_sending(sandbox):
    return sum(bool(seen.received and not seen.is_over) for seen in patched(sandbox))


def check_resumption(command, sandbox):
    """Check that the same command finishes the rest, with one asset per file and exact bytes."""
    sandbox.faults.clear()
    done = run(*command, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    assert len(sandbox.assets) == 4
    rows = {row["key"]: row for row in read_report(command[3])}
    for path, row in rows.items():
        with open(path, "rb") as file:
            assert sandbox.stored(row["playback_id"]).read_bytes() == file.read()
    assert sandbox.violations == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_first_signal_finishes_chunks_in_flight(sandbox, command, number, start):
    process = start(*command, sandbox=sandbox)
    wait_until(lambda: count_sending(sandbox) == 2)
    process.send_signal(number)
    output, errors = process.communicate(timeout=TIMEOUT)
    printed = errors.decode().splitlines()
    assert (process.returncode, "Traceback" in errors.decode()) == (130, False)
    assert untimed(printed[0]).startswith("interrupted: finishing chunks in flight")
    assert printed[-1] == (
        "interrupted: 0 of 4 ready; 4 rows unfinished: run the same command to resume"
    )
    assert output.decode().splitlines()[1].split() == ["unfinished", "4"]
    assert [row["state"] for row in read_report(command[3])] == ["unfinished"] * 2
    assert all(seen.status == 204 for seen in patched(sandbox))
    stored = sum(seen.received for seen in patched(sandbox))
    assert stored % MIB == 0
    check_resumption(command, sandbox)
    assert sum(seen.received for seen in patched(sandbox)) <= 4 * 17 * MIB


@pytest.mark.slow
def test_second_ctrl_c_quits_immediately(open_sandbox, command, start):
    with open_sandbox(storage="s3", faults=[Fault(On(method="PATCH"), Slow(SLOWER))]) as sandbox:
        process = start(*command, sandbox=sandbox)
        wait_until(lambda: count_sending(sandbox) == 2)
        process.send_signal(signal.SIGINT)
        assert b" interrupted: finishing chunks" in process.stderr.readline()
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 130
        assert "Traceback" not in errors.decode()
        assert errors.decode().splitlines()[-1].endswith("run the same command to resume")
        assert [row["state"] for row in read_report(command[3])] == ["unfinished"] * 2
        assert all(row["asset_id"] for row in read_report(command[3]))
        assert all(row["bytes"] == 17 * MIB for row in read_report(command[3]))
        assert all(row["seconds"] > 0 for row in read_report(command[3]))
        check_resumption(command, sandbox)


def test_ctrl_c_before_any_response_quits_immediately(open_sandbox, command, start):
    with open_sandbox(faults=[Fault(On(), Stall(VERY_LONG))]) as sandbox:
        process = start(*command, sandbox=sandbox)
        wait_until(lambda: sandbox.requests)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert errors == b"interrupted before anything was uploaded\n"
    assert not command[3].exists()


def test_terminal_shows_the_stop_and_restores_the_cursor(sandbox, command):
    terminal = Terminal(*command, sandbox=sandbox, columns=100)
    wait_until(lambda: count_sending(sandbox) == 2)
    terminal.read_until("total")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert "stopping: finishing 2 chunks in flight" in terminal.screen
    assert "interrupted: finishing" not in terminal.screen
    assert terminal.screen.rindex("\x1b[?25h") > terminal.screen.rindex("\x1b[?25l")


@pytest.mark.slow
def test_closed_terminal_finishes_chunks_in_flight(sandbox, command):
    terminal = Terminal(*command, sandbox=sandbox)
    wait_until(lambda: count_sending(sandbox) == 2)
    terminal.read_until("total")
    terminal.hang_up()
    assert terminal.process.wait(TIMEOUT) == 130
    assert [row["state"] for row in read_report(command[3])] == ["unfinished"] * 2
    assert all(seen.status == 204 for seen in patched(sandbox))
    check_resumption(command, sandbox)


@pytest.mark.slow
def test_ignored_signal_stays_ignored(open_sandbox, command):
    with open_sandbox(faults=[Fault(On(method="PATCH"), Slow(30_000_000))]) as sandbox:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            process = start_command(*command, sandbox=sandbox)
        finally:
            signal.signal(signal.SIGHUP, before)
        with process:
            wait_until(lambda: count_sending(sandbox))
            process.send_signal(signal.SIGHUP)
            _, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, b"interrupted" in errors) == (0, False)


@pytest.mark.slow
def test_report_of_a_killed_run_has_whole_lines(sandbox, command, tmp_path, start):
    os.remove(command[1] / "3.mp4")
    (command[1] / "small.mp4").write_bytes((command[1] / "0.mp4").read_bytes()[: 5 * MIB])
    process = start(*command, sandbox=sandbox)
    wait_until(lambda: command[3].exists() and command[3].stat().st_size)
    process.kill()
    process.communicate()
    assert command[3].read_bytes().endswith(b"\n")
    assert {row["state"] for row in read_report(command[3])} == {"ready"}


def test_ctrl_c_during_the_check_has_no_traceback(tmp_path, start):
    (tmp_path / "one.jsonl").write_text('{"path": "missing.mp4"}\n' * 200_000)
    process = start("ingest", tmp_path / "one.jsonl", "--check")
    assert b"one.jsonl:1: " in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, b"Traceback" in errors) == (130, False)
    assert errors.endswith(b"interrupted before anything was uploaded\n")
