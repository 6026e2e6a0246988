"""Closing the client during an upload: it ends with a typed error, and can be resumed."""

import asyncio

import anyio
import pytest

from livepeer_async import Timeouts, errors
from livepeer_async.sandbox import Answer, Fault, On, Stall
from livepeer_async.tus import TusClient
from support.constants import FAST_RETRY, TIMEOUT, VERY_LONG
from support.libraries import LIBRARIES
from support.resource_leaks import assert_no_leaks, no_asyncio_logs, settled, snapshot_resources
from support.sandbox import PART, SMALL_LIMITS, SMALL_S3, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
VIDEO = make_bytes(5 * PART + 1000)


class ClosedUpload:
    """An upload whose client is closed once a condition holds."""

    def __init__(self, sandbox, livepeer):
        self._sandbox = sandbox
        self._livepeer = livepeer
        self.upload = None
        self.error = None

    async def run(self, condition, close, *, lag=0.0):
        task = asyncio.create_task(self._upload())
        with anyio.fail_after(TIMEOUT):
            while not condition() and not task.done():  # noqa: ASYNC110 - the server's log has no event
                await anyio.sleep(0.001)
        await anyio.sleep(lag)
        with anyio.fail_after(TIMEOUT):
            await close()
        done, _ = await asyncio.wait([task], timeout=TIMEOUT)
        assert done
        self.error = task.result()

    async def _upload(self):
        try:
            async with self._livepeer.begin_upload(VIDEO, "x") as self.upload:
                pass
        except errors.LivepeerError as error:
            return error
        return None

    async def assert_resumable(self):
        """Resume each upload that the server still has."""
        await settled(lambda: all(seen.is_over for seen in self._sandbox.requests))
        for asset in self._sandbox.assets:
            if asset.is_deleted or asset.phase != "uploading":
                continue
            assert self.upload is not None
            assert self.upload.upload_url is not None
            async with TusClient(limits=SMALL_LIMITS, retry=FAST_RETRY) as tus:
                await tus.upload(VIDEO, upload_url=self.upload.upload_url)
            assert is_stored(self._sandbox, asset, VIDEO)


@pytest.mark.parametrize("number", [1, 3, 5, 7])
async def test_closing_at_any_request_leaves_a_resumable_upload(number):
    before = snapshot_resources()
    with no_asyncio_logs():
        async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
            closed = ClosedUpload(sandbox, livepeer)
            await closed.run(lambda: len(sandbox.requests) >= number, livepeer.aclose)
            await closed.assert_resumable()
        await assert_no_leaks(before)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@pytest.mark.parametrize("number", [1, 3, 5, 7])
async def test_closing_the_http_client_ends_the_upload(library, number):
    """Its asset can't be deleted any more, but the ID is known, or the error says that it isn't."""
    before = snapshot_resources()
    with no_asyncio_logs():
        http_client = library.AsyncClient()
        async with sandbox_and_client(client={"http_client": http_client}, **SMALL_S3) as served:
            closed = ClosedUpload(*served)
            await closed.run(lambda: len(served[0].requests) >= number, http_client.aclose)
            if closed.upload is None:
                assert isinstance(closed.error, errors.AmbiguousRequest)
            else:
                assert closed.upload.asset.id
        await assert_no_leaks(before)


HELD = {
    "delay before a retry": Fault(On(method="PATCH"), Answer(503, headers={"Retry-After": "600"})),
    "PATCH": Fault(On(method="PATCH"), Stall(VERY_LONG)),
    "response of the API": Fault(On(method="GET", path="/asset/"), Stall(VERY_LONG)),
}


@pytest.mark.parametrize("name", HELD)
async def test_closing_while_the_server_is_silent_ends_soon(name):
    fault = HELD[name]
    fault.fired = fault.seen = 0
    limits = {"timeout": Timeouts(stall=VERY_LONG, answer=VERY_LONG)}
    async with sandbox_and_client(fault, client=limits, **SMALL_S3) as (sandbox, livepeer):
        closed = ClosedUpload(sandbox, livepeer)
        await closed.run(lambda: fault.fired, livepeer.aclose, lag=0.2)
        assert isinstance(closed.error, errors.LivepeerError)
