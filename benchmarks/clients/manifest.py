"""Ingests a folder until its first upload starts, then again with records that all are ready.

    python manifest.py BASE_URL FOLDER JOURNAL

Reports the seconds until the first upload, the memory above that of an idle client, and the ready
rows for each second of CPU.
"""

import asyncio
import sys
import time
from pathlib import Path

from process import peak_mib, report
from records import fill, make_record

from livepeer_async import AsyncLivepeer
from livepeer_async.ingest import RowEnded, RowStarted, ingest


async def measure_first(livepeer, folder):
    """Return the seconds until the first upload starts."""
    began = time.perf_counter()
    async with ingest(livepeer, folder) as events:
        async for event in events:
            if isinstance(event, RowStarted):
                return time.perf_counter() - began
    return None


async def measure_again(livepeer, folder):
    """Return the ready rows for each second of CPU."""
    began, rows = time.process_time(), 0
    async with ingest(livepeer, folder) as events:
        async for event in events:
            rows += isinstance(event, RowEnded) and event.is_earlier
    return rows / (time.process_time() - began)


async def main(base_url, folder, journal):
    """Measure without records, then with them."""
    files = list(Path(folder).resolve().iterdir())
    records = (make_record(str(file), file.stat()) for file in files)
    async with AsyncLivepeer("key", base_url=base_url) as livepeer:
        await livepeer.request("GET", "/task")
        idle = peak_mib()
        first = await measure_first(livepeer, folder)
        memory = peak_mib() - idle
    async with AsyncLivepeer("key", base_url=base_url, journal=journal):
        pass  # creates the journal
    fill(journal, records)
    async with AsyncLivepeer("key", base_url=base_url, journal=journal) as livepeer:
        again = await measure_again(livepeer, folder)
    report(first=first, memory=memory, again=again)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
