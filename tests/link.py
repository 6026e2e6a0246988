"""A loopback link with a round-trip time, a rate in total and a rate for each connection."""

import asyncio
import socket
from contextlib import asynccontextmanager

BLOCK = 16 * 1024
# The link's own queue; what is beyond it waits with the sender.
BUFFER = 64 * 1024


class Bucket:
    """Lets so many bytes per second through."""

    def __init__(self, rate):
        self.rate = rate
        self.due = 0.0

    def reserve(self, count, now):
        self.due = max(now, self.due) + count / self.rate
        return self.due


class Link:
    """Carries connections to a port.

    Args:
        target: the port.
        rate: bytes per second from the client, of all connections together.
        connection_rate: bytes per second of each.
        round_trip: seconds there and back.
    """

    def __init__(self, target, *, rate, connection_rate, round_trip):
        self.target = target
        self.port = 0
        self.carried = 0
        self.open = 0
        self._line = Bucket(rate)
        self._connection_rate = connection_rate
        self._delay = round_trip / 2

    async def carry(self, reader, writer):
        self.open += 1
        # The handshake: here it took no time.
        await asyncio.sleep(self._delay * 2)
        there = await asyncio.open_connection("127.0.0.1", self.target, limit=BUFFER)
        out = asyncio.create_task(self._pump(reader, there[1], Bucket(self._connection_rate)))
        back = asyncio.create_task(self._pump(there[0], writer, None))
        try:
            await asyncio.wait([out, back], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the test is over, and nobody waits for this task
        finally:
            self.open -= 1
            for task in (out, back):
                task.cancel()
            for end in (writer, there[1]):
                end.close()

    async def _pump(self, reader, writer, bucket):
        """Carry blocks, each as long after it was read as the link is long."""
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue(64)

        async def deliver():
            while True:
                when, block = await queue.get()
                await asyncio.sleep(max(0.0, when - loop.time()))
                if not block:
                    return
                writer.write(block)
                await writer.drain()

        delivering = asyncio.create_task(deliver())
        try:
            while True:
                block = await reader.read(BLOCK)
                when = loop.time()
                if bucket is not None:
                    when = max(
                        self._line.reserve(len(block), when), bucket.reserve(len(block), when)
                    )
                    self.carried += len(block)
                    await asyncio.sleep(max(0.0, when - loop.time()))
                await queue.put((when + self._delay, block))
                if not block:
                    return await delivering
        except (ConnectionError, OSError):
            return None
        finally:
            delivering.cancel()


@asynccontextmanager
async def linked(target, **options):
    link = Link(target, **options)
    sock = socket.create_server(("127.0.0.1", 0))
    # Accepted sockets inherit it: what the link can't carry has to wait with the sender.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    server = await asyncio.start_server(link.carry, sock=sock, limit=BUFFER)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
