"""What a sandbox was asked to be, as one value that all rooms read."""

from collections.abc import Callable

from msgspec import Struct

KIB = 1024
MIB = 1024 * KIB


class Settings(Struct, frozen=True, kw_only=True):
    """The arguments of `Sandbox` that its rooms need; what each means stands there."""

    storage: str
    part_size: int
    min_piece: int
    visibility_seconds: float
    race: float
    storage_rate: float | None
    waiting_seconds: float
    processing_seconds: float
    hashes: bool
    max_pending_tasks: int
    request_seconds: float
    clock: Callable[[], float]
