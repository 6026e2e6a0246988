"""Chunks in flight: how many there may be, and how long the response to one may take.

A server reads a chunk at full speed and responds when its storage has it, so the socket says
nothing about how much the storage can take. The time to the response does: when it grows, fewer
chunks are sent at once, and none of them times out because of the others.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio

from livepeer_async.errors import TimedOut
from livepeer_async.http.messages import Request
from livepeer_async.http.timeouts import Timeouts

MOST_CHUNKS = 32
# Seconds that storing a chunk should take: long enough to keep the storage busy, and far from any
# proxy's time limit, which is 60 s with most.
WANTED_SECONDS = 30.0
SLOW_SECONDS = 45.0
QUICK_SECONDS = 10.0
# Chunks in flight that the time limit is made for. Storage of 100 kB/s needs 84 s for 8 MiB, which
# is the smallest chunk at Livepeer, and 670 s for eight of them at once.
CHUNKS_WITHIN_LIMIT = 2


class PendingChunks:
    """The chunks that are being sent, or that servers have not responded to.

    Args:
        timeouts: the time limits.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        # By origin: one slow server must not slow down another.
        self._limiters: dict[str, anyio.CapacityLimiter] = {}

    @asynccontextmanager
    async def add(self, request: Request) -> AsyncGenerator[Callable[[], float], None]:
        """Wait until one more chunk may be sent, and track it until the block ends.

        Args:
            request: whose body is the chunk.

        Yields:
            A function to call once the socket has accepted the chunk; it gives the seconds that
            the response may take.
        """
        limiter = self._limiters.setdefault(request.origin, anyio.CapacityLimiter(MOST_CHUNKS))
        if not request.span.size:
            yield lambda: self._timeouts.chunk_response
            return
        async with limiter:
            began, accepted_at = time.monotonic(), 0.0

            def accept() -> float:
                nonlocal accepted_at
                accepted_at = time.monotonic()
                crowd = max(1.0, limiter.borrowed_tokens / CHUNKS_WITHIN_LIMIT)
                return self._timeouts.chunk_response * crowd * request.timeout_factor

            try:
                yield accept
            except TimedOut:
                if accepted_at:
                    limiter.total_tokens = 1
                raise
            if accepted_at:
                # Most of what the network needs is over when the socket accepts the last byte.
                storing = time.monotonic() - accepted_at - (accepted_at - began)
                limiter.total_tokens = next_limit(
                    int(limiter.total_tokens), in_flight=limiter.borrowed_tokens, seconds=storing
                )


def next_limit(limit: int, *, in_flight: int, seconds: float) -> int:
    """Give how many chunks may be in flight, after one was responded to.

    Args:
        limit: how many there might be until now.
        in_flight: how many there were, this one included.
        seconds: that the server took to store this one.
    """
    if seconds > SLOW_SECONDS:
        return max(1, min(limit, int(in_flight * WANTED_SECONDS / seconds)))
    if seconds < QUICK_SECONDS and in_flight >= limit:
        return min(limit + 1, MOST_CHUNKS)
    return limit
