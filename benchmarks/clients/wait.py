"""Waits for assets, whose IDs are the lines of a file.

python wait.py API_KEY BASE_URL FILE
"""

import asyncio
import sys
from pathlib import Path

from livepeer_async import AsyncLivepeer


async def main(key, base_url, path):
    """Wait for all."""
    async with AsyncLivepeer(key, base_url=base_url) as livepeer:
        asset_ids = Path(path).read_text().split()
        async for result in livepeer.assets.wait_many(asset_ids, timeout=200):
            if result.error is not None:
                raise result.error


asyncio.run(main(*sys.argv[1:]))
