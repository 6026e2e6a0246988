"""Timeouts of requests; a cancelled request releases its connection."""

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
async def test_missing_or_unending_response_times_out(answer, limit):
    timeouts = Timeouts(**{"connect": 30, "stall": 30, "answer": 30, limit: 0.5})
    with anyio.fail_after(TIMEOUT), pytest.raises(errors.TimedOut) as caught:
        await exchange(answer, timeouts=timeouts)
    assert "eyJ" not in str(caught.value)
    assert "Timeout" not in str(caught.value)
    assert caught.value.request_id


# Longer than the pause between two blocks, shorter than all pauses together.
STALL = Timeouts(connect=30, stall=2.0, answer=30)


async def slow_blocks(seconds):
    """Yield six blocks within a number of seconds."""
    for _ in range(6):
        yield b"x" * 100
        await asyncio.sleep(seconds / 6)


async def test_stall_timeout_applies_between_blocks():
    async def read_all(reader, writer):
        await reader.readexactly(600)
        writer.write(OK)

    request = Request(method="PATCH", url="", content=Span(0, 600))
    response, _ = await exchange(read_all, request, slow_blocks(2.4), timeouts=STALL)
    assert response.status == 200


async def test_response_to_a_chunk_may_exceed_the_stall_timeout():
    async def respond_late(reader, writer):
        await reader.readexactly(600)
        await asyncio.sleep(2.4)
        writer.write(OK)

    request = Request(method="PATCH", url="", content=Span(0, 600))
    response, _ = await exchange(respond_late, request, slow_blocks(1.8), timeouts=STALL)
    assert response.status == 200


async def test_cancelled_requests_release_their_connections():
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


async def test_unending_head_times_out():
    with anyio.fail_after(TIMEOUT), pytest.raises(errors.TimedOut, match="isn't complete"):
        async with serve_raw(drip_headers) as (url, _):
            limits = Timeouts(connect=0.5, stall=0.5, answer=0.5, chunk_response=0.5)
            async with Transport(timeouts=limits) as transport:
                await transport.send(Request(method="GET", url=url))
