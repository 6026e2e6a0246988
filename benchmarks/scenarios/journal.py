"""The journal: durable writes, leases, and manifests."""

import sys

from suite.figures import OURS, Figure
from suite.processes import run, serve
from suite.setup import SERVERS, alternate

RECORDS, OPERATIONS = 100_000, 1000
ROWS, ROW_BYTES = 20_000, 1024


def measure(setup):
    """Measure operations, and manifests."""
    return [*measure_operations(setup), *measure_postgres(setup), *measure_manifest(setup)]


def measure_operations(setup):
    """Measure writes and leases in a journal that holds many records."""
    what = f"a journal with {RECORDS:,} records"
    figures = {
        "write_cpu": Figure("journal", "write-cpu", f"{what}, CPU of a durable write", "µs"),
        "write_wall": Figure("journal", "write-wall", f"{what}, time of a durable write", "µs"),
        "lease_cpu": Figure("journal", "lease-cpu", f"{what}, CPU of a lease", "µs"),
        "lease_wall": Figure("journal", "lease-wall", f"{what}, time of a lease", "µs"),
    }
    sides = {OURS: "ours", "sqlite3": "sqlite"}
    for side, name in alternate(sides, setup.runs):
        path = setup.folder / f"{name}.journal"
        command = setup.ours("journal.py", name, path, RECORDS, OPERATIONS)
        for key, value in run(command).printed.items():
            figures[key].add(side, value)
        for file in setup.folder.glob(f"{path.name}*"):
            file.unlink()
    return list(figures.values())


def measure_postgres(setup):
    """Measure the same in a database on this machine."""
    what = f"a journal on PostgreSQL with {RECORDS:,} records"
    figures = {
        "write_cpu": Figure("journal", "shared-write-cpu", f"{what}, CPU of a write", "µs"),
        "write_wall": Figure("journal", "shared-write-wall", f"{what}, time of a write", "µs"),
        "lease_cpu": Figure("journal", "shared-lease-cpu", f"{what}, CPU of a lease", "µs"),
        "lease_wall": Figure("journal", "shared-lease-wall", f"{what}, time of a lease", "µs"),
    }
    command = [sys.executable, SERVERS / "postgres.py", setup.runs]
    with serve(command) as server:
        for number, url in enumerate(server.printed["urls"]):
            sides = ("ours", "psycopg") if number % 2 else ("psycopg", "ours")
            # The first client creates the tables.
            run(setup.ours("journal.py", "ours", url, 0, 1))
            for side in sides:
                command = setup.ours("journal.py", side, url, RECORDS, OPERATIONS)
                for key, value in run(command).printed.items():
                    figures[key].add(OURS if side == "ours" else side, value)
    return list(figures.values())


def measure_manifest(setup):
    """Measure a folder of tiny files: its first upload, and a run once all rows are ready."""
    what = f"a folder of {ROWS:,} files"
    figures = {
        "first": Figure("journal", "first", f"{what}, time to the first upload", "s"),
        "memory": Figure("journal", "memory", f"{what}, memory above an idle client", "MiB"),
        "again": Figure(
            "journal", "again", f"{what} that are ready, rows per CPU second", "rows/s"
        ),
    }
    folder = setup.copies(ROW_BYTES, ROWS)
    with setup.sink() as origin:
        for number in range(setup.runs):
            journal = setup.folder / f"manifest{number}.journal"
            command = setup.ours("manifest.py", f"{origin}/api", folder, journal)
            for key, value in run(command).printed.items():
                figures[key].add(OURS, value)
    return list(figures.values())
