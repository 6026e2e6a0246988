"""The client closed under its uploads: each ends soon, with a typed error, and can be resumed."""

import asyncio

import anyio
import pytest

from cancellation.census import assert_nothing_is_left, no_complaints, settled, take_census
from libraries import LIBRARIES
from livepeer_async import errors
from livepeer_async.sandbox import Answer, Fault, On, Stall
from livepeer_async.tus import TusClient
from studio import PART, QUICK, SMALL_LIMITS, SMALL_S3, content, is_stored, studio

pytestmark = pytest.mark.anyio
MOST_SECONDS = 2.0
VIDEO = content(5 * PART + 1000)


class Closed:
    """An upload whose client is closed when `has_come` holds."""

    def __init__(self, sandbox, livepeer):
        self._sandbox = sandbox
        self._livepeer = livepeer
        self.upload = None
        self.error = None
        self.seconds = 0.0

    async def run(self, has_come, close, *, lag=0.0):
        task = asyncio.create_task(self._upload())
        with anyio.fail_after(10):
            while not has_come() and not task.done():  # noqa: ASYNC110 - the server's log is no event
                await anyio.sleep(0.001)
        await anyio.sleep(lag)
        started = anyio.current_time()
        await close()
        done, _ = await asyncio.wait([task], timeout=20)
        assert done
        self.seconds = anyio.current_time() - started
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
            async with TusClient(limits=SMALL_LIMITS, retry=QUICK) as tus:
                await tus.upload(VIDEO, upload_url=self.upload.upload_url)
            assert is_stored(self._sandbox, asset, VIDEO)


@pytest.mark.parametrize("number", [1, 3, 5, 7])
async def test_closed_at_any_request_an_upload_ends_and_can_go_on(number):
    before = take_census()
    with no_complaints():
        async with studio(**SMALL_S3) as (sandbox, livepeer):
            closed = Closed(sandbox, livepeer)
            await closed.run(lambda: len(sandbox.requests) >= number, livepeer.aclose)
            assert closed.seconds < MOST_SECONDS
            await closed.assert_can_go_on()
        await assert_nothing_is_left(before)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@pytest.mark.parametrize("number", [1, 3, 5, 7])
async def test_a_client_that_was_handed_in_and_is_closed_by_its_owner_ends_the_upload(
    library, number
):
    """What was half made then can't be given back, but its ID is known, or said to be lost."""
    before = take_census()
    with no_complaints():
        http_client = library.AsyncClient()
        async with studio(client={"http_client": http_client}, **SMALL_S3) as served:
            closed = Closed(*served)
            await closed.run(lambda: len(served[0].requests) >= number, http_client.aclose)
            assert closed.seconds < MOST_SECONDS
            if closed.upload is None:
                assert isinstance(closed.error, errors.AmbiguousRequest)
            else:
                assert closed.upload.asset.id
        await assert_nothing_is_left(before)


HELD = {
    "a wait for the next attempt": Fault(
        On(method="PATCH"), Answer(503, headers={"Retry-After": "10"})
    ),
    "a PATCH": Fault(On(method="PATCH"), Stall(8)),
    "an answer of the API": Fault(On(method="GET", path="/asset/"), Stall(8)),
}


@pytest.mark.parametrize("name", HELD)
async def test_closed_while_it_waits_an_upload_ends_soon(name):
    fault = HELD[name]
    fault.fired = fault.seen = 0
    async with studio(fault, **SMALL_S3) as (sandbox, livepeer):
        closed = Closed(sandbox, livepeer)

        await closed.run(lambda: fault.fired, livepeer.aclose, lag=0.2)
        assert isinstance(closed.error, errors.LivepeerError)
        assert closed.seconds < MOST_SECONDS
