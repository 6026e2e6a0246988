"""A sandbox and a waiter in virtual time; assets become ready at chosen times."""

import time
from contextlib import asynccontextmanager

from livepeer_async import errors
from livepeer_async.api.calls import check_account
from livepeer_async.api.session import Session
from livepeer_async.concurrency import Clock
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import Transport
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.waiter import Waiter
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.sandbox import FailProcessing, Sandbox
from livepeer_async.sandbox.lifecycle import make_final_step, plan_processing
from support.clock import VirtualClock


def sandbox_with_clock(clock, *faults):
    """Create a sandbox whose time is that of `clock`."""
    started = time.time()
    return Sandbox(clock=lambda: started + clock(), faults=faults)


def add_asset(sandbox, *, ready_after, failure=None):
    """Add an asset in phase `waiting` that ends after `ready_after` seconds; return its ID."""
    state = sandbox._server  # noqa: SLF001 - a thousand uploads would take minutes
    user = state.accounts.authenticate(f"Bearer {sandbox.api_key}")
    fields = {"name": "added", "source": {"type": "directUpload"}}
    asset = state.add_asset(user, "upload", fields, {})
    now = state.now()
    steps = plan_processing(
        now, waiting=ready_after / 2, processing=ready_after / 2, failure=failure
    )
    asset.steps[:] = [*steps, make_final_step(now + ready_after, failure)]
    return asset.id


def delete_asset(sandbox, asset_id):
    """Delete an asset as another client would."""
    sandbox._server.assets[asset_id].is_deleted = True  # noqa: SLF001 - as above


class RecordingTransport:
    """A transport that records the virtual time of each request."""

    def __init__(self, transport, clock):
        self.clock = clock
        self.requests = []
        self.transport = transport

    async def send(self, request):
        self.requests.append((self.clock.now, request.url))
        return await self.transport.send(request)

    def busiest_second(self):
        """Count the requests of the second that has the most."""
        times = [when for when, _ in self.requests]
        return max(sum(1 for t in times if when <= t < when + 1 - 1e-9) for when in times)

    def lists(self):
        """List the requests for lists of assets, with their times."""
        return [(when, url) for when, url in self.requests if "/asset?" in url]

    def polls(self, asset_id):
        """List the times of the requests for one asset."""
        return [when for when, url in self.requests if url.endswith(asset_id)]


class WaiterHarness:
    """A waiter in virtual time.

    Attributes:
        ended: For each asset the time at which its wait ended, and the error or None.
    """

    def __init__(self, clock, sandbox, transport):
        self.clock, self.sandbox = clock, sandbox
        self.log = RecordingTransport(transport, clock)
        # Looked up for each call: a test may replace them.
        self.send, self.sleep = self.log.send, clock.sleep
        account = check_account(sandbox.base_url, sandbox.api_key)
        self.session = Session(account, self, retry=RetryPolicy())
        self.waiter = Waiter(
            self.session,
            clock=Clock(
                now=clock,
                sleep=lambda seconds: self.sleep(seconds),  # noqa: PLW0108 - late binding
                random=lambda: 0.5,
            ),
        )
        self.ended = {}

    def add_assets(self, *seconds):
        return [add_asset(self.sandbox, ready_after=second) for second in seconds]

    def add_failed_assets(self, count):
        failure = FailProcessing("internal error processing file")
        return [add_asset(self.sandbox, ready_after=0, failure=failure) for _ in range(count)]

    def retry(self, *ids, seconds):
        """Process failed assets again, which then are ready after some seconds."""
        state = self.sandbox._server  # noqa: SLF001 - virtual time
        now = state.now()
        for asset_id in ids:
            asset = state.assets[asset_id]
            failed = asset.status(now)
            asset.steps += plan_processing(now, waiting=0, processing=seconds, retried=failed)
            asset.steps.append(make_final_step(now + seconds, None))

    async def wait_many(self, ids, timeout=1000.0):
        async for result in self.waiter.wait_each(ids, timeout=timeout):
            self.ended[result.asset_id] = (self.clock.now, result.error)

    async def wait(self, asset_id, timeout=1000.0, on_change=None):
        error = None
        try:
            await self.waiter.wait_until(
                WatchedAsset(asset_id), is_ready, timeout=timeout, on_change=on_change
            )
        except errors.LivepeerError as caught:
            error = caught
        self.ended[asset_id] = (self.clock.now, error)


@asynccontextmanager
async def virtual_waiter(*faults):
    """Run a sandbox and a waiter on one virtual clock."""
    clock = VirtualClock()
    opening = sandbox_with_clock(clock, *faults)
    async with opening as sandbox, Transport(timeouts=Timeouts()) as transport:
        yield WaiterHarness(clock, sandbox, transport)
