"""An in-memory network between a driver and a store, with a virtual clock."""

import anyio
import anyio.lowlevel

from livepeer_async.concurrency import Clock
from livepeer_async.errors import ConnectFailed, ConnectionBroken
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sources.source import BytesSource
from livepeer_async.tus import Callbacks, Driver, ServerLimits, TusUpload
from tus.servers import ENDPOINT, HOST, NotConnected, PlainStore, serve

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
    """Sends requests to a store, with one fault per request, in order.

    Sleeping moves a virtual clock. At the await number `cancel_at` it cancels `scope`.
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
        if isinstance(fault, NotConnected):
            raise ConnectFailed("no connection")
        body = bytearray()
        if blocks is not None:
            async for block in blocks:
                await self.checkpoint()
                body += block
        await self.checkpoint()
        response = serve(self.store, request, bytes(body), now=self.now, fault=fault)
        await self.checkpoint()
        if response is None:
            raise ConnectionBroken("cut")
        return response

    async def checkpoint(self):
        self.awaits += 1
        if self.awaits == self.cancel_at:
            self.scope.cancel()
        await anyio.lowlevel.checkpoint()

    def driver(self, upload, source, *, retry=RETRY, sleep=None, **callbacks):
        clock = Clock(lambda: self.now, sleep or self.sleep, lambda: 1.0)
        return Driver(
            upload, source, self.send, retry=retry, callbacks=Callbacks(**callbacks), clock=clock
        )

    def stored(self, upload):
        return self.store.stored(upload.upload_url.removeprefix(HOST))

    def methods(self):
        return [request.method for request in self.requests]


def upload_of(content=CONTENT, limits=LIMITS, **more):
    urls = {} if "upload_url" in more else {"endpoint": ENDPOINT}
    return TusUpload(**{"length": len(content), "limits": limits} | urls | more)


def source_of(content=CONTENT):
    return BytesSource(memoryview(content), "talk.mp4")


async def run(network, upload=None, source=None, **more):
    """Run an upload to its end and return it."""
    upload = upload or upload_of()
    await network.driver(upload, source or source_of(), **more).run()
    return upload
