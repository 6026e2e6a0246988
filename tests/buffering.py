"""A proxy that takes whole request bodies before it passes them on, slowly.

nginx does so by default, and so do proxies that scan what they carry. The client's socket has
accepted the body long before the server has seen its first byte.
"""

import asyncio
import re
from contextlib import asynccontextmanager

from listening import listening

BLOCK = 16 * 1024


class BufferingProxy:
    """Carries requests to a port, at so many bytes per second each.

    `gives_up_after` is the gateway's time limit in seconds: a client whose response takes longer
    gets a 504, while the request goes on. `longest` is the largest body that passes; a connection
    that sends a longer one is reset.
    """

    def __init__(self, port, *, rate, gives_up_after=None, longest=None):
        self.target = port
        self.rate = rate
        self.gives_up_after = gives_up_after
        self.longest = longest
        self.bodies = []
        self._carrying = set()

    async def talk(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            size = int(found[1]) if found else 0
            if self.longest is not None and size > self.longest:
                writer.transport.abort()
                return
            body = await reader.readexactly(size)
            self.bodies.append(size)
            carrying = asyncio.create_task(self.carry(head, body))
            self._carrying.add(carrying)
            carrying.add_done_callback(self._carrying.discard)
            try:
                response = await asyncio.wait_for(asyncio.shield(carrying), self.gives_up_after)
            except TimeoutError:
                response = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"
            writer.write(response)
            await writer.drain()

    async def carry(self, head, body):
        """Pass a request on; it isn't given up when the client is gone."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            for start in range(0, len(body), BLOCK):
                writer.write(body[start : start + BLOCK])
                await writer.drain()
                await asyncio.sleep(BLOCK / self.rate)
            return await reader.read()
        finally:
            writer.close()

    async def finish(self):
        """Cancel what is still being carried."""
        for carrying in list(self._carrying):
            carrying.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)


@asynccontextmanager
async def buffering(port, **options):
    proxy = BufferingProxy(port, **options)
    try:
        async with listening(proxy.talk) as proxy.port:
            yield proxy
    finally:
        await proxy.finish()
