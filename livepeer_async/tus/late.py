"""Chunks that were abandoned and may still arrive.

A server reads a chunk at full speed and responds when its storage has it (@tus/s3-store), and a
proxy may take a whole body before it passes on the first byte. Either goes on after the client has
given up. Meanwhile HEAD gives the old offset, again and again, so that two equal answers prove
nothing, and a second PATCH would be a second writer. How long the abandoned chunk is waited for
depends on how slow the server has proved to be.
"""

from __future__ import annotations

import sys

from livepeer_async.http.messages import Span

# A chunk whose response was cut off after some seconds may need several times as long.
FACTOR = 4.0
# Of a chunk that was cut off while it was sent, the parts before the cut may still be stored.
FACTOR_OF_PREVIOUS = 2.0
# Longest wait, in seconds, unless the response itself was awaited for longer.
MOST_SECONDS = 300.0
# A chunk that would be waited for no longer than this has arrived by the time that the offset has
# settled, which takes two looks.
QUICK_SECONDS = 2.0
LOOKS = 2
FIRST_POLL = 1.0
LONGEST_POLL = 15.0
POLL_GROWTH = 1.5


class LateChunk:
    """Whether the last chunk may still arrive, and when to look."""

    def __init__(self) -> None:
        # Seconds for which the server kept the last chunk after it had all of it.
        self._storing = 0.0
        self._granted = 0.0
        self._left = 0.0
        self._poll = FIRST_POLL
        self._offset = 0
        self._stop = 0
        # Whether no chunk was sent from here.
        self._is_foreign = True

    @property
    def is_pending(self) -> bool:
        """Whether it is still worth waiting for."""
        return self._left > 0

    def accepted(self, seconds: float, waited: float) -> None:
        """Record an acknowledged chunk: nothing is late.

        Args:
            seconds: from its first byte to the response.
            waited: the part of them after its last byte.
        """
        self._storing = _storing(seconds, waited)
        self._left, self._is_foreign = 0.0, False

    def abandoned(
        self,
        span: Span,
        *,
        seconds: float,
        waited: float | None,
        is_timeout: bool,
        settle: float,
    ) -> None:
        """Record a chunk that got no response, and decide how long it may be late.

        Args:
            span: the chunk.
            seconds: from its first byte until it was abandoned.
            waited: the part of them after its last byte; `None` if that was never sent.
            is_timeout: whether the response was awaited for as long as it may take.
            settle: seconds that the offset is given to settle; 0 if it needn't.
        """
        late = FACTOR_OF_PREVIOUS * self._storing
        if waited is not None:
            late = max(late, FACTOR * _storing(seconds, waited))
        late = min(late, MOST_SECONDS) if late > _quick(settle) else 0.0
        if waited is not None and is_timeout:
            # As long again as it was waited for.
            late = waited
        self._granted = self._left = late
        self._poll, self._is_foreign = FIRST_POLL, False
        self._offset, self._stop = span.start, span.stop

    def moved(self, settle: float) -> None:
        """Record an offset that rose by itself.

        An earlier process may have left a chunk of several parts, and the next of them may take as
        long as this one did.

        Args:
            settle: seconds between two looks.
        """
        if self._is_foreign:
            self._granted, self._left, self._poll = 0.0, FACTOR * settle, FIRST_POLL
            self._stop = sys.maxsize

    def next_wait(self) -> float:
        """Give the seconds until the offset is asked for again."""
        wait = min(self._poll, self._left)
        self._left -= wait
        self._poll = min(POLL_GROWTH * self._poll, LONGEST_POLL)
        return wait

    def may_arrive(self, offset: int) -> bool:
        """Whether more of the chunk may arrive, now that the server holds `offset` bytes."""
        if offset >= self._stop:
            self._left = 0.0
        elif offset > self._offset and self._granted:
            # It is arriving, part by part.
            self._offset, self._left = offset, self._granted
        return self.is_pending


def was_kept_long(*, seconds: float, waited: float, settle: float) -> bool:
    """Whether a server kept a chunk for so long that it may have stored it.

    Args:
        seconds: from the chunk's first byte to the response.
        waited: the part of them after its last byte.
        settle: seconds that the offset is given to settle; 0 if it needn't.
    """
    return FACTOR * _storing(seconds, waited) > _quick(settle)


def _quick(settle: float) -> float:
    return min(QUICK_SECONDS, LOOKS * settle) if settle else QUICK_SECONDS


def _storing(seconds: float, waited: float) -> float:
    """Give the seconds that the server took, without those that the network did.

    The kernel accepts the end of a body long before a slow link has carried it, but hardly more
    than what the link carried meanwhile.
    """
    return max(0.0, waited - max(0.0, seconds - waited))
