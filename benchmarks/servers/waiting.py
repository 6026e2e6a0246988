"""A sandbox whose assets become ready at random times.

    python waiting.py FILE ASSETS SECONDS SEED

It writes the IDs to FILE, and prints its API key and URL as one line of JSON. A line on stdin makes
it print the number of requests, and end.
"""

import asyncio
import json
import random
import sys
from pathlib import Path

from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Sandbox


async def main(path, assets, seconds, seed):
    """Serve until stdin has a line."""
    async with Sandbox() as sandbox:
        async with AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer:
            names = map(str, range(int(assets)))
            tickets = [await livepeer.assets.request_upload(name) for name in names]
        asset_ids = [ticket.asset.id for ticket in tickets]
        for asset_id in asset_ids:
            sandbox.finish(asset_id, "processing")
        Path(path).write_text("\n".join(asset_ids))
        earlier = len(sandbox.requests)
        print(json.dumps({"key": sandbox.api_key, "url": sandbox.base_url}), flush=True)
        finishing = asyncio.create_task(finish_all(sandbox, asset_ids, float(seconds), int(seed)))
        await asyncio.to_thread(sys.stdin.readline)
        finishing.cancel()
        print(json.dumps({"requests": len(sandbox.requests) - earlier}), flush=True)


async def finish_all(sandbox, asset_ids, seconds, seed):
    """Finish all assets at random times."""
    chance, loop = random.Random(seed), asyncio.get_running_loop()
    began = loop.time()
    due = sorted((chance.uniform(0, seconds), asset_id) for asset_id in asset_ids)
    for after, asset_id in due:
        await asyncio.sleep(max(0.0, began + after - loop.time()))
        sandbox.finish(asset_id, "ready")


asyncio.run(main(*sys.argv[1:]))
