"""`kill -9` at random instants, and the same command again, until all files are ready."""

import time
from random import Random

import pytest

from restarts.conftest import LINES
from restarts.judge import Bytes, add_up, judge_amounts, judge_end, judge_known
from restarts.plan import (
    CONCURRENCY,
    FILES,
    IS_LONG,
    KILLS,
    MIB,
    MOST_CHUNK,
    PART,
    SEED,
    draw_instants,
    draw_lengths,
)
from restarts.restarting import Ended, Kill, Restarting, write_files

pytestmark = pytest.mark.timeout(120 + 10 * KILLS)
# Kills that strike where nothing is left to do aren't counted, and mustn't be drawn for ever.
MOST_KILLS = 2 * KILLS


def kill_until_done(command, instants, wanted):
    """Kill the command again and again; give the kills that left something to do, and its end."""
    kills = []
    for instant in instants:
        found = command.kill_at(instant)
        if isinstance(found, Ended):
            return kills, found
        judge_known(command)
        if not found.is_late:
            kills.append(found)
        if len(kills) == wanted:
            break
    return kills, command.run()


def lay_out(kills: list[Kill], rounds: int, sent: Bytes, seconds: float) -> list[str]:
    """Say what was done, and how much was sent again."""
    counts = {
        "before the first request": sum(it.requests == 0 for it in kills),
        "while bytes were sent": sum(it.is_sending for it in kills),
        "while an asset was processed": sum(it.is_processing for it in kills),
    }
    per_kill, ratio = sent.again / len(kills), sent.received / sent.length
    facts = {
        "files": f"{sent.length / MIB:.0f} MiB",
        "received": f"{sent.received / MIB:.0f} MiB, {ratio:.3f} of the files",
        "sent again": f"{sent.again / MIB:.0f} MiB, {per_kill / MIB:.2f} MiB a kill",
        "requests cut": f"{sent.cut}, of {sent.largest / MIB:.0f} MiB at the most",
    }
    head = f"seed {SEED}: {len(kills)} kills in {rounds} rounds of {FILES} files, {seconds:.0f} s"
    return [head, *(f"{name}: {value}" for name, value in (counts | facts).items())]


def test_killed_at_any_instant_the_same_command_makes_each_file_ready_once(
    open_sandbox, tmp_path, record_property
):
    """A round ends where a run ends before it is killed; then all files are uploaded anew."""
    random, began = Random(SEED), time.monotonic()
    files = write_files(tmp_path / "files", draw_lengths(random, FILES), random)
    instants = draw_instants(random, MOST_KILLS)
    kills, sums = [], []
    while len(kills) < KILLS:
        with open_sandbox() as sandbox:
            folder = tmp_path / f"round {len(sums)}"
            folder.mkdir()
            command = Restarting(sandbox, files, folder / "uploads.journal")
            found, end = kill_until_done(command, instants, KILLS - len(kills))
            kills += found
            judge_end(command, end)
            sums.append(judge_amounts(command))
        assert sums[-1].cut <= len(found) * CONCURRENCY
        assert sums[-1].again <= len(found) * MOST_CHUNK
    lines = lay_out(kills, len(sums), add_up(sums), time.monotonic() - began)
    record_property(LINES, lines)
    if IS_LONG:
        # Four uploads run at once, and yet a kill costs no more than one of the smallest chunks.
        assert add_up(sums).again <= len(kills) * PART
        assert any(it.requests == 0 for it in kills)
        assert any(it.is_sending for it in kills)
        assert any(it.is_processing for it in kills)
