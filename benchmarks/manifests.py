"""Measure a long manifest: time to the first upload, a rerun, memory, and the journal.

    python benchmarks/manifests.py [--rows 100000]

The files are real, 1 KiB each in folders of 1,000. Each measurement runs in its own process, for
its own peak of memory.
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
    """Run each measurement."""
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
    """Write the files, a manifest of all, and a manifest of 1,000."""
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
    """Return the peak resident set of this process in MiB.

    From /proc: `getrusage` includes the parent's peak.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


async def measure_start(place, _rows, manifest="all.jsonl"):
    """Measure the time and memory until the first upload starts."""
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
    """Measure the same with a folder."""
    await measure_start(place, rows, manifest="")


async def measure_few(place, rows):
    """Measure the same with 1,000 rows."""
    await measure_start(place, rows, manifest="few.jsonl")


async def measure_rerun(place, rows):
    """Measure a run in which all rows are ready."""
    async with Sandbox() as sandbox, client(sandbox, place / "full.journal") as livepeer:
        await write_records(livepeer, place, rows)
        before, began, ended = peak_mib(), time.monotonic(), 0
        requests = len(sandbox.requests)
        async with ingest(livepeer, place / "all.jsonl") as running:
            async for event in running:
                ended += getattr(event, "is_earlier", False)
        seconds = time.monotonic() - began
        requests = len(sandbox.requests) - requests
    print(
        f"rerun: {ended} ready rows in {seconds:.2f} s ({ended / seconds:,.0f} rows/s), "
        f"{requests} requests, peak {peak_mib() - before:.1f} MiB above an idle client"
    )


async def measure_journal(place, rows):
    """Measure leases and writes in a journal that holds all rows."""
    async with Sandbox() as sandbox, client(sandbox, place / "journal.journal") as livepeer:
        await write_records(livepeer, place, rows)
        journal, times = livepeer.journal, 2000
        record = record_of(place, "new")
        began = time.monotonic()
        for number in range(times):
            async with journal.acquire(f"new {number}"):
                pass
        leases = times / (time.monotonic() - began)
        began = time.monotonic()
        for _ in range(times):
            await journal.write(record)
        writes = times / (time.monotonic() - began)
    print(f"journal with {rows} records: {writes:,.0f} writes/s, {leases:,.0f} leases/s")


async def write_records(livepeer, place, rows):
    """Write the records of all rows directly into the database."""
    journal = livepeer.journal.path
    await livepeer.journal.aclose()
    with closing(sqlite3.connect(journal)) as connection, connection:
        for number in range(rows):
            record = record_of(place, f"{number // FOLDER:04}/{number:06}.mp4")
            row = record.key, record.state, msgspec.json.encode(record)
            connection.execute("INSERT INTO records VALUES (?, ?, ?)", row)
    await livepeer.journal.open()


def record_of(place, path):
    """Create the record of a ready file."""
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
    """Create a client with a journal."""
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
