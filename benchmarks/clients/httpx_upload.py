"""Uploads a file, or those of a folder at once, with plain httpx as its users write it.

python httpx_upload.py ORIGIN FILE|FOLDER
"""

import asyncio
import sys
from pathlib import Path

import aiofiles
import httpx
from process import BLOCK, Stopwatch, peak_mib, report


async def read_blocks(path):
    """Yield the blocks of a file."""
    async with aiofiles.open(path, "rb") as file:
        while block := await file.read(BLOCK):
            yield block


async def upload(client, origin, path):
    """Send a file in one request."""
    headers = {"Content-Length": str(Path(path).stat().st_size), "Upload-Offset": "0"}
    response = await client.patch(f"{origin}/discard", content=read_blocks(path), headers=headers)
    response.raise_for_status()


async def upload_all(client, origin, path):
    """Upload a file, or the files of a folder concurrently."""
    paths = list(Path(path).iterdir()) if Path(path).is_dir() else [path]
    await asyncio.gather(*(upload(client, origin, each) for each in paths))


async def main(origin, path):
    """Upload, and report the times and the memory."""
    async with httpx.AsyncClient(timeout=60) as client:
        (await client.get(f"{origin}/ping")).raise_for_status()
        idle, stopwatch = peak_mib(), Stopwatch()
        await upload_all(client, origin, path)
        report(**stopwatch.read(), memory=peak_mib() - idle)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
