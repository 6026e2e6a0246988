"""A program that uploads a stream without a key, until it is killed."""

import asyncio
import sys
from types import SimpleNamespace

from support.sandbox import PART, client_for, make_bytes

VIDEO = make_bytes(5 * PART + 99)


async def stream():
    for start in range(0, len(VIDEO), PART):
        yield VIDEO[start : start + PART]


async def main(api_key, base_url, journal):
    account = SimpleNamespace(api_key=api_key, base_url=base_url)
    async with client_for(account, journal) as livepeer:
        await livepeer.upload(stream(), "passed through", length=len(VIDEO))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
