"""A network in memory between a driver and a store, with a clock that only sleeping moves."""

import anyio
import anyio.lowlevel

from livepeer_async.errors import ConnectFailed, ConnectionBroken
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sources.source import BytesSource
from livepeer_async.tus import Driver, ServerLimits, TusUpload
from tus.servers import ENDPOINT, HOST, PlainStore, Unreached, serve

CONTENT = bytes(range(40))
LIMITS = ServerLimits(first_chunk=8, max_chunk=8)
LIVEPEER = ServerLimits(
    align=8,
    tail_alone=True,
    first_chunk=8,
    max_chunk=8,
    settle=1.0,
    with_creation=8,
    creates_once=True,
)
RETRY = RetryPolicy(attempts=3, first_delay=1.0, max_delay=8.0)


class Network:
    """Sends to a store, through faults in the order of the requests; sleeping only moves a clock.

    At the await number `cancel_at` it cancels `scope`, as a caller may at any time.
    """

    def __init__(self, store=None, faults=(), *, cancel_at=None):
        self.store = store or PlainStore()
        self.faults = list(faults)
        self.cancel_at = cancel_at
        self.scope = anyio.CancelScope()
        self.now = 0.0
        self.awaits = 0
        self.sleeps = []
        self.requests = []

    async def sleep(self, seconds):
        await self.checkpoint()
        self.sleeps.append(seconds)
        self.now += seconds

    async def send(self, request, *, blocks=None, largest=0):
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if isinstance(fault, Unreached):
            raise ConnectFailed("no connection")
        body = bytearray()
        if blocks is not None:
            async for block in blocks:
                await self.checkpoint()
                body += block
        await self.checkpoint()
        answer = serve(self.store, request, bytes(body), now=self.now, fault=fault)
        await self.checkpoint()
        if answer is None:
            raise ConnectionBroken("cut")
        return answer

    async def checkpoint(self):
        self.awaits += 1
        if self.awaits == self.cancel_at:
            self.scope.cancel()
        await anyio.lowlevel.checkpoint()

    def driver(self, upload, source, **more):
        return Driver(
            upload,
            source,
            self.send,
            **{"retry": RETRY, "sleep": self.sleep, "jitter": lambda: 1.0} | more,
        )

    def stored(self, upload):
        return self.store.stored(upload.upload_url.removeprefix(HOST))

    def methods(self):
        return [request.method for request in self.requests]


def upload_of(content=CONTENT, limits=LIMITS, **more):
    where = {} if "upload_url" in more else {"endpoint": ENDPOINT}
    return TusUpload(**{"length": len(content), "limits": limits} | where | more)


def source_of(content=CONTENT):
    return BytesSource(memoryview(content), "talk.mp4")


async def run(network, upload=None, source=None, **more):
    """Drive an upload to its end and give it."""
    upload = upload or upload_of()
    await network.driver(upload, source or source_of(), **more).run()
    return upload
