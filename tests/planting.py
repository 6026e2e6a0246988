"""A sandbox in which assets are planted that become ready at known times, by any clock."""

import time
from contextlib import asynccontextmanager

import anyio.lowlevel
import msgspec

from livepeer_async import errors
from livepeer_async.api.requests import check_account
from livepeer_async.api.session import Session
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import Transport
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.sandbox import Sandbox
from livepeer_async.sandbox.lifecycle import end_processing, plan_processing


class VirtualTime:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        # Whoever cancels the sleep does so before it begins.
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        self.now += max(0.0, seconds)


def garden(clock):
    """Make a sandbox whose seconds are those of `clock`."""
    sandbox, started = Sandbox(), time.time()
    settings = msgspec.structs.replace(sandbox._settings, clock=lambda: started + clock())  # noqa: SLF001 - no option of the sandbox sets its clock
    sandbox._settings = settings  # noqa: SLF001 - see above
    return sandbox


def plant(sandbox, *, ready_after, failure=None):
    """Make an asset that is `waiting`, and give its ID; it ends `ready_after` seconds from now."""
    studio = sandbox._state.studio  # noqa: SLF001 - a thousand uploads would take minutes
    user = studio.accounts.authenticate(f"Bearer {sandbox.api_key}")
    fields = {"name": "planted", "source": {"type": "directUpload"}}
    asset = studio.add_asset(user, "upload", fields, {})
    now = studio.now()
    steps = plan_processing(
        now, waiting=ready_after / 2, processing=ready_after / 2, failure=failure
    )
    asset.steps[:] = [*steps, end_processing(now + ready_after, failure)]
    return asset.id


def delete(sandbox, asset_id):
    """Delete an asset as somebody else would."""
    sandbox._state.studio.assets[asset_id].is_deleted = True  # noqa: SLF001 - as above


class Diary:
    """The way to the server, noting the virtual time of each request."""

    def __init__(self, transport, virtual):
        self.virtual = virtual
        self.times = []
        self.transport = transport

    async def send(self, request):
        self.times.append((self.virtual.now, request.url))
        return await self.transport.send(request)

    def busiest_second(self):
        times = [when for when, _ in self.times]
        return max(sum(1 for t in times if when <= t < when + 1 - 1e-9) for when in times)

    def lists(self):
        return [(when, url) for when, url in self.times if "/asset?" in url]

    def looks(self, asset_id):
        return [when for when, url in self.times if url.endswith(asset_id)]


class Scene:
    def __init__(self, virtual, sandbox, transport):
        self.virtual, self.sandbox = virtual, sandbox
        self.diary = Diary(transport, virtual)
        self.send, self.sleep = self.diary.send, virtual.sleep
        account = check_account(sandbox.base_url, sandbox.api_key)
        # `send` and `sleep` are found anew each time, so that a test may replace them.
        self.session = Session(account, self, retry=RetryPolicy())
        self.waiter = Waiter(
            self.session,
            sleep=self.rest,
            clock=virtual.clock,
            jitter=lambda: 0.5,
        )
        self.ended = {}

    async def rest(self, seconds):
        await self.sleep(seconds)

    def plant(self, *seconds):
        return [plant(self.sandbox, ready_after=second) for second in seconds]

    async def each(self, ids, timeout=1000.0):
        async for result in self.waiter.wait_each(ids, timeout=timeout):
            self.ended[result.asset_id] = (self.virtual.now, result.error)

    async def until(self, asset_id, timeout=1000.0, on_change=None):
        try:
            await self.waiter.wait_until(
                WatchedAsset(asset_id), is_ready, timeout=timeout, on_change=on_change
            )
        except errors.LivepeerError as error:
            self.ended[asset_id] = (self.virtual.now, error)
        else:
            self.ended[asset_id] = (self.virtual.now, None)


@asynccontextmanager
async def watched_garden():
    """Serve a garden whose assets a `Waiter` waits for in virtual time."""
    virtual = VirtualTime()
    async with garden(virtual.clock) as sandbox, Transport(timeouts=Timeouts()) as transport:
        yield Scene(virtual, sandbox, transport)
