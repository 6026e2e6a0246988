"""Time limits of the network."""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.errors import ConfigurationError


class Timeouts(Struct, frozen=True, kw_only=True):
    """Time limits of the network, in seconds.

    Attributes:
        connect: for a connection, TLS included.
        stall: without a block accepted by the socket, without a response to anything but a chunk,
            or between two pieces of a response. It doesn't limit the whole: a chunk may take as
            long as blocks keep moving. A peer that doesn't acknowledge TCP's probes for this long
            counts as gone.
        answer: for the whole response to an API call, from the request's last byte.
        chunk_response: for the response to a chunk once the socket has accepted its last byte. The
            server responds when its storage has the bytes; where more than two chunks are in
            flight, each is given longer in proportion.
    """

    connect: float = 15.0
    stall: float = 30.0
    answer: float = 120.0
    chunk_response: float = 300.0

    def __post_init__(self) -> None:
        limits = (self.connect, self.stall, self.answer, self.chunk_response)
        if not all(limit > 0 for limit in limits):
            raise ConfigurationError(
                "Timeouts: connect, stall, answer and chunk_response must be above 0 seconds"
            )


def as_timeouts(timeout: Timeouts | float | None) -> Timeouts:
    """Take a number for the stall time-out, in seconds, and `None` for the defaults."""
    if isinstance(timeout, Timeouts):
        return timeout
    return Timeouts() if timeout is None else Timeouts(stall=timeout)
