"""How long a request may take, and that one which is given up leaves room for the next."""

import asyncio

import anyio
import pytest

from livepeer_async import errors
from livepeer_async.http.messages import Request, Span
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import Transport
from support.constants import LONG_TIMEOUTS, TIMEOUT
from support.servers import OK, drip_headers, exchange, hang, respond_with, serve_raw

pytestmark = pytest.mark.anyio


async def trickle(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("answer", "limit"), [(hang, "stall"), (trickle, "answer")])
async def test_an_answer_that_never_comes_or_never_ends_is_given_up(answer, limit):
    timeouts = Timeouts(**{"connect": 30, "stall": 30, "answer": 30, limit: 0.5})
    with anyio.fail_after(TIMEOUT), pytest.raises(errors.TimedOut) as caught:
        await exchange(answer, timeouts=timeouts)
    assert "eyJ" not in str(caught.value)
    assert caught.value.request_id


# Each wait of a sender is below it, all of them together are above it.
STALL = Timeouts(connect=30, stall=2.0, answer=30)


async def sent_slowly(seconds):
    """Give six blocks that take so long in all."""
    for _ in range(6):
        yield b"x" * 100
        await asyncio.sleep(seconds / 6)


async def test_a_stall_is_counted_from_block_to_block_not_for_the_whole():
    async def read_all(reader, writer):
        await reader.readexactly(600)
        writer.write(OK)

    request = Request(method="PATCH", url="", content=Span(0, 600))
    response, _ = await exchange(read_all, request, sent_slowly(2.4), timeouts=STALL)
    assert response.status == 200


async def test_the_answer_may_take_as_long_again_as_the_sending_took():
    async def answer_late(reader, writer):
        await reader.readexactly(600)
        await asyncio.sleep(2.4)
        writer.write(OK)

    request = Request(method="PATCH", url="", content=Span(0, 600))
    response, _ = await exchange(answer_late, request, sent_slowly(1.8), timeouts=STALL)
    assert response.status == 200


async def test_a_cancelled_request_leaves_room_for_the_next():
    async with (
        serve_raw(hang) as (slow, _),
        serve_raw(respond_with(OK)) as (quick, _),
        Transport(timeouts=LONG_TIMEOUTS) as transport,
    ):
        for _ in range(120):
            with anyio.move_on_after(0.001):
                await transport.send(Request(method="GET", url=slow))
        for _ in range(3):
            response = await transport.send(Request(method="GET", url=quick))
            assert response.status == 200


async def test_a_head_that_never_ends_is_given_up():
    with anyio.fail_after(TIMEOUT), pytest.raises(errors.TimedOut, match="doesn't end"):
        async with serve_raw(drip_headers) as (url, _):
            limits = Timeouts(connect=0.5, stall=0.5, answer=0.5, chunk_response=0.5)
            async with Transport(timeouts=limits) as transport:
                await transport.send(Request(method="GET", url=url))
