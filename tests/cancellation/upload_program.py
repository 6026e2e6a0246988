"""A program that uploads a file until SIGINT, and prints as JSON what it still holds."""

import asyncio
import json
import signal
import sys
import time

from livepeer_async import AsyncLivepeer, Timeouts
from livepeer_async.uploads import asset_requests
from support.constants import FAST_RETRY
from support.sandbox import SMALL_LIMITS


def write_line(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(report, path, api_key, base_url):
    async with AsyncLivepeer(
        api_key,
        base_url=base_url,
        retry=FAST_RETRY,
        upload_limits=SMALL_LIMITS,
        timeout=Timeouts(stall=1000, answer=1000),
    ) as livepeer:
        write_line("begin")
        upload = None
        try:
            async with livepeer.begin_upload(path, "interrupted") as upload:
                report["asset_id"] = upload.asset.id
                await asyncio.Event().wait()
        finally:
            # The response to its creation may arrive while the block ends.
            report["upload_url"] = upload and upload.upload_url
            report["tasks"] = len(asyncio.all_tasks() - {asyncio.current_task()})
    report["is_closed"] = True


if __name__ == "__main__":
    # SIGINT is ignored if the tests run in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # On a busy machine the clean-up of a cancelled upload may take long.
    for name in ("TICKET_TIMEOUT", "TICKET_DISCARD_TIMEOUT", "CANCELLED_TIMEOUT"):
        setattr(asset_requests, name, 20.0)
    report = {"asset_id": None, "upload_url": None}
    try:
        asyncio.run(main(report, *sys.argv[1:]))
    except KeyboardInterrupt:
        report["interrupted"] = True
    report["ended_at"] = time.monotonic()
    write_line(json.dumps(report))
