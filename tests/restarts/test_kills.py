"""`kill -9` at random times, then the same command again, until all files are ready."""

import time
from random import Random

import pytest

from restarts.checks import (
    ByteCounts,
    assert_all_assets_known,
    assert_complete,
    check_amounts,
    sum_counts,
)
from restarts.command import Kill, RestartedCommand, Result, write_files
from restarts.conftest import LINES
from restarts.plan import (
    CONCURRENCY,
    FILES,
    IS_LONG,
    KILLS,
    MAX_REPEATED,
    MIB,
    PART,
    SEED,
    draw_instants,
    draw_lengths,
)

pytestmark = pytest.mark.timeout(120 + 10 * KILLS)
# Kills after all files were ready don't count.
MAX_KILLS = 2 * KILLS


def kill_until_done(command, instants, wanted):
    """Kill the command repeatedly; return the kills before all files were ready, and the result."""
    kills = []
    for instant in instants:
        found = command.kill_at(instant)
        if isinstance(found, Result):
            return kills, found
        assert_all_assets_known(command)
        if not found.is_late:
            kills.append(found)
        if len(kills) == wanted:
            break
    return kills, command.run()


def format_report(kills: list[Kill], rounds: int, sent: ByteCounts, seconds: float) -> list[str]:
    """Format the counts of kills and bytes."""
    counts = {
        "before the first request": sum(it.requests == 0 for it in kills),
        "while bytes were sent": sum(it.is_sending for it in kills),
        "while an asset was processed": sum(it.is_processing for it in kills),
    }
    per_kill, ratio = sent.repeated / len(kills), sent.received / sent.length
    facts = {
        "files": f"{sent.length / MIB:.0f} MiB",
        "received": f"{sent.received / MIB:.0f} MiB, {ratio:.3f} of the files",
        "repeated": f"{sent.repeated / MIB:.0f} MiB, {per_kill / MIB:.2f} MiB per kill",
        "requests cut": f"{sent.cut}, of {sent.largest / MIB:.0f} MiB at most",
    }
    head = f"seed {SEED}: {len(kills)} kills in {rounds} rounds of {FILES} files, {seconds:.0f} s"
    return [head, *(f"{name}: {value}" for name, value in (counts | facts).items())]


def test_killed_command_makes_each_file_ready_once(open_sandbox, tmp_path, record_property):
    # A round ends when a run ends before its kill; the next one uploads all files again.
    random, began = Random(SEED), time.monotonic()
    files = write_files(tmp_path / "files", draw_lengths(random, FILES), random)
    instants = draw_instants(random, MAX_KILLS)
    kills, sums = [], []
    while len(kills) < KILLS:
        with open_sandbox() as sandbox:
            folder = tmp_path / f"round {len(sums)}"
            folder.mkdir()
            command = RestartedCommand(sandbox, files, folder / "uploads.journal")
            found, end = kill_until_done(command, instants, KILLS - len(kills))
            kills += found
            assert_complete(command, end)
            sums.append(check_amounts(command))
        assert sums[-1].cut <= len(found) * CONCURRENCY
        assert sums[-1].repeated <= len(found) * MAX_REPEATED
    lines = format_report(kills, len(sums), sum_counts(sums), time.monotonic() - began)
    record_property(LINES, lines)
    if IS_LONG:
        # With four concurrent uploads, a kill costs at most one smallest chunk on average.
        assert sum_counts(sums).repeated <= len(kills) * PART
        assert any(it.requests == 0 for it in kills)
        assert any(it.is_sending for it in kills)
        assert any(it.is_processing for it in kills)
