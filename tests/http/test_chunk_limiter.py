"""Chunks in flight: fewer at once where responses are slow, and more time for each."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import TimedOut
from livepeer_async.http.chunk_limiter import MOST_CHUNKS, SLOW_SECONDS, PendingChunks, next_limit
from livepeer_async.http.messages import Request, Span
from livepeer_async.http.timeouts import Timeouts

CHUNK = Request(method="PATCH", url="http://one.example/files/1", content=Span(0, 8))
ELSEWHERE = Request(method="PATCH", url="http://two.example/files/1", content=Span(0, 8))
LIMIT = Timeouts().chunk_response


@pytest.mark.parametrize(
    ("limit", "in_flight", "seconds", "wanted"),
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
def test_limit_follows_the_time_to_the_response(limit, in_flight, seconds, wanted):
    assert next_limit(limit, in_flight=in_flight, seconds=seconds) == wanted


@given(
    limit=st.integers(1, MOST_CHUNKS),
    in_flight=st.integers(1, MOST_CHUNKS),
    seconds=st.floats(-10, 10_000),
)
def test_limit_stays_in_bounds_and_falls_only_for_slow_responses(limit, in_flight, seconds):
    found = next_limit(limit, in_flight=in_flight, seconds=seconds)
    assert 1 <= found <= MOST_CHUNKS
    assert found >= limit or seconds > SLOW_SECONDS


async def in_flight(pending, count, request=CHUNK):
    """Send as many chunks as may be in flight, up to `count`; give the time limit of each."""
    limits = []

    async def send():
        async with pending.add(request) as accept:
            limits.append(accept())
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    return limits


@pytest.mark.anyio
async def test_chunks_that_are_stored_side_by_side_have_more_time():
    assert await in_flight(PendingChunks(Timeouts()), 2) == [LIMIT, LIMIT]
    assert (await in_flight(PendingChunks(Timeouts()), 8))[-1] == 4 * LIMIT


@pytest.mark.anyio
async def test_chunk_that_is_sent_again_has_more_time():
    patient = Request(method="PATCH", url=CHUNK.url, content=Span(0, 8), timeout_factor=4.0)
    async with PendingChunks(Timeouts()).add(patient) as accept:
        assert accept() == 4 * LIMIT


@pytest.mark.anyio
async def test_after_a_timeout_chunks_go_one_at_a_time():
    pending = PendingChunks(Timeouts())
    with pytest.raises(TimedOut):
        async with pending.add(CHUNK) as accept:
            accept()
            raise TimedOut("no response")
    assert len(await in_flight(pending, 8)) == 1
    assert len(await in_flight(pending, 8, ELSEWHERE)) == 8


@pytest.mark.anyio
async def test_stall_while_sending_says_nothing_of_the_storage():
    pending = PendingChunks(Timeouts())
    with pytest.raises(TimedOut):
        async with pending.add(CHUNK):
            raise TimedOut("no block was accepted")
    assert len(await in_flight(pending, 8)) == 8


@pytest.mark.anyio
async def test_empty_chunk_waits_for_no_other():
    pending = PendingChunks(Timeouts())
    empty = Request(method="PATCH", url=CHUNK.url, content=Span(8, 8))
    assert len(await in_flight(pending, MOST_CHUNKS + 1)) == MOST_CHUNKS
    assert len(await in_flight(pending, MOST_CHUNKS + 1, empty)) == MOST_CHUNKS + 1
