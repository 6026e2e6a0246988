"""Uploads a file with aiotus, in chunks as long as our longest.

python aiotus_upload.py TUS_ENDPOINT FILE
"""

import asyncio
import sys
from pathlib import Path

import aiotus
from process import MIB


async def main(endpoint, path):
    """Upload the file."""
    with Path(path).open("rb") as file:
        if await aiotus.upload(endpoint, file, chunksize=64 * MIB) is None:
            sys.exit("the upload failed")


asyncio.run(main(*sys.argv[1:]))
