"""A program that starts uploads in the background, and waits until it is killed."""

import asyncio
import sys

from livepeer_async import AsyncLivepeer, NewAsset
from support.constants import FAST_RETRY
from support.sandbox import SMALL_LIMITS


async def main(api_key, base_url, journal, *paths):
    options = {"retry": FAST_RETRY, "upload_limits": SMALL_LIMITS, "journal": journal}
    async with AsyncLivepeer(api_key, base_url=base_url, **options) as livepeer:
        for path in paths:
            await livepeer.start_upload(path, NewAsset(path, creator_id="c"))
        sys.stdout.write("started\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
