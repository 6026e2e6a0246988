"""Visitors of the application, which send a body each at the same time.

python visitors.py PORT COUNT MIB
"""

import asyncio
import sys

from process import MIB


async def visit(port, mib):
    """Send a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"PUT /raw HTTP/1.1\r\nHost: x\r\nContent-Length: {mib * MIB}\r\n\r\n"
    writer.write(head.encode())
    for _ in range(mib):
        writer.write(bytes(MIB))
        await writer.drain()
    line = await reader.readline()
    if b" 200 " not in line:
        sys.exit(f"the response is {line!r}; wanted a success")
    writer.close()


async def main(port, count, mib):
    """Send all bodies."""
    await asyncio.gather(*(visit(port, mib) for _ in range(count)))


asyncio.run(main(*map(int, sys.argv[1:])))
