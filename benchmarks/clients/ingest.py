"""Ingests a folder with a journal; reports the CPU seconds without the start-up.

python ingest.py BASE_URL FOLDER JOURNAL
"""

import asyncio
import sys
import time

from process import report

from livepeer_async import AsyncLivepeer
from livepeer_async.ingest import RowEnded, ingest


async def main(base_url, folder, journal):
    """Ingest the folder."""
    async with AsyncLivepeer("key", base_url=base_url, journal=journal) as livepeer:
        await livepeer.request("GET", "/task")
        began = time.process_time()
        async with ingest(livepeer, folder) as events:
            async for event in events:
                if isinstance(event, RowEnded) and event.error is not None:
                    raise event.error
        report(cpu=time.process_time() - began)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
