"""Connection pools after many cancelled requests.

The client's own pool is unbounded, and httpx2's loses no slot. A bounded pool of httpx does
(encode/httpcore#1093): a request must then fail in time with an error that says so.
"""

import anyio
import httpx
import pytest

from livepeer_async import AsyncLivepeer, Timeouts, errors
from livepeer_async.sandbox import Fault, On, Sandbox, Stall
from support.constants import NO_RETRIES
from support.libraries import LIBRARIES

pytestmark = pytest.mark.anyio
SLOTS = 10
CANCELLED = 200
# The connect timeout also limits the wait for a slot.
LONG = Timeouts(connect=30.0, stall=30.0)
SHORT = Timeouts(connect=3.0, stall=30.0)


async def errors_after_cancellations(http_client, timeouts=LONG):
    """Cancel many requests, then fill the pool; return the errors."""
    failed = []
    async with Sandbox(faults=[Fault(On(every=2), Stall(0.005))]) as sandbox:
        livepeer = AsyncLivepeer(
            sandbox.api_key,
            base_url=sandbox.base_url,
            http_client=http_client,
            timeout=timeouts,
            retry=NO_RETRIES,
        )

        async def cancel_one(number):
            with anyio.move_on_after((number % 50) / 5000):
                await anext(livepeer.assets.list(), None)

        async def list_one():
            try:
                await anext(livepeer.assets.list(), None)
            except errors.LivepeerError as error:
                failed.append(error)

        async with livepeer:
            for start in range(0, CANCELLED, 2 * SLOTS):
                async with anyio.create_task_group() as tasks:
                    for number in range(start, start + 2 * SLOTS):
                        tasks.start_soon(cancel_one, number)
            sandbox.faults.clear()
            async with anyio.create_task_group() as tasks:
                for _ in range(5 * SLOTS):
                    tasks.start_soon(list_one)
    return failed


async def test_own_pool_is_unbounded():
    assert await errors_after_cancellations(None) == []


@pytest.mark.parametrize("library", [it for it in LIBRARIES if it is not httpx])
async def test_bounded_pool_of_httpx2_loses_no_slot(library):
    limits = library.Limits(max_connections=SLOTS)
    async with library.AsyncClient(limits=limits) as http_client:
        assert await errors_after_cancellations(http_client) == []


async def test_bounded_pool_of_httpx_reports_lost_slots_in_time():
    limits = httpx.Limits(max_connections=SLOTS)
    with anyio.fail_after(60):
        async with httpx.AsyncClient(limits=limits) as http_client:
            failed = await errors_after_cancellations(http_client, SHORT)
    assert all(isinstance(error, errors.ConnectFailed) for error in failed)
    assert all("no free connection" in str(error) for error in failed)
