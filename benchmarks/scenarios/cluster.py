"""The coordinator of a cluster: rows that it hands out, and its memory."""

import sys

from suite.figures import OURS, Figure
from suite.processes import run, serve
from suite.setup import SERVERS

ROWS, STEP = 500_000, 100_000


def measure(setup):
    """Measure rows that cost the worker nothing, with a journal on PostgreSQL."""
    what = f"a coordinator of {ROWS:,} rows"
    memory = "memory above a coordinator without rows"
    figures = {
        "rows_wall": Figure("cluster", "rows", f"{what}, rows per second", "rows/s"),
        "rows_cpu": Figure("cluster", "rows-cpu", f"{what}, rows per CPU second", "rows/s"),
        "checked": Figure("cluster", "memory-checked", f"{what}, {memory}, after the check", "MiB"),
        "first": Figure("cluster", "memory-first", f"{what}, {memory}, after {STEP:,}", "MiB"),
        "last": Figure("cluster", "memory-last", f"{what}, {memory}, after all", "MiB"),
    }
    with (
        setup.sink() as origin,
        serve([sys.executable, SERVERS / "postgres.py", setup.runs]) as server,
    ):
        for url in server.printed["urls"]:
            command = setup.ours("coordinator.py", f"{origin}/api", url, ROWS, STEP)
            for key, value in run(command).printed.items():
                figures[key].add(OURS, value)
    return list(figures.values())
