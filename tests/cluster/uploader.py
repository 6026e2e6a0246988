"""A program that wants files all the time until they are ready.

    python uploader.py JOURNAL BYTES_PER_SECOND FILE...

It prints a line of JSON for each file, and on standard error each new error.
"""

import asyncio
import json
import sys
import time

from livepeer_async import AsyncLivepeer, UploadJob

PAUSE_SECONDS = 0.2


async def upload(livepeer, rate, path):
    before = None
    while True:
        job = UploadJob(path, key=path)
        async with livepeer.upload_many([job], max_rate=rate) as outcomes:
            (outcome,) = [outcome async for outcome in outcomes]
        error = outcome.error
        if error is None:
            sys.stdout.write(json.dumps({"key": path, "asset_id": outcome.asset.id}) + "\n")
            sys.stdout.flush()
            return
        if type(error) is not before:
            before = type(error)
            sys.stderr.write(f"{time.monotonic():.2f} {before.__name__}: {error}\n")
            sys.stderr.flush()
        await asyncio.sleep(PAUSE_SECONDS)


async def main(journal, rate, *paths):
    async with AsyncLivepeer(journal=journal) as livepeer, asyncio.TaskGroup() as tasks:
        for path in paths:
            tasks.create_task(upload(livepeer, float(rate), path))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
