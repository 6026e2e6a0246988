"""Network timeouts."""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.defaults import CHUNK_RESPONSE_TIMEOUT, STALL_TIMEOUT
from livepeer_async.errors import ConfigurationError


class Timeouts(Struct, frozen=True, kw_only=True):
    """Network timeouts, in seconds.

    Attributes:
        connect: to establish a connection, including TLS.
        stall: until the next progress: the socket accepts a block, a response to anything but a
            chunk starts, or another part of a response arrives. It doesn't limit a request whose
            bytes keep moving. A peer that doesn't acknowledge TCP's probes for this
            long counts as dead.
        answer: for the complete response to an API call, from the request's last byte.
        chunk_response: for the response to a chunk, once the socket has accepted its last byte. The
            server responds when its storage has the bytes. With more than two chunks in flight,
            the limit of each grows in proportion.
    """

    connect: float = 15.0
    stall: float = STALL_TIMEOUT
    answer: float = 120.0
    chunk_response: float = CHUNK_RESPONSE_TIMEOUT

    def __post_init__(self) -> None:
        limits = (self.connect, self.stall, self.answer, self.chunk_response)
        if not all(limit > 0 for limit in limits):
            raise ConfigurationError(
                "Timeouts: connect, stall, answer and chunk_response must be above 0 seconds"
            )


def as_timeouts(timeout: Timeouts | float | None) -> Timeouts:
    """Return timeouts; a number is the stall timeout in seconds, `None` means the defaults."""
    if isinstance(timeout, Timeouts):
        return timeout
    return Timeouts() if timeout is None else Timeouts(stall=timeout)
