"""Offsets in a server's answers: the most that it can hold, and which answers can't be true."""

from __future__ import annotations

from livepeer_async.http.messages import Request, Span
from livepeer_async.tus.events import OffsetKnown
from livepeer_async.tus.limits import ServerLimits, check_offset


class OffsetLedger:
    """What a server has said that it holds of one upload.

    Args:
        is_new: whether the upload is created here.
        reach: bytes that the server can hold at the most.

    Attributes:
        last_answer: the last answer to HEAD, until the offset has settled.
    """

    def __init__(self, *, is_new: bool, reach: int) -> None:
        self.last_answer: int | None = None
        self._is_new = is_new
        self._reach = reach
        self._held = 0

    def sent(self, limits: ServerLimits, request: Request) -> None:
        """Record a request that the server may have seen."""
        if isinstance(request.content, Span):
            # From a settled offset on nothing can be held but this chunk: more is a part twice.
            stop = request.content.stop
            self._reach = stop if limits.settle else max(self._reach, stop)

    def acknowledged(self, span: Span, offset: int) -> bool:
        """Record the offset in the answer to a chunk; say whether it lies within the chunk."""
        is_within = span.start < offset <= span.stop
        if is_within:
            self._held = max(self._held, offset)
        return is_within

    def settled(self, limits: ServerLimits, event: OffsetKnown, length: int | None) -> str | None:
        """Record a settled answer to HEAD; name what makes it impossible, if anything does.

        Args:
            limits: what the server can take.
            event: the answer.
            length: bytes of the upload, where they are known.
        """
        self.last_answer = None
        if length is None and event.length is not None and self._is_new:
            return f"Upload-Length is {event.length}; it was deferred, and none was declared"
        length = event.length if length is None else length
        if event.length not in {None, length}:
            return f"Upload-Length is {event.length}; wanted {length}"
        facts = {"held": self._held, "reach": self._reach}
        if why := check_offset(limits, event.offset, length=length, **facts):
            return why
        if limits.settle:
            self._held = event.offset
        return None
