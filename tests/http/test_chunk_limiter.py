"""Slow responses reduce the chunks in flight and extend their timeouts."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import TimedOut
from livepeer_async.http.chunk_limiter import MAX_CHUNKS, SLOW_SECONDS, ChunkLimiter, next_limit
from livepeer_async.http.messages import Request, Span
from livepeer_async.http.timeouts import Timeouts

CHUNK = Request(method="PATCH", url="http://one.example/files/1", content=Span(0, 8))
ELSEWHERE = Request(method="PATCH", url="http://two.example/files/1", content=Span(0, 8))
LIMIT = Timeouts().chunk_response


@pytest.mark.parametrize(
    ("limit", "in_flight", "seconds", "expected"),
    [
        (32, 8, 67.0, 3),
        (32, 8, 671.0, 1),
        (1, 1, 84.0, 1),
        (3, 3, 25.0, 3),
        (3, 3, 5.0, 4),
        (3, 2, 5.0, 3),
        (32, 32, 0.1, 32),
        (2, 8, 60.0, 2),
    ],
)
def test_limit_depends_on_the_time_to_the_response(limit, in_flight, seconds, expected):
    assert next_limit(limit, in_flight=in_flight, seconds=seconds) == expected


@given(
    limit=st.integers(1, MAX_CHUNKS),
    in_flight=st.integers(1, MAX_CHUNKS),
    seconds=st.floats(-10, 10_000),
)
def test_limit_is_bounded_and_falls_only_for_slow_responses(limit, in_flight, seconds):
    found = next_limit(limit, in_flight=in_flight, seconds=seconds)
    assert 1 <= found <= MAX_CHUNKS
    assert found >= limit or seconds > SLOW_SECONDS


async def in_flight(limiter, count, request=CHUNK):
    """Send up to `count` chunks; return the time limits of those in flight."""
    limits = []

    async def send():
        async with limiter.acquire(request) as accept:
            limits.append(accept())
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    return limits


@pytest.mark.anyio
async def test_concurrent_chunks_have_more_time():
    assert await in_flight(ChunkLimiter(Timeouts()), 2) == [LIMIT, LIMIT]
    assert (await in_flight(ChunkLimiter(Timeouts()), 8))[-1] == 4 * LIMIT


@pytest.mark.anyio
async def test_timeout_factor_extends_the_time_limit():
    request = Request(method="PATCH", url=CHUNK.url, content=Span(0, 8), timeout_factor=4.0)
    async with ChunkLimiter(Timeouts()).acquire(request) as accept:
        assert accept() == 4 * LIMIT


@pytest.mark.anyio
async def test_timeout_limits_its_server_to_one_chunk():
    limiter = ChunkLimiter(Timeouts())
    with pytest.raises(TimedOut):
        async with limiter.acquire(CHUNK) as accept:
            accept()
            raise TimedOut("no response")
    assert len(await in_flight(limiter, 8)) == 1
    assert len(await in_flight(limiter, 8, ELSEWHERE)) == 8


@pytest.mark.anyio
async def test_stall_while_sending_keeps_the_limit():
    limiter = ChunkLimiter(Timeouts())
    with pytest.raises(TimedOut):
        async with limiter.acquire(CHUNK):
            raise TimedOut("no block was accepted")
    assert len(await in_flight(limiter, 8)) == 8


@pytest.mark.anyio
async def test_empty_chunk_is_not_limited():
    limiter = ChunkLimiter(Timeouts())
    empty = Request(method="PATCH", url=CHUNK.url, content=Span(8, 8))
    assert len(await in_flight(limiter, MAX_CHUNKS + 1)) == MAX_CHUNKS
    assert len(await in_flight(limiter, MAX_CHUNKS + 1, empty)) == MAX_CHUNKS + 1
