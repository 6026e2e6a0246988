import asyncio

import anyio
import pytest

from livepeer_async.concurrency import Channel
from support.constants import TIMEOUT

pytestmark = pytest.mark.anyio


async def take_all(channel):
    taken = []
    while True:
        try:
            taken.append(await channel.receive())
        except anyio.EndOfStream:
            return taken


async def test_values_arrive_in_order_and_give_waits():
    channel, given = Channel(), []

    async def give():
        for value in range(3):
            await channel.send(value)
            given.append(value)
        channel.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give)
        await anyio.wait_all_tasks_blocked()
        assert given == []
        channel.send_nowait("put")
        assert await channel.receive() == 0
        await anyio.wait_all_tasks_blocked()
        assert given == [0]
        assert await take_all(channel) == ["put", 1, 2]
    with pytest.raises(anyio.EndOfStream):
        await channel.receive()


@pytest.mark.parametrize("gives", [1, 2, 3])
async def test_cancelled_take_loses_no_value(gives):
    channel = Channel()
    taking = asyncio.create_task(channel.receive())
    await anyio.wait_all_tasks_blocked()
    for value in range(gives):
        channel.send_nowait(value)
    # The value has been handed over, but the task has not run yet.
    taking.cancel()
    taken = [
        result for result in await asyncio.gather(taking, return_exceptions=True) if result == 0
    ]
    channel.close()
    with anyio.fail_after(TIMEOUT):
        assert taken + await take_all(channel) == list(range(gives))
