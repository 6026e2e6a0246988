"""Slots of a bounded pool, after many requests that were cancelled.

Only what the package promises: its own pool is unbounded and httpx2's loses none. In a bounded pool
of httpx slots are lost (encode/httpcore#1093): there a request must fail in time, by its name.
"""

import anyio
import httpx
import pytest

from livepeer_async import AsyncLivepeer, Timeouts, errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox import Fault, On, Sandbox, Stall
from support.libraries import LIBRARIES

pytestmark = pytest.mark.anyio
SLOTS = 10
CANCELLED = 200
# The wait for a slot is as long as that for a connection.
PATIENT = Timeouts(connect=30.0, stall=30.0)
QUICK = Timeouts(connect=3.0, stall=30.0)
ONCE = RetryPolicy(attempts=0)


async def errors_after_cancellations(http_client, timeouts=PATIENT):
    """Cancel requests by the hundred, then fill the pool; give the errors of that."""
    failed = []
    async with Sandbox(faults=[Fault(On(every=2), Stall(0.005))]) as sandbox:
        livepeer = AsyncLivepeer(
            sandbox.api_key,
            base_url=sandbox.base_url,
            http_client=http_client,
            timeout=timeouts,
            retry=ONCE,
        )

        async def cancel_one(number):
            with anyio.move_on_after((number % 50) / 5000):
                await anext(livepeer.assets.list(), None)

        async def ask_one():
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
                    tasks.start_soon(ask_one)
    return failed


async def test_the_clients_own_pool_has_room_for_all():
    assert await errors_after_cancellations(None) == []


@pytest.mark.parametrize("library", [it for it in LIBRARIES if it is not httpx])
async def test_a_bounded_pool_of_the_fork_loses_no_slot(library):
    limits = library.Limits(max_connections=SLOTS)
    async with library.AsyncClient(limits=limits) as http_client:
        assert await errors_after_cancellations(http_client) == []


async def test_a_bounded_pool_of_httpx_that_lost_its_slots_says_so_in_time():
    limits = httpx.Limits(max_connections=SLOTS)
    with anyio.fail_after(60):
        async with httpx.AsyncClient(limits=limits) as http_client:
            failed = await errors_after_cancellations(http_client, QUICK)
    assert all(isinstance(error, errors.ConnectFailed) for error in failed)
    assert all("no free connection" in str(error) for error in failed)
