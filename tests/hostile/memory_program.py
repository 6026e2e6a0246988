"""A program that sends all kinds of requests to a server, and prints the growth of its memory."""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import quote

from livepeer_async import AsyncLivepeer, LivepeerError, Timeouts
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.tus import ServerLimits, TusClient

NO_RETRIES = RetryPolicy(attempts=0)
SHORT_TIMEOUTS = Timeouts(connect=0.5, stall=0.5, answer=0.5, chunk_response=0.5)


def peak_kib():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise OSError("no VmHWM in /proc/self/status")


async def request_all(origin, name):
    url = f"{origin}/{quote(name)}"
    async with AsyncLivepeer(
        "key", base_url=url, timeout=SHORT_TIMEOUTS, retry=NO_RETRIES
    ) as livepeer:
        calls = (livepeer.assets.get("x"), anext(livepeer.assets.list()))
        kinds = [await kind_of_error(call) for call in calls]
    async with TusClient(timeouts=SHORT_TIMEOUTS, retry=NO_RETRIES, limits=ServerLimits()) as tus:
        kinds.append(await kind_of_error(tus.upload(b"video", url)))
    return kinds


async def kind_of_error(call):
    try:
        await call
    except LivepeerError as error:
        return type(error).__name__
    return None


async def main(origin, names):
    await request_all(origin, "honest")
    idle, kinds, grown = peak_kib(), {}, {}
    for name in names:
        before = peak_kib()
        kinds[name] = await request_all(origin, name)
        grown[name] = peak_kib() - before
    report = {"grown_kib": peak_kib() - idle, "by_name": grown, "kinds": kinds}
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
