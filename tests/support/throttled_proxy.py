"""A program that runs a `ThrottledProxy` until its stdin ends.

    python throttled_proxy.py PORT BYTES_PER_SECOND [ROUND_TRIP_SECONDS]

It prints its own port as one line of JSON.
"""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.proxy import ThrottledProxy, run_proxy


async def main(port, rate, round_trip="0"):
    proxy = ThrottledProxy(int(port), rate=float(rate), round_trip=float(round_trip))
    async with run_proxy(proxy):
        sys.stdout.write(json.dumps({"port": proxy.port}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
