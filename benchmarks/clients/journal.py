"""Times durable writes of records to a journal that holds many, and leases, in CPU and wall time.

    python journal.py ours|sqlite FILE RECORDS OPERATIONS
    python journal.py ours|psycopg URL RECORDS OPERATIONS

`sqlite` and `psycopg` write the same rows with these alone, in a transaction each.
"""

import asyncio
import sqlite3
import sys
import time
from contextlib import closing

from process import report
from records import (
    INSERT,
    POSTGRES_INSERT,
    fill,
    fill_postgres,
    make_record,
    postgres_row,
    row_of,
)

from livepeer_async import AsyncLivepeer

SIZES = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"
TABLE = "CREATE TABLE records (key TEXT PRIMARY KEY, state TEXT, record BLOB) WITHOUT ROWID"


class Stopwatch:
    """Measures microseconds per operation.

    Attributes:
        results: CPU and wall time by operation.
    """

    def __init__(self, operations):
        self.operations = operations
        self.results = {}

    def start(self):
        """Begin to measure."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self, name):
        """Record an operation."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        self.results[f"{name}_cpu"] = 1e6 * cpu / self.operations
        self.results[f"{name}_wall"] = 1e6 * wall / self.operations


async def measure_ours(path, records, stopwatch):
    """Measure the client's journal."""
    async with AsyncLivepeer("key", base_url="http://127.0.0.1:9/api", journal=path) as livepeer:
        journal = livepeer.journal
        await journal.aclose()
        made = map(make_record, map(str, range(records)))
        if journal.is_shared:
            fill_postgres(path, livepeer.account_fingerprint, made)
        else:
            fill(path, made)
        await journal.open()
        stopwatch.start()
        for number in range(stopwatch.operations):
            await journal.write(make_record(f"new {number}"))
        stopwatch.stop("write")
        stopwatch.start()
        for number in range(stopwatch.operations):
            async with journal.acquire(f"leased {number}"):
                pass
        stopwatch.stop("lease")


def measure_sqlite(path, records, stopwatch):
    """Measure `sqlite3` alone."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SIZES)
        connection.execute(TABLE)
        fill(path, map(make_record, map(str, range(records))))
        stopwatch.start()
        for number in range(stopwatch.operations):
            with connection:
                connection.execute(INSERT, row_of(make_record(f"new {number}")))
        stopwatch.stop("write")


def measure_psycopg(url, stopwatch):
    """Measure psycopg alone, with the journal's table."""
    import psycopg

    with closing(psycopg.connect(url, autocommit=True)) as connection:
        stopwatch.start()
        for number in range(stopwatch.operations):
            row = postgres_row("other", make_record(f"new {number}"))
            connection.execute(POSTGRES_INSERT, row)
        stopwatch.stop("write")


def main(side, path, records, operations):
    """Report the times."""
    stopwatch = Stopwatch(int(operations))
    if side == "ours":
        asyncio.run(measure_ours(path, int(records), stopwatch))
    elif side == "psycopg":
        measure_psycopg(path, stopwatch)
    else:
        measure_sqlite(path, int(records), stopwatch)
    report(**stopwatch.results)


main(*sys.argv[1:])
