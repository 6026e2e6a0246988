"""Abandoned chunks that may still arrive.

A server reads a chunk at full speed and responds when its storage has it (@tus/s3-store), and a
proxy may receive a whole body before it forwards the first byte. Both continue after the client has
given up. Meanwhile HEAD returns the old offset, so that even two equal responses prove nothing, and
another PATCH would be a second writer. How long to wait depends on how slow the server was so far.

`settle` is `ServerLimits.settle`, the seconds between two HEADs.
"""

from __future__ import annotations

import sys

from msgspec import Struct

from livepeer_async.http.messages import Span
from livepeer_async.tus.limits import ServerLimits

# A chunk whose response was cut off after some seconds may need several times as long.
WAIT_PER_STORAGE_SECOND = 4.0
# The parts of a chunk that were sent before the cut may still be stored, each as slowly as those of
# the last one. With a wait that ignored the growth to chunks of 32 to 80 MiB, 4 of 8 such uploads
# to Studio's servers on storage of 8 MB/s were lost and started again, now 0 of 8.
WAIT_PER_PREVIOUS_SECOND = 2.0
# Maximum wait in seconds, unless the response itself was awaited for longer.
MAX_WAIT = 300.0
# A chunk that needs no longer has arrived by the time the offset has settled, after two HEADs.
QUICK_SECONDS = 2.0
SETTLING_HEADS = 2
FIRST_POLL = 1.0
MAX_POLL = 15.0
POLL_GROWTH = 1.5


class Timing(Struct, frozen=True, kw_only=True):
    """How long a chunk took, in seconds.

    Attributes:
        seconds: from its first byte to the response, or until it was abandoned.
        waited: the part of them after its last byte; `None` if that was never sent.
        is_timeout: whether the time limit for the response ended the request.
    """

    seconds: float | None = None
    waited: float | None = None
    is_timeout: bool = False

    @property
    def is_response_timeout(self) -> bool:
        """Whether the whole chunk was sent and the response timed out."""
        return self.is_timeout and self.waited is not None

    @property
    def storage_seconds(self) -> float:
        """Seconds that the server took, without those of the network.

        The kernel accepts the end of a body long before a slow link has sent it, but hardly more
        than the link sent meanwhile.
        """
        waited = self.waited or 0.0
        return max(0.0, waited - max(0.0, (self.seconds or 0.0) - waited))

    def may_be_stored(self, settle: float) -> bool:
        """Whether the server took long enough to have stored the chunk."""
        return WAIT_PER_STORAGE_SECOND * self.storage_seconds > _quick(settle)


class LateChunk:
    """Whether the last chunk may still arrive, and when to ask for the offset."""

    def __init__(self) -> None:
        # Of the last acknowledged chunk, and its bytes.
        self._storage_seconds = 0.0
        self._stored = 0
        # Seconds to wait after each progress, and those that are left.
        self._wait_per_progress = 0.0
        self._remaining_wait = 0.0
        self._poll = FIRST_POLL
        self._span = Span(0, 0)
        self._has_sent = False

    @property
    def is_pending(self) -> bool:
        """Whether it may still arrive."""
        return self._remaining_wait > 0

    def record_accepted(self, span: Span, timing: Timing) -> None:
        """Record an acknowledged chunk."""
        self._storage_seconds, self._stored = timing.storage_seconds, span.size
        self._remaining_wait, self._has_sent = 0.0, True

    def record_abandoned(self, span: Span, timing: Timing, limits: ServerLimits) -> None:
        """Record a chunk without a response, and decide how long it may be late."""
        wait = WAIT_PER_PREVIOUS_SECOND * self._estimate_seconds(span, limits)
        if timing.waited is not None:
            wait = max(wait, WAIT_PER_STORAGE_SECOND * timing.storage_seconds)
        wait = min(wait, MAX_WAIT) if wait > _quick(limits.settle) else 0.0
        if timing.is_timeout and timing.waited is not None:
            wait = timing.waited
        self._wait_per_progress = self._remaining_wait = wait
        self._poll, self._has_sent, self._span = FIRST_POLL, True, span

    def _estimate_seconds(self, span: Span, limits: ServerLimits) -> float:
        """Estimate the seconds for storing a chunk from those of the last acknowledged one."""
        seconds = self._storage_seconds
        # Without settling, a server stores no byte twice: waiting gains nothing.
        if not limits.settle or not 0 < self._stored < span.size:
            return seconds
        # `plan_chunk` made it larger for half of the time limit.
        return min(seconds * span.size / self._stored, max(seconds, limits.max_chunk_seconds / 2))

    def offset_moved(self, settle: float) -> None:
        """Record an offset that rose between two HEADs.

        An earlier process may have left a chunk of several parts, and the next part may take as
        long as this one.
        """
        if not self._has_sent:
            self._wait_per_progress, self._remaining_wait, self._poll = (
                0.0,
                WAIT_PER_STORAGE_SECOND * settle,
                FIRST_POLL,
            )
            self._span = Span(0, sys.maxsize)

    def next_wait(self, settle: float) -> float:
        """Return the seconds to wait before HEAD; at least `settle`."""
        if not self.is_pending:
            return settle
        wait = min(self._poll, self._remaining_wait)
        self._remaining_wait -= wait
        self._poll = min(POLL_GROWTH * self._poll, MAX_POLL)
        return max(settle, wait)

    def may_arrive(self, offset: int) -> bool:
        """Whether more of the chunk may arrive, now that the server holds `offset` bytes."""
        if offset >= self._span.stop:
            self._remaining_wait = 0.0
        elif offset > self._span.start and self._wait_per_progress:
            # It arrives part by part.
            self._span, self._remaining_wait = (
                Span(offset, self._span.stop),
                self._wait_per_progress,
            )
        return self.is_pending


def _quick(settle: float) -> float:
    return min(QUICK_SECONDS, SETTLING_HEADS * settle) if settle else QUICK_SECONDS
