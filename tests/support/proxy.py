"""TCP proxies with scripted faults, in front of a server on the loopback interface."""

import asyncio
import math
import re
import socket
import struct
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from support.servers import listen

BLOCK = 16 * 1024
CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")


class TcpProxy:
    """Forwards connections to a port.

    Attributes:
        port: The proxy's own port.
        connections: The number of connections accepted.
    """

    # SO_RCVBUF of accepted connections, in bytes; None for the system's default.
    receive_buffer = None

    def __init__(self, target):
        self.target = target
        self.port = 0
        self.connections = 0

    async def handle(self, reader, writer):
        self.connections += 1
        upstream = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await self.forward((reader, writer), upstream)
        finally:
            writer.close()
            upstream[1].close()

    async def forward(self, client, upstream):
        """Forward both directions until the connection ends."""
        raise NotImplementedError

    async def aclose(self):
        """Cancel work that outlives its connection."""


@asynccontextmanager
async def run_proxy(proxy):
    """Accept connections for a proxy on a free port."""
    sock = socket.create_server(("127.0.0.1", 0))
    if proxy.receive_buffer is not None:
        # Accepted sockets inherit it: a sender must wait for what the proxy doesn't forward yet.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, proxy.receive_buffer)
    try:
        async with listen(proxy.handle, sock=sock) as proxy.port:
            yield proxy
    finally:
        await proxy.aclose()


def abort(*writers, reset):
    """Close connections at once: by RST, which drops bytes in flight, or by FIN."""
    for writer in writers:
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


async def copy(reader, writer, limit=None):
    """Copy bytes up to the end or a limit; return whether the limit was reached."""
    copied = 0
    try:
        while block := await reader.read(BLOCK):
            copied += len(block)
            writer.write(block)
            await writer.drain()
            if limit is not None and copied >= limit:
                return True
        writer.write_eof()
    except OSError:
        pass
    return False


class CuttingProxy(TcpProxy):
    """Cuts each connection after a number of bytes from the client.

    Args:
        target: The server's port.
        cuts: The number for each connection in order; None, or the end of the list, for no cut.
        reset: Whether to cut by RST instead of FIN.
    """

    def __init__(self, target, cuts=(), *, reset=True):
        super().__init__(target)
        self.cuts = list(cuts)
        self.reset = reset

    async def forward(self, client, upstream):
        limit = self.cuts.pop(0) if self.cuts else None
        responses = asyncio.create_task(copy(upstream[0], client[1]))
        try:
            if await copy(client[0], upstream[1], limit):
                abort(client[1], upstream[1], reset=self.reset)
            await responses
        finally:
            responses.cancel()


class FaultKind(StrEnum):
    """What happens to a request."""

    RST = "cut in the body by RST"
    FIN = "cut in the body by FIN"
    # The server processes a body that it has received in full, without a client.
    NO_CLIENT = "cut between body and response"
    RESPONSE_LOST = "response lost at its first byte"


@dataclass(frozen=True)
class RequestFault:
    """A fault; for a cut in the body, `part` of it from 0 to 1 is forwarded."""

    kind: FaultKind
    part: float

    def forwarded(self, size):
        """Count the bytes of a body that are forwarded; a cut in it loses at least one."""
        if self.kind in {FaultKind.RST, FaultKind.FIN}:
            return min(int(self.part * size), size - 1)
        return size


