import asyncio

import anyio
import pytest

from livepeer_async.concurrency import Channel
from support.constants import TIMEOUT

pytestmark = pytest.mark.anyio


async def receive_all(channel):
    received = []
    while True:
        try:
            received.append(await channel.receive())
        except anyio.EndOfStream:
            return received


async def test_send_waits_until_its_value_is_received():
    channel, sent = Channel(), []

    async def send():
        for value in range(3):
            await channel.send(value)
            sent.append(value)
        channel.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        assert sent == []
        channel.send_nowait("unawaited")
        assert await channel.receive() == 0
        await anyio.wait_all_tasks_blocked()
        assert sent == [0]
        assert await receive_all(channel) == ["unawaited", 1, 2]
    with pytest.raises(anyio.EndOfStream):
        await channel.receive()


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_cancelled_receive_loses_no_value(count):
    channel = Channel()
    receiving = asyncio.create_task(channel.receive())
    await anyio.wait_all_tasks_blocked()
    for value in range(count):
        channel.send_nowait(value)
    # The receiver has been notified, but has not run yet.
    receiving.cancel()
    results = await asyncio.gather(receiving, return_exceptions=True)
    received = [result for result in results if result == 0]
    channel.close()
    with anyio.fail_after(TIMEOUT):
        assert received + await receive_all(channel) == list(range(count))
