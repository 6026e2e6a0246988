"""The state table of a tus upload: the legal commands, and the state after each response.

`protocol` adds the rules for the offset in a response.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from livepeer_async.http.messages import Request
from livepeer_async.tus.deprecated import Renamed
from livepeer_async.tus.events import (
    ChunkAccepted,
    ChunkTooLarge,
    Created,
    Event,
    Gone,
    Interrupted,
    OffsetKnown,
    Refused,
)


class State(StrEnum):
    """The state of an upload."""

    UNCREATED = "uncreated"
    OFFSET_UNKNOWN = "offset unknown"
    TRANSFERRING = "transferring"
    COMPLETE = "complete"
    GONE = "gone"
    TERMINATED = "terminated"


class Command(StrEnum):
    """A kind of request."""

    CREATE = "create"
    ASK_OFFSET = "ask offset"
    SEND_CHUNK = "send chunk"
    FINALIZE = "finalize"
    TERMINATE = "terminate"
    NUDGE = Renamed("FINALIZE")


class Step(Struct, frozen=True):
    """The next request, and the seconds to wait before it is sent."""

    command: Command
    request: Request
    wait: float = 0.0


OVER = frozenset({State.COMPLETE, State.GONE, State.TERMINATED})

LEGAL_COMMANDS: Mapping[State, frozenset[Command]] = {
    State.UNCREATED: frozenset({Command.CREATE}),
    State.OFFSET_UNKNOWN: frozenset({Command.ASK_OFFSET, Command.TERMINATE}),
    State.TRANSFERRING: frozenset({Command.SEND_CHUNK, Command.TERMINATE}),
    State.COMPLETE: frozenset({Command.FINALIZE, Command.TERMINATE}),
    State.GONE: frozenset(),
    State.TERMINATED: frozenset(),
}

# The state after each response to each command, before its offset is checked. After a response to
# TERMINATE the state is TERMINATED, or stays.
TRANSITIONS: Mapping[tuple[Command, type[Event]], State] = {
    (Command.CREATE, Created): State.TRANSFERRING,
    (Command.CREATE, Interrupted): State.UNCREATED,
    (Command.CREATE, Refused): State.UNCREATED,
    (Command.ASK_OFFSET, OffsetKnown): State.TRANSFERRING,
    (Command.ASK_OFFSET, Interrupted): State.OFFSET_UNKNOWN,
    (Command.ASK_OFFSET, Gone): State.GONE,
    (Command.ASK_OFFSET, Refused): State.OFFSET_UNKNOWN,
    (Command.SEND_CHUNK, ChunkAccepted): State.TRANSFERRING,
    (Command.SEND_CHUNK, Interrupted): State.OFFSET_UNKNOWN,
    (Command.SEND_CHUNK, ChunkTooLarge): State.OFFSET_UNKNOWN,
    (Command.SEND_CHUNK, Gone): State.GONE,
    (Command.SEND_CHUNK, Refused): State.OFFSET_UNKNOWN,
    (Command.FINALIZE, ChunkAccepted): State.COMPLETE,
    (Command.FINALIZE, Interrupted): State.COMPLETE,
    (Command.FINALIZE, ChunkTooLarge): State.COMPLETE,
    (Command.FINALIZE, Gone): State.COMPLETE,
    (Command.FINALIZE, Refused): State.COMPLETE,
}
