"""Carry connections to a port of 127.0.0.1, at a rate that all of them share, until stdin ends.

    python throttle.py PORT BYTES_PER_SECOND

It says where it listens in one line of JSON on stdout. Only what is sent to the port is throttled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time

BLOCK = 16 * 1024


class Throttle:
    """Lets bytes pass one after the other, whichever connection they belong to."""

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._busy_until = 0.0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(_pump(there[0], writer))
        with contextlib.suppress(OSError):
            while block := await reader.read(BLOCK):
                await self._wait(len(block))
                there[1].write(block)
                await there[1].drain()
            there[1].write_eof()
        await back
        for end in (writer, there[1]):
            end.close()

    async def _wait(self, count: int) -> None:
        now = time.monotonic()
        self._busy_until = max(now, self._busy_until) + count / self._rate
        await asyncio.sleep(self._busy_until - now)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(BLOCK):
            writer.write(block)
            await writer.drain()
        writer.write_eof()


async def main(port: int, rate: float) -> None:
    server = await asyncio.start_server(Throttle(port, rate).carry, "127.0.0.1", 0)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