class RequestFaultProxy(TcpProxy):
    """Applies faults to the requests of one method, in order.

    Args:
        target: The server's port.
        faults: The fault for each request; None for none.
        method: The method of these requests.

    Attributes:
        requests: The methods of all requests.
        bodies: The lengths of the bodies that were announced.
        applied: The number of faults by kind.
        sent: The bytes of all bodies that were forwarded.
    """

    def __init__(self, target, faults=(), *, method="PATCH"):
        super().__init__(target)
        self.faults = list(faults)
        self.method = method
        self.requests = []
        self.bodies = []
        self.applied = Counter()
        self.sent = 0

    async def forward(self, client, upstream):
        # `drain` waits until the kernel has everything: a cut would lose what counts as forwarded.
        upstream[1].transport.set_write_buffer_limits(high=0)
        losing = asyncio.Event()
        responses = asyncio.create_task(self._forward_responses(upstream[0], client[1], losing))
        try:
            while (fault := await self._forward_request(client[0], upstream[1], losing)) is None:
                pass
            self.applied[fault.kind] += 1
            abort(client[1], upstream[1], reset=fault.kind is FaultKind.RST)
        finally:
            responses.cancel()

    async def _forward_request(self, reader, writer, losing):
        """Forward a request up to its fault; return the fault that cuts the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        found = CONTENT_LENGTH.search(head)
        size = int(found[1]) if found else 0
        method = head.split(b" ", 1)[0].decode()
        self.requests.append(method)
        self.bodies.append(size)
        fault = self.faults.pop(0) if method == self.method and self.faults else None
        if fault is not None and fault.kind is FaultKind.RESPONSE_LOST:
            losing.set()
        writer.write(head)
        left = size if fault is None else fault.forwarded(size)
        while left:
            block = await reader.read(min(BLOCK, left))
            if not block:
                raise ConnectionResetError
            writer.write(block)
            await writer.drain()
            left -= len(block)
            self.sent += len(block)
        await writer.drain()
        return None if losing.is_set() else fault

    async def _forward_responses(self, reader, writer, losing):
        try:
            while block := await reader.read(BLOCK):
                if losing.is_set():
                    self.applied[FaultKind.RESPONSE_LOST] += 1
                    abort(writer, reset=False)
                    return
                writer.write(block)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.transport.abort()


class Pacer:
    """Schedules bytes at a rate in bytes per second."""

    def __init__(self, rate):
        self.rate = rate
        self.due = 0.0

    def schedule(self, count, now):
        """Return the time at which `count` more bytes have passed."""
        self.due = max(now, self.due) + count / self.rate
        return self.due


class ThrottledProxy(TcpProxy):
    """Simulates a link with a rate and a round-trip time.

    Args:
        target: The server's port.
        rate: Bytes per second from the client, of all connections together.
        connection_rate: Bytes per second from the client, of each connection.
        round_trip: Seconds to the server and back.

    Attributes:
        forwarded: Bytes from the client so far.
        open: The number of open connections.
    """

    receive_buffer = 64 * 1024

    def __init__(self, target, *, rate, connection_rate=math.inf, round_trip=0.0):
        super().__init__(target)
        self.forwarded = 0
        self.open = 0
        self._pacer = Pacer(rate)
        self._connection_rate = connection_rate
        self._delay = round_trip / 2

    async def forward(self, client, upstream):
        self.open += 1
        # The handshake, which took no time on the loopback interface.
        await asyncio.sleep(self._delay * 2)
        pacers = (self._pacer, Pacer(self._connection_rate))
        copies = [
            asyncio.create_task(self._copy(client[0], upstream[1], pacers)),
            asyncio.create_task(self._copy(upstream[0], client[1], ())),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.open -= 1
            for task in copies:
                task.cancel()

    async def _copy(self, reader, writer, pacers):
        """Copy blocks; each arrives half a round trip after it has passed the pacers."""
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue(64)
        delivery = asyncio.create_task(deliver(queue, writer))
        try:
            while True:
                block = await reader.read(BLOCK)
                now = loop.time()
                when = max((pacer.schedule(len(block), now) for pacer in pacers), default=now)
                if pacers:
                    self.forwarded += len(block)
                    await asyncio.sleep(max(0.0, when - loop.time()))
                await queue.put((when + self._delay, block))
                if not block:
                    return await delivery
        except OSError:
            return None
        finally:
            delivery.cancel()


async def deliver(queue, writer):
    """Write the blocks of a queue, each at its time, until an empty one."""
    loop = asyncio.get_running_loop()
    while True:
        when, block = await queue.get()
        await asyncio.sleep(max(0.0, when - loop.time()))
        if not block:
            return
        writer.write(block)
        await writer.drain()


class BufferingProxy(TcpProxy):
    """Reads whole request bodies before it forwards them, slowly.

    nginx does so by default, and so do proxies that scan bodies: a client's socket has accepted the
    body long before the server has received its first byte.

    Args:
        target: The server's port.
        rate: Bytes per second of each request.
        gateway_timeout: Seconds after which a client gets a 504 while its request continues.
        max_body: The longest body; a longer one resets the connection.

    Attributes:
        bodies: The lengths of the bodies.
    """

    def __init__(self, target, *, rate, gateway_timeout=None, max_body=None):
        super().__init__(target)
        self.rate = rate
        self.gateway_timeout = gateway_timeout
        self.max_body = max_body
        self.bodies = []
        self._requests = set()

    async def handle(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = CONTENT_LENGTH.search(head)
            size = int(found[1]) if found else 0
            if self.max_body is not None and size > self.max_body:
                writer.transport.abort()
                return
            body = await reader.readexactly(size)
            self.bodies.append(size)
            request = asyncio.create_task(self._forward_request(head, body))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
            try:
                response = await asyncio.wait_for(asyncio.shield(request), self.gateway_timeout)
            except TimeoutError:
                response = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"
            writer.write(response)
            await writer.drain()

    async def _forward_request(self, head, body):
        """Forward a request, even if the client has disconnected."""
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

    async def aclose(self):
        """Cancel the requests that continue."""
        for request in list(self._requests):
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
