"""Measure what a long manifest costs: the time to the first upload, a rerun, memory, the journal.

    python benchmarks/manifests.py [--rows 100000]

The files are real, 1 KiB each in folders of 1,000. Each measurement is a process of its own, so
that its peak of memory is its own; a server that answers no upload stands for Livepeer's.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import anyio
import msgspec

from livepeer_async import AsyncLivepeer
from livepeer_async.ingest import Checked, RowStarted, ingest
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import Sandbox
from livepeer_async.sources.identity import SourceIdentity

FOLDER = 1000


def main():
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", choices=sorted(MEASUREMENTS), help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        anyio.run(MEASUREMENTS[options.only], options.place, options.rows)
        return
    with tempfile.TemporaryDirectory() as place:
        make_files(Path(place), options.rows)
        for name in MEASUREMENTS:
            command = [sys.executable, __file__, "--only", name, "--place", place]
            subprocess.run([*command, "--rows", str(options.rows)], check=True)


def make_files(place, rows):
    """Make the files, and manifests of all of them and of one in a hundred."""
    video = bytes(range(256)) * 4
    paths = [f"{number // FOLDER:04}/{number:06}.mp4" for number in range(rows)]
    for number in range(0, rows, FOLDER):
        (place / f"{number // FOLDER:04}").mkdir()
    for path in paths:
        (place / path).write_bytes(video)
    for name, some in (("all.jsonl", paths), ("few.jsonl", paths[:: max(1, rows // 1000)])):
        lines = [json.dumps({"path": path, "name": path}) for path in some]
        (place / name).write_text("\n".join(lines))


def peak_mib():
    """Give the most memory that this process has had, in MiB.

    From Linux's own file: `getrusage` counts what the parent had as well.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


async def measure_start(place, _rows, manifest="all.jsonl"):
    """Measure the time until the first upload begins, and the memory up to there."""
    async with Sandbox() as sandbox, client(sandbox, place / f"none{manifest}.journal") as livepeer:
        before, began = peak_mib(), time.monotonic()
        async with ingest(livepeer, place / manifest) as running:
            async for event in running:
                if isinstance(event, Checked):
                    checked = time.monotonic() - began
                if isinstance(event, RowStarted):
                    break
        seconds = time.monotonic() - began
    print(
        f"{manifest or 'the folder'}: checked after {checked:.2f} s, the first row starts after "
        f"{seconds:.2f} s, peak {peak_mib() - before:.1f} MiB above an idle client"
    )


async def measure_folder(place, rows):
    """Measure the same of a folder."""
    await measure_start(place, rows, manifest="")


async def measure_few(place, rows):
    """Measure the same of a manifest with 1,000 rows, for comparison."""
    await measure_start(place, rows, manifest="few.jsonl")


async def measure_rerun(place, rows):
    """Measure a run of a manifest whose rows are all done."""
    async with Sandbox() as sandbox, client(sandbox, place / "full.journal") as livepeer:
        await plant(livepeer, place, rows)
        before, began, ended = peak_mib(), time.monotonic(), 0
        asked = len(sandbox.requests)
        async with ingest(livepeer, place / "all.jsonl") as running:
            async for event in running:
                ended += getattr(event, "is_earlier", False)
        seconds = time.monotonic() - began
        asked = len(sandbox.requests) - asked
    print(
        f"rerun: {ended} rows that are done in {seconds:.2f} s ({ended / seconds:,.0f} rows/s), "
        f"{asked} requests, peak {peak_mib() - before:.1f} MiB above an idle client"
    )


async def measure_journal(place, rows):
    """Measure claims and writes in a journal that holds all rows."""
    async with Sandbox() as sandbox, client(sandbox, place / "journal.journal") as livepeer:
        await plant(livepeer, place, rows)
        journal, times = livepeer.journal, 2000
        record = record_of(place, "new")
        began = time.monotonic()
        for number in range(times):
            async with journal.acquire(f"new {number}"):
                pass
        claims = times / (time.monotonic() - began)
        began = time.monotonic()
        for _ in range(times):
            await journal.write(record)
        writes = times / (time.monotonic() - began)
    print(f"journal with {rows} records: {writes:,.0f} writes/s, {claims:,.0f} claims/s")


async def plant(livepeer, place, rows):
    """Write the records of all rows at once, behind the journal's back."""
    journal = livepeer.journal.path
    await livepeer.journal.aclose()
    with closing(sqlite3.connect(journal)) as connection, connection:
        for number in range(rows):
            record = record_of(place, f"{number // FOLDER:04}/{number:06}.mp4")
            row = record.key, record.state, msgspec.json.encode(record)
            connection.execute("INSERT INTO records VALUES (?, ?, ?)", row)
    await livepeer.journal.open()


def record_of(place, path):
    """Make the record of a file that is done."""
    file = place / path
    status = file.stat() if file.exists() else None
    return Record(
        key=str(file),
        state=RecordState.READY,
        name=path,
        identity=SourceIdentity(
            length=1024, modified_ns=status and status.st_mtime_ns, inode=status and status.st_ino
        ),
        requested_at=time.time(),
        asset_id="00000000-0000-0000-0000-000000000000",
        playback_id="0000000000000000",
        verified="size",
    )


def client(sandbox, journal):
    """Make a client with a journal."""
    return AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url, journal=journal)


MEASUREMENTS = {
    "start": measure_start,
    "folder": measure_folder,
    "few": measure_few,
    "rerun": measure_rerun,
    "journal": measure_journal,
}

if __name__ == "__main__":
    main()
