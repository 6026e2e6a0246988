import os
import re

import pytest

from livepeer_async.sandbox import FailProcessing, Fault, On
from support.command_line import Terminal, lines_of, plain, run, untimed


def test_terminal_shows_bars_counts_and_failures(open_sandbox, folder):
    broken = Fault(On(asset="^b.mp4"), FailProcessing("no video track"))
    with open_sandbox(faults=[broken], processing_seconds=1) as sandbox:
        terminal = Terminal("ingest", folder, sandbox=sandbox, columns=120)
        assert terminal.finish() == 1
    printed = plain(terminal.screen)
    assert "two/long.mp4           ━" in printed
    assert "3 of 4 ready, 1 failed" in printed
    # A long line is wrapped anywhere.
    assert "b.mp4:asset" in "".join(printed.split())
    assert terminal.screen.rindex("\x1b[?25h") > terminal.screen.rindex("\x1b[?25l")


def test_pipe_gets_a_line_for_each_failure(open_sandbox, folder):
    broken = Fault(On(asset="^b.mp4"), FailProcessing("no video track"))
    with open_sandbox(faults=[broken]) as sandbox:
        done = run("ingest", folder, sandbox=sandbox, FORCE_COLOR="1")
    printed = lines_of(done.stderr)
    assert b"\x1b" not in done.stdout + done.stderr
    report = untimed(printed[0]).removeprefix("report: ")
    assert untimed(printed[1]).startswith(f"{folder}/b.mp4: asset ")
    assert printed[2:] == [
        f"{report} has a line for each row that ended",
        "Error: 1 row failed and needs your attention:",
        f"  1 AssetFailed, {folder}/b.mp4",
    ]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals")
def test_output_fits_40_columns(sandbox, folder):
    terminal = Terminal("ingest", folder, sandbox=sandbox, columns=40, rows=12)
    assert terminal.finish() == 0
    assert "4 of 4 ready" in plain(terminal.screen)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals")
def test_counts_are_whole_in_30_columns(sandbox, folder):
    terminal = Terminal("ingest", folder, sandbox=sandbox, columns=30, rows=12)
    assert terminal.finish() == 0
    summary = plain(terminal.screen)[-300:]
    assert re.search(r"ready +4 ", summary)
    assert re.search(r"sent +[\d.]+ [KM]iB +in ", summary)
