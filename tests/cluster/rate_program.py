"""A program that uploads an endless stream at a maximum rate, until it is killed."""

import asyncio
import sys
from types import SimpleNamespace

from support.constants import MIB
from support.sandbox import PART, client_for


async def stream():
    while True:
        yield bytes(PART)


async def main(api_key, base_url, name, max_rate, journal=None):
    account = SimpleNamespace(api_key=api_key, base_url=base_url)
    async with client_for(account, journal) as livepeer:
        livepeer.throttle.max_rate = float(max_rate)
        await livepeer.upload(stream(), name, length=1024 * MIB)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
