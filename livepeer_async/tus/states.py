"""The state table of a tus upload: the legal commands, and where each response leads.

`protocol` adds what the offsets in the responses decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from livepeer_async.http.messages import Request
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
    """Where an upload stands."""

    UNCREATED = "uncreated"
    OFFSET_UNKNOWN = "offset unknown"
    TRANSFERRING = "transferring"
    COMPLETE = "complete"
    GONE = "gone"
    TERMINATED = "terminated"


class Command(StrEnum):
    """What is asked of the server."""

    CREATE = "create"
    ASK_OFFSET = "ask offset"
    SEND_CHUNK = "send chunk"
    FINALIZE = "nudge"
    TERMINATE = "terminate"


class Step(Struct, frozen=True):
    """Send `request` after `wait` seconds."""

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

# Where each answer to each command leads before the offset in it has been looked at.
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
