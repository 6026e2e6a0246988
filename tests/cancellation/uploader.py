"""A program that uploads a file until it is interrupted, and then says what it still holds."""

import asyncio
import json
import signal
import sys
import time

from livepeer_async import AsyncLivepeer, Timeouts
from livepeer_async.uploads import asset_requests, uploader
from support.constants import FAST_RETRY
from support.sandbox import SMALL_LIMITS


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(told, path, api_key, base_url):
    async with AsyncLivepeer(
        api_key,
        base_url=base_url,
        retry=FAST_RETRY,
        upload_limits=SMALL_LIMITS,
        timeout=Timeouts(stall=1000, answer=1000),
    ) as livepeer:
        say("begin")
        try:
            async with livepeer.begin_upload(path, "interrupted") as upload:
                told["asset_id"] = upload.asset.id
                try:
                    await asyncio.Event().wait()
                finally:
                    told["upload_url"] = upload.upload_url
        finally:
            told["tasks"] = len(asyncio.all_tasks() - {asyncio.current_task()})
    told["is_closed"] = True


if __name__ == "__main__":
    # Whoever started the tests in the background may have left SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # An upload that was cancelled may be given back as late as a busy machine wants.
    asset_requests.TICKET_TIMEOUT = asset_requests.GIVE_BACK_TIMEOUT = (
        uploader.CANCELLED_TIMEOUT
    ) = 20.0
    told = {"asset_id": None, "upload_url": None}
    try:
        asyncio.run(main(told, *sys.argv[1:]))
    except KeyboardInterrupt:
        told["interrupted"] = True
    told["ended_at"] = time.monotonic()
    say(json.dumps(told))
