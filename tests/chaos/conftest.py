"""How many cases there are, from which seed on, and the table at the end of the run.

LIVEPEER_ASYNC_CHAOS_SEED    seed of the first case; the others follow it
LIVEPEER_ASYNC_CHAOS_CASES   how many cases
LIVEPEER_ASYNC_CHAOS_REPORT  a file that the table is written to as well
"""

import os
from pathlib import Path

import pytest

from chaos.kinds import KINDS
from chaos.tally import lay_out, sum_up

SEED = int(os.environ.get("LIVEPEER_ASYNC_CHAOS_SEED", "1"))
CASES = int(os.environ.get("LIVEPEER_ASYNC_CHAOS_CASES", len(KINDS)))
BATCH = 25
LINES = "chaos lines"
ROWS = "chaos rows"


def pytest_generate_tests(metafunc):
    if "batch" in metafunc.fixturenames:
        starts = range(SEED, SEED + CASES, BATCH)
        batches = [range(start, min(start + BATCH, SEED + CASES)) for start in starts]
        ids = [f"seeds {batch[0]} to {batch[-1]}" for batch in batches]
        metafunc.parametrize("batch", batches, ids=ids)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    """Print what the cases came to, in whichever processes they ran."""
    if hasattr(config, "workerinput"):
        return  # one of several processes, which knows of its own cases only
    reports = [r for group in ("passed", "failed") for r in terminalreporter.stats.get(group, [])]
    found = [(name, value) for report in reports for name, value in report.user_properties]
    rows = [row for name, value in found if name == ROWS for row in value]
    lines = [line for name, value in found if name == LINES for line in value]
    if rows:
        lines = [*lay_out(rows), f"base seed {SEED}: {sum_up(rows)}", *lines]
    if not lines:
        return
    terminalreporter.section("chaos")
    for line in lines:
        terminalreporter.line(line)
    if path := os.environ.get("LIVEPEER_ASYNC_CHAOS_REPORT"):
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
