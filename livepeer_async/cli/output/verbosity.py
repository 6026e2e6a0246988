"""How much a command prints; apart from the consoles, because help needs none."""

from __future__ import annotations

from contextvars import ContextVar
from enum import Enum, auto


class Verbosity(Enum):
    """How much a command prints on standard error."""

    QUIET = auto()
    NORMAL = auto()
    VERBOSE = auto()


# Set by the options of the command, for its tasks.
VERBOSITY: ContextVar[Verbosity] = ContextVar("VERBOSITY", default=Verbosity.NORMAL)
