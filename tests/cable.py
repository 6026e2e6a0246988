"""A loopback cable between a client and a server that can be pulled in the middle of a byte."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

from listening import listening

BLOCK = 16 * 1024


class Cable:
    """Carries connections to a port; each may be cut after so many bytes from the client.

    `cuts` lists what happens to the connections to come, in their order: bytes after which the
    connection is cut, or `None` to leave it alone. Connections beyond the list are left alone.
    """

    def __init__(self, port, cuts=(), *, is_rst=True):
        self.target = port
        self.cuts = list(cuts)
        self.is_rst = is_rst
        self.port = 0
        self.connections = 0

    async def carry(self, reader, writer):
        self.connections += 1
        limit = self.cuts.pop(0) if self.cuts else None
        there = await asyncio.open_connection("127.0.0.1", self.target)
        back = asyncio.create_task(pump(there[0], writer, None))
        try:
            if await pump(reader, there[1], limit):
                cut(writer, there[1], is_rst=self.is_rst)
            await back
        finally:
            back.cancel()
            for end in (writer, there[1]):
                end.close()


def cut(*writers, is_rst):
    """End connections at once: by RST, which throws away what is on its way, or by FIN."""
    for writer in writers:
        if is_rst:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


async def pump(reader, writer, limit):
    """Carry bytes until the end or the limit; say whether it was the limit."""
    carried = 0
    try:
        while block := await reader.read(BLOCK):
            carried += len(block)
            writer.write(block)
            await writer.drain()
            if limit is not None and carried >= limit:
                return True
        writer.write_eof()
    except (ConnectionError, OSError):
        pass
    return False


@asynccontextmanager
async def cable(port, cuts=(), *, is_rst=True):
    async with plugged(Cable(port, cuts, is_rst=is_rst)) as carrying:
        yield carrying


@asynccontextmanager
async def plugged(carrying):
    """Let a cable carry what comes to a port of its own, until the block ends."""
    async with listening(carrying.carry) as port:
        carrying.port = port
        yield carrying
