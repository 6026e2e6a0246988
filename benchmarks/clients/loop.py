"""Measures the event loop beside uploads: a ticker of 200 Hz, and a trivial HTTP handler.

    python loop.py ours|httpx ORIGIN FOLDER PORT

The handler listens on PORT while the uploads run; the runner measures its latency.
"""

import asyncio
import sys

import httpx
import httpx_upload
import tus_upload
from process import report

PERIOD = 1 / 200
PONG = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def percentile(values, part):
    """Return the value that a part of all values doesn't exceed."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


async def tick(late):
    """Record by how many seconds each tick is late; ticks that a busy loop misses count too."""
    loop = asyncio.get_running_loop()
    due = loop.time() + PERIOD
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        now = loop.time()
        while due <= now:
            late.append(now - due)
            due += PERIOD


async def respond(reader, writer):
    """Respond to each request."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(PONG)
        await writer.drain()


async def measured(uploads, port):
    """Await uploads beside the ticker and the handler; report the lateness."""
    late = []
    server = await asyncio.start_server(respond, "127.0.0.1", port)
    ticker = asyncio.create_task(tick(late))
    await uploads
    ticker.cancel()
    server.close()
    report(p50=1000 * percentile(late, 0.5), p99=1000 * percentile(late, 0.99))


async def main(side, origin, folder, port):
    """Open a client, and upload the files of a folder at once."""
    if side == "ours":
        await tus_upload.upload_all(origin, folder, lambda uploads: measured(uploads, int(port)))
        return
    async with httpx.AsyncClient(timeout=60) as client:
        (await client.get(f"{origin}/ping")).raise_for_status()
        await measured(httpx_upload.upload_all(client, origin, folder), int(port))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
