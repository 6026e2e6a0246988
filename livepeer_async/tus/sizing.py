"""Chunk sizes, learned from the chunks that were sent.

A chunk that was accepted gives the rate that the next one is sized by. One that was interrupted
without any progress may have been too large for something on the way (a proxy that resets long
bodies, storage too slow for the time limit), so the same size isn't tried again at once.
"""

from __future__ import annotations

from math import inf

from msgspec.structs import replace

from livepeer_async.http.messages import Span
from livepeer_async.tus.limits import ServerLimits, plan_chunk

# Small enough to be sent whole before anything refuses it, so that the refusal can be read.
PROBE = 64 * 1024
# Chunks of the largest size that is thought to pass, before twice that size is tried again.
SUCCESSES = 8


class ChunkSizer:
    """Sizes the chunks of one upload.

    Args:
        is_probing: whether the first chunk is to be as small as the alignment allows.

    Attributes:
        is_probing: the same for the next chunk.
    """

    def __init__(self, *, is_probing: bool) -> None:
        self.is_probing = is_probing
        self._previous = 0
        self._rate: float | None = None
        self._cap: int | None = None
        self._successes = 0
        self._failed: Span | None = None

    def plan(self, limits: ServerLimits, remaining: int | None) -> int:
        """Give the most bytes that the next chunk may have."""
        if self._cap is not None:
            most = self._cap if limits.max_chunk is None else min(self._cap, limits.max_chunk)
            limits = replace(limits, max_chunk=most)
        previous = 0 if self.is_probing else self._previous
        size = plan_chunk(limits, remaining=remaining, previous=previous, rate=self._rate)
        return min(size, PROBE) if self.is_probing and limits.align == 1 else size

    def sent(self, span: Span) -> None:
        """Record the chunk that is being sent."""
        self._previous = span.size or self._previous

    def accepted(self, span: Span, offset: int, seconds: float | None) -> None:
        """Record a chunk that the server acknowledged up to `offset`.

        Args:
            span: the chunk.
            offset: the server's.
            seconds: from the chunk's first byte to the response.
        """
        self._failed = None
        if seconds and seconds > 0 and span.start < offset <= span.stop:
            self._rate = (offset - span.start) / seconds
        if self._cap is not None and span.size >= self._cap:
            self._successes += 1
            if self._successes == SUCCESSES:
                self._cap, self._successes = 2 * self._cap, 0

    def interrupted(self, span: Span, seconds: float | None) -> None:
        """Record a chunk that was interrupted.

        Args:
            span: the chunk.
            seconds: that its response was awaited in vain; `None` if that wasn't the reason.
        """
        self._failed = span
        if seconds:
            self._rate = min(self._rate or inf, span.size / seconds)

    def resumed(self, limits: ServerLimits, offset: int) -> bool:
        """Record the offset after an interruption; say whether it rose all the same."""
        failed, self._failed = self._failed, None
        if failed is None or offset > failed.start:
            return True
        half = failed.size // 2 // limits.align * limits.align
        self._cap, self._successes = max(limits.align, half, PROBE), 0
        self.is_probing = True
        return False
