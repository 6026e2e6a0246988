"""Hands out rows that cost a worker nothing, because their files are missing, and times it.

    python coordinator.py BASE_URL JOURNAL ROWS STEP

The scheduler runs in this process, as with `ingest --listen`, and the worker in another. Reports
the rows for each second and for each second of CPU, once they are handed out, and the resident set
in MiB above that of a coordinator without rows: after the check, after the first STEP rows, and
after the last.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from process import MIB, report

from livepeer_async import AsyncLivepeer
from livepeer_async.ingest import Checked, RowEnded, ingest
from livepeer_async.ingest.cluster import nodes

KEY = "key"


def resident_mib():
    """Return the resident set of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def start_worker(address, base_url, journal):
    """Start a worker; return its process."""
    command = [sys.executable, "-m", "livepeer_async", "worker", address.removeprefix("tcp://")]
    account = {"LIVEPEER_API_KEY": KEY, "LIVEPEER_BASE_URL": base_url, "LIVEPEER_JOURNAL": journal}
    return subprocess.Popen(command, env={**os.environ, **account}, stderr=subprocess.DEVNULL)


async def measure(livepeer, client, manifest, step):
    """Run the rows; return the figures."""
    found = {}
    idle, count = resident_mib(), 0
    began, used = time.perf_counter(), time.process_time()
    async with ingest(livepeer, manifest, cluster=client) as events:
        async for event in events:
            count += isinstance(event, RowEnded)
            if isinstance(event, Checked):
                found["checked"] = resident_mib() - idle
                began, used = time.perf_counter(), time.process_time()
            elif count == step and "first" not in found:
                found["first"] = resident_mib() - idle
    found["last"] = resident_mib() - idle
    found["rows_wall"] = count / (time.perf_counter() - began)
    found["rows_cpu"] = count / (time.process_time() - used)
    return found


async def main(base_url, journal, rows, step):
    """Write the manifest, and run it with one worker."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "rows.jsonl"
        with manifest.open("w") as file:
            file.writelines(f'{{"path": "missing/{number}.mp4"}}\n' for number in range(rows))
        async with (
            AsyncLivepeer(KEY, base_url=base_url, journal=journal) as livepeer,
            nodes.listen("127.0.0.1", 0, None) as address,
            nodes.connect(address, None) as client,
        ):
            worker = start_worker(address, base_url, journal)
            try:
                await client.wait_for_workers(1)
                report(**await measure(livepeer, client, manifest, step))
            finally:
                worker.kill()
                worker.wait()


if __name__ == "__main__":
    nodes.silence()
    arguments = sys.argv[1:]
    asyncio.run(main(*arguments[:2], *map(int, arguments[2:])))
