"""The client closed under its uploads: each ends soon, with a typed error, and can be resumed."""

import asyncio

import anyio
import pytest

from livepeer_async import Timeouts, errors
from livepeer_async.sandbox import Answer, Fault, On, Stall
from livepeer_async.tus import TusClient
from support.constants import FAST_RETRY
from support.leaks import assert_no_leaks, no_asyncio_logs, settled, snapshot_resources
from support.libraries import LIBRARIES
from support.sandbox import PART, SMALL_LIMITS, SMALL_S3, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
# Of one who must not be waited for, and when a test that does is over.
FOR_EVER = 1000.0
LIMIT = 60.0
VIDEO = make_bytes(5 * PART + 1000)


class Closed:
    """An upload whose client is closed when `has_come` holds."""

    def __init__(self, sandbox, livepeer):
        self._sandbox = sandbox
        self._livepeer = livepeer
        self.upload = None
        self.error = None

    async def run(self, has_come, close, *, lag=0.0):
        task = asyncio.create_task(self._upload())
        with anyio.fail_after(LIMIT):
            while not has_come() and not task.done():  # noqa: ASYNC110 - the server's log is no event
                await anyio.sleep(0.001)
        await anyio.sleep(lag)
        with anyio.fail_after(LIMIT):
            await close()
        done, _ = await asyncio.wait([task], timeout=LIMIT)
        assert done
        self.error = task.result()

    async def _upload(self):
        try:
            async with self._livepeer.begin_upload(VIDEO, "x") as self.upload:
                pass
        except errors.LivepeerError as error:
            return error
        return None

    async def assert_can_go_on(self):
        """Resume what is left; nothing may be left that can't be."""
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
async def test_closed_at_any_request_an_upload_ends_and_can_go_on(number):
    before = snapshot_resources()
    with no_asyncio_logs():
        async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
            closed = Closed(sandbox, livepeer)
            await closed.run(lambda: len(sandbox.requests) >= number, livepeer.aclose)
            await closed.assert_can_go_on()
        await assert_no_leaks(before)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@pytest.mark.parametrize("number", [1, 3, 5, 7])
async def test_a_client_that_was_handed_in_and_is_closed_by_its_owner_ends_the_upload(
    library, number
):
    """What was half made then can't be given back, but its ID is known, or said to be lost."""
    before = snapshot_resources()
    with no_asyncio_logs():
        http_client = library.AsyncClient()
        async with sandbox_and_client(client={"http_client": http_client}, **SMALL_S3) as served:
            closed = Closed(*served)
            await closed.run(lambda: len(served[0].requests) >= number, http_client.aclose)
            if closed.upload is None:
                assert isinstance(closed.error, errors.AmbiguousRequest)
            else:
                assert closed.upload.asset.id
        await assert_no_leaks(before)


HELD = {
    "a wait for the next attempt": Fault(
        On(method="PATCH"), Answer(503, headers={"Retry-After": "600"})
    ),
    "a PATCH": Fault(On(method="PATCH"), Stall(FOR_EVER)),
    "an answer of the API": Fault(On(method="GET", path="/asset/"), Stall(FOR_EVER)),
}


@pytest.mark.parametrize("name", HELD)
async def test_closed_while_it_waits_an_upload_ends_soon(name):
    fault = HELD[name]
    fault.fired = fault.seen = 0
    limits = {"timeout": Timeouts(stall=FOR_EVER, answer=FOR_EVER)}
    async with sandbox_and_client(fault, client=limits, **SMALL_S3) as (sandbox, livepeer):
        closed = Closed(sandbox, livepeer)
        await closed.run(lambda: fault.fired, livepeer.aclose, lag=0.2)
        assert isinstance(closed.error, errors.LivepeerError)
