"""What the chunks of an upload have taught: sizes, time limits, and whether one may be late."""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.http.messages import Span
from livepeer_async.tus.late import LateChunk, was_kept_long
from livepeer_async.tus.limits import ServerLimits
from livepeer_async.tus.sizing import ChunkSizer

# Of the time that the response to a chunk may take.
MOST_DOUBLINGS = 3


class Timing(Struct, frozen=True, kw_only=True):
    """How long a chunk took, in seconds.

    Attributes:
        seconds: from its first byte to the response, or until it was abandoned.
        waited: the part of them after its last byte; `None` if that was never sent.
        is_timeout: whether the response was awaited for as long as it may take.
    """

    seconds: float | None = None
    waited: float | None = None
    is_timeout: bool = False

    def was_kept_long(self, limits: ServerLimits) -> bool:
        """Whether the server kept the chunk for so long that it may have stored it."""
        seconds, waited = self.seconds or 0.0, self.waited or 0.0
        return was_kept_long(seconds=seconds, waited=waited, settle=limits.settle)


class ChunkHistory:
    """Follows the chunks of one upload.

    Args:
        is_probing: whether the first chunk is to be as small as the alignment allows.

    Attributes:
        sizer: sizes the next chunk.
        late: whether the last chunk may still arrive.
        timeouts: chunks in a row that the server had in full and didn't respond to in time.
    """

    def __init__(self, *, is_probing: bool) -> None:
        self.sizer = ChunkSizer(is_probing=is_probing)
        self.late = LateChunk()
        self.timeouts = 0

    @property
    def timeout_factor(self) -> float:
        """Factor on the time limit for the next response.

        A chunk that can't be made smaller is given more time than the last one had in vain.
        """
        return float(2 ** min(self.timeouts, MOST_DOUBLINGS))

    def accepted(self, span: Span, offset: int, timing: Timing) -> None:
        """Record a chunk that the server acknowledged up to `offset`."""
        self.timeouts = 0
        self.sizer.accepted(span, offset, timing.seconds)
        self.late.accepted(timing.seconds or 0.0, timing.waited or 0.0)

    def interrupted(self, limits: ServerLimits, span: Span, timing: Timing) -> None:
        """Record a chunk that got no response, or none that acknowledges it."""
        if not span.size:
            return
        is_timeout = timing.is_timeout and timing.waited is not None
        self.timeouts += is_timeout
        self.sizer.interrupted(span, timing.seconds if is_timeout else None)
        self.late.abandoned(
            span,
            seconds=timing.seconds or 0.0,
            waited=timing.waited,
            is_timeout=is_timeout,
            settle=limits.settle,
        )

    def creation_lost(self, limits: ServerLimits, span: Span, timing: Timing) -> None:
        """Record a creation that got no response, and the bytes that went with it."""
        self.interrupted(limits, span, timing)
        self.sizer.resumed(limits, span.start)

    def next_wait(self, settle: float) -> float:
        """Give the seconds until the offset is asked for."""
        return max(settle, self.late.next_wait()) if self.late.is_pending else settle

    def resumed(self, limits: ServerLimits, offset: int) -> None:
        """Record the settled offset after an interruption."""
        if self.sizer.resumed(limits, offset):
            self.timeouts = 0
