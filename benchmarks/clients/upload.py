"""Uploads a file, or the files of a folder, with `AsyncLivepeer`.

    python upload.py BASE_URL FILE|FOLDER [CONCURRENCY] [ready|uploaded]

CONCURRENCY is a number, or `adaptive`.
"""

import asyncio
import sys
import time
from pathlib import Path

from process import peak_mib, report

from livepeer_async import AsyncLivepeer


async def main(base_url, path, concurrency="adaptive", until="ready"):
    """Upload, and report the seconds and the memory."""
    number = None if concurrency == "adaptive" else int(concurrency)
    async with AsyncLivepeer("key", base_url=base_url) as livepeer:
        await livepeer.request("GET", "/task")
        idle, began = peak_mib(), time.perf_counter()
        if Path(path).is_dir():
            await upload_all(livepeer, path, number, until)
        else:
            await livepeer.upload(path, wait=until == "ready")
        report(seconds=time.perf_counter() - began, memory=peak_mib() - idle)


async def upload_all(livepeer, folder, concurrency, until):
    """Upload the files of a folder concurrently."""
    paths, wait = sorted(Path(folder).iterdir()), until == "ready"
    async with livepeer.upload_many(paths, concurrency=concurrency, wait=wait) as results:
        async for result in results:
            result.unwrap()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
