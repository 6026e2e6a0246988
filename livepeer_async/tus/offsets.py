"""Offsets that a server reports: how many bytes it can hold, and which offsets can't be right."""

from __future__ import annotations

from livepeer_async.http.messages import Request, Span
from livepeer_async.tus.events import OffsetKnown
from livepeer_async.tus.limits import ServerLimits


class OffsetTracker:
    """The offsets that a server reported for one upload.

    Args:
        is_new: whether this process creates the upload.
        max_offset: maximum bytes that the server can hold.

    Attributes:
        last_head: the offset in the last response to HEAD, until the offset has settled.
    """

    def __init__(self, *, is_new: bool, max_offset: int) -> None:
        self.last_head: int | None = None
        self._is_new = is_new
        self._max_offset = max_offset
        self._acknowledged = 0

    def record_sent(self, limits: ServerLimits, request: Request) -> None:
        """Record a request that the server may have processed."""
        if isinstance(request.content, Span):
            # After a settled offset the server can hold this chunk and no more: more would be a
            # part stored twice.
            stop = request.content.stop
            self._max_offset = stop if limits.settle else max(self._max_offset, stop)

    def check_acknowledged(self, span: Span, offset: int) -> bool:
        """Record the offset in the response to a chunk; return whether it lies in the chunk."""
        is_within = span.start < offset <= span.stop
        if is_within:
            self._acknowledged = max(self._acknowledged, offset)
        return is_within

    def check_settled(
        self, limits: ServerLimits, event: OffsetKnown, length: int | None
    ) -> str | None:
        """Record a settled response to HEAD; return why it can't be right, or `None`."""
        self.last_head = None
        if length is None and event.length is not None and self._is_new:
            return f"Upload-Length is {event.length}; it was deferred, and none was declared"
        length = event.length if length is None else length
        if event.length not in {None, length}:
            return f"Upload-Length is {event.length}; wanted {length}"
        if length is not None and event.offset > length:
            return f"Upload-Offset is {event.offset}; wanted at most the length, {length}"
        if event.offset > self._max_offset:
            return f"Upload-Offset is {event.offset}, but only {self._max_offset} bytes were sent"
        # @tus/s3-store 1.0.0 keeps a short piece aside, forgets it, and prepends it to the next
        # chunk: continuing from the lower offset would store those bytes twice.
        if limits.align > 1 and event.offset < self._acknowledged:
            return f"Upload-Offset is {event.offset} after it was {self._acknowledged}"
        if limits.settle:
            self._acknowledged = event.offset
        return None
