"""Chunk sizes and response timeouts, adapted to the chunks of one upload.

An accepted chunk gives the rate that sizes the next one. An interrupted chunk without any progress
may have been too large for something on the way (a proxy that resets long bodies, storage slower
than the time limit), so the next one is smaller.
"""

from __future__ import annotations

from math import inf

from msgspec.structs import replace

from livepeer_async.errors import IllegalMove
from livepeer_async.http.messages import Span
from livepeer_async.tus.late import Timing
from livepeer_async.tus.limits import ServerLimits, plan_chunk

# Small enough to be sent before a server refuses it, so that the refusal can be read.
FIRST_CHUNK_AFTER_FAILURE = 64 * 1024
# Chunks of the largest size that passes, before twice that size is tried again.
SUCCESSES_BEFORE_GROWTH = 8
# Limits how often the time limit for a response is doubled.
MAX_TIMEOUT_DOUBLINGS = 3


class ChunkSizer:
    """Sizes the chunks of one upload.

    Args:
        is_cautious: whether the first chunk is as small as the alignment allows.

    Attributes:
        is_cautious: the same for the next chunk.
        timeouts: consecutive chunks that were sent in full and got no response in time.
    """

    def __init__(self, *, is_cautious: bool) -> None:
        self.is_cautious = is_cautious
        self.timeouts = 0
        self._previous = 0
        self._rate: float | None = None
        self._cap: int | None = None
        self._successes = 0
        self._failed: Span | None = None

    @property
    def timeout_factor(self) -> float:
        """Factor on the time limit for the next response; doubles with each timeout."""
        return float(2 ** min(self.timeouts, MAX_TIMEOUT_DOUBLINGS))

    def plan_size(
        self, limits: ServerLimits, remaining: int | None, *, available: int | None = None
    ) -> int:
        """Return the size of the next chunk, of which `available` bytes can be sent now.

        Raises:
            IllegalMove: too few are available for an aligned chunk.
        """
        if self._cap is not None:
            max_chunk = self._cap if limits.max_chunk is None else min(self._cap, limits.max_chunk)
            limits = replace(limits, max_chunk=max_chunk)
        previous = 0 if self.is_cautious else self._previous
        size = plan_chunk(limits, remaining=remaining, previous=previous, rate=self._rate)
        if self.is_cautious and limits.align == 1:
            size = min(size, FIRST_CHUNK_AFTER_FAILURE)
        if available is None or available >= size:
            return size
        # Only the last chunk may be unaligned, and this isn't the last.
        aligned = available // limits.align * limits.align
        if aligned < 1:
            wanted = min(size, limits.align)
            raise IllegalMove(f"{available} bytes are available; wanted {wanted}, or the length")
        return aligned

    def record_started(self, span: Span) -> None:
        """Record the chunk that is being sent."""
        self._previous = span.size or self._previous

    def record_accepted(self, span: Span, offset: int, seconds: float | None) -> None:
        """Record a chunk that the server acknowledged up to `offset` after some seconds."""
        self._failed, self.timeouts = None, 0
        if seconds and seconds > 0 and span.start < offset <= span.stop:
            self._rate = (offset - span.start) / seconds
        if self._cap is not None and span.size >= self._cap:
            self._successes += 1
            if self._successes == SUCCESSES_BEFORE_GROWTH:
                self._cap, self._successes = 2 * self._cap, 0

    def record_interrupted(self, span: Span, timing: Timing) -> None:
        """Record a chunk without a response, or without one that acknowledges it."""
        self._failed = span
        self.timeouts += timing.is_response_timeout
        if timing.is_response_timeout and timing.seconds:
            self._rate = min(self._rate or inf, span.size / timing.seconds)

    def record_resumed(self, limits: ServerLimits, offset: int) -> None:
        """Record the settled offset after an interruption, and shrink if it hasn't risen."""
        failed, self._failed = self._failed, None
        if failed is None or offset > failed.start:
            self.timeouts = 0
            return
        half = failed.size // 2 // limits.align * limits.align
        self._cap, self._successes = max(limits.align, half, FIRST_CHUNK_AFTER_FAILURE), 0
        self.is_cautious = True
