"""Takes the short forms of a client's options for what they stand for."""

from __future__ import annotations

from collections.abc import Callable

from livepeer_async.timeouts import Timeouts
from livepeer_async.tus.limits import ServerLimits, livepeer_limits


def as_timeouts(timeout: Timeouts | float | None) -> Timeouts:
    """Take a number for the stall time-out, in seconds, and `None` for the defaults."""
    if isinstance(timeout, Timeouts):
        return timeout
    return Timeouts() if timeout is None else Timeouts(stall=timeout)


def as_limits_for(
    limits: ServerLimits | Callable[[int], ServerLimits] | None,
) -> Callable[[int], ServerLimits]:
    """Take limits for those of any length, and `None` for Livepeer's."""
    if isinstance(limits, ServerLimits):
        return lambda _: limits
    return livepeer_limits if limits is None else limits
