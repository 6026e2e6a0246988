"""Concurrency limit for chunks, adapted to the time until their responses.

A server reads a chunk at full speed and responds once its storage has the bytes, so only the time
to the response shows that the storage is slow. Then fewer chunks are sent at once, and each has
more time for its response.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio

from livepeer_async.errors import TimedOut
from livepeer_async.http.messages import Request
from livepeer_async.http.timeouts import Timeouts

MAX_CHUNKS = 32
# Target for the time to store a chunk, in seconds: long enough to keep the storage busy, and well
# below the usual time limit of proxies, 60 s.
TARGET_SECONDS = 30.0
# The limit falls after a slower chunk, and rises after a quicker one.
SLOW_SECONDS = 45.0
QUICK_SECONDS = 10.0
# Number of chunks in flight for which `Timeouts.chunk_response` is sufficient. Storage of 100 kB/s
# needs 84 s for 8 MiB, the smallest chunk at Livepeer, and 670 s for eight at once.
CHUNKS_WITHIN_LIMIT = 2


class ChunkLimiter:
    """Limits the chunks in flight to each server.

    Args:
        timeouts: the time limits.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        # By origin: a slow server doesn't slow down another.
        self._limiters: dict[str, anyio.CapacityLimiter] = {}

    @asynccontextmanager
    async def acquire(self, request: Request) -> AsyncGenerator[Callable[[], float], None]:
        """Wait until the limit allows another chunk, which is in flight until the block ends.

        Args:
            request: the request whose body is the chunk.

        Yields:
            A function to call once the socket has accepted the chunk. It returns the time limit for
            the response, in seconds.
        """
        limiter = self._limiters.setdefault(request.origin, anyio.CapacityLimiter(MAX_CHUNKS))
        if not request.span.size:
            yield lambda: self._timeouts.chunk_response
            return
        async with limiter:
            started, accepted_at = time.monotonic(), 0.0

            def accept() -> float:
                nonlocal accepted_at
                accepted_at = time.monotonic()
                share = max(1.0, limiter.borrowed_tokens / CHUNKS_WITHIN_LIMIT)
                return self._timeouts.chunk_response * share * request.timeout_factor

            try:
                yield accept
            except TimedOut:
                if accepted_at:
                    limiter.total_tokens = 1
                raise
            if accepted_at:
                # The network's share of the time to the response is at most the time to send.
                storing = time.monotonic() - accepted_at - (accepted_at - started)
                limiter.total_tokens = next_limit(
                    int(limiter.total_tokens), in_flight=limiter.borrowed_tokens, seconds=storing
                )


def next_limit(limit: int, *, in_flight: int, seconds: float) -> int:
    """Return the limit for the chunks in flight after a response.

    Args:
        limit: the limit so far.
        in_flight: chunks in flight, this one included.
        seconds: time in which the server stored this chunk.
    """
    if seconds > SLOW_SECONDS:
        return max(1, min(limit, int(in_flight * TARGET_SECONDS / seconds)))
    if seconds < QUICK_SECONDS and in_flight >= limit:
        return min(limit + 1, MAX_CHUNKS)
    return limit
