"""Uploads the files of a folder at once with `TusClient`, in chunks as for Livepeer.

    python tus_upload.py ORIGIN FOLDER

Without the API, the end of the call is the end of the transfer: `AsyncLivepeer` would look at the
assets once a second.
"""

import asyncio
import sys
from pathlib import Path

from process import Stopwatch, report

from livepeer_async.tus import TusClient, livepeer_limits


async def upload_all(origin, folder, measured):
    """Open a client, and await `measured(uploads)` with the uploads of all files."""
    paths = sorted(Path(folder).iterdir())
    limits = livepeer_limits(paths[0].stat().st_size)
    endpoint = f"{origin}/api/asset/upload/tus"
    async with TusClient(limits=limits) as tus:
        await tus.discover(endpoint)
        uploads = asyncio.gather(*(tus.upload(path, endpoint) for path in paths))
        await measured(uploads)


async def main(origin, folder):
    """Upload, and report the times."""

    async def measured(uploads):
        stopwatch = Stopwatch()
        await uploads
        report(**stopwatch.read())

    await upload_all(origin, folder, measured)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
