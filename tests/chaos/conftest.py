"""Parametrises the cases, and prints the table at the end of the run.

LIVEPEER_ASYNC_CHAOS_SEED    seed of the first case; the others follow
LIVEPEER_ASYNC_CHAOS_CASES   number of cases
LIVEPEER_ASYNC_CHAOS_REPORT  file for a copy of the table
"""

import os
from pathlib import Path

import pytest

from chaos.fault_kinds import KINDS
from chaos.summary import format_table, format_totals

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
    """Print the table of the cases of all worker processes."""
    if hasattr(config, "workerinput"):
        return  # a worker process, which knows only its own cases
    reports = [r for group in ("passed", "failed") for r in terminalreporter.stats.get(group, [])]
    found = [(name, value) for report in reports for name, value in report.user_properties]
    rows = [row for name, value in found if name == ROWS for row in value]
    lines = [line for name, value in found if name == LINES for line in value]
    if rows:
        lines = [*format_table(rows), f"base seed {SEED}: {format_totals(rows)}", *lines]
    if not lines:
        return
    terminalreporter.section("chaos")
    for line in lines:
        terminalreporter.line(line)
    if path := os.environ.get("LIVEPEER_ASYNC_CHAOS_REPORT"):
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
