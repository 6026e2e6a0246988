"""Server limits, and the size of the next chunk; a chunk is the body of one PATCH.

`plan_chunk` aligns chunks. Livepeer needs that because it runs @tus/server 1.0.0 on @tus/s3-store
1.0.0, which cuts each body into parts of 8 MiB. With the short rest inside the last PATCH, 2 of 40
uploads stored wrong bytes and reported success; with everything in one PATCH 9 of 112 did; chunks
of 10 MiB always did, and chunks of 4 MiB never finished. With aligned chunks and the rest in a
PATCH of its own, 200 of 200 were right; so were 54 of 54 in PATCHes of 256 MiB, 36 of them over
connections that failed.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.errors import ConfigurationError
from livepeer_async.models.new_asset import UPLOAD_PART_SIZE

MIB = 1024 * 1024
# A stream's chunk is kept in memory until it is acknowledged.
STREAM_CHUNK = 8 * MIB

# S3Store's partSize in Studio. It makes at most 10,000 parts, so longer files have larger parts.
LIVEPEER_PART = UPLOAD_PART_SIZE
LIVEPEER_MAX_PARTS = 10_000
# Studio's task runner refuses longer sources after the whole upload.
LIVEPEER_MAX_LENGTH = 30 * 1024 * MIB
# The largest of the PATCHes that were tested with Studio's servers: 8, 16, 32, 64 and 256 MiB. The
# connection is idle for a round trip after each, until its response.
LIVEPEER_MAX_CHUNK = 256 * MIB
# A chunk is at most this many times as large as the one before.
MAX_GROWTH = 32


class ServerLimits(Struct, frozen=True, kw_only=True):
    """The limits of a tus server. The defaults fit a server that follows tus 1.0.

    Attributes:
        align: each chunk but the last is a multiple of this many bytes.
        tail_alone: whether the rest (length modulo `align`) needs a PATCH of its own.
        first_chunk: bytes of the first chunk, before a rate is known.
        max_chunk: maximum bytes of a chunk; `None` for no limit.
        max_chunk_seconds: maximum time for a chunk; the planned time is half of it.
        settle: seconds between two equal responses to HEAD that are required after an interruption,
            and before the first of them; 0 accepts the first response.
        max_length: maximum bytes of an upload; `None` for no limit.
        with_creation: uploads of up to this many bytes are sent with the creation request.
        override_patch: send POST with `X-HTTP-Method-Override` instead of PATCH, for networks that
            block it.
        creates_once: whether a second creation on the same endpoint could damage the first, so that
            a lost response to a creation makes the endpoint unusable.
    """

    align: int = 1
    tail_alone: bool = False
    first_chunk: int = 8 * MIB
    max_chunk: int | None = None
    max_chunk_seconds: float = 30.0
    settle: float = 0.0
    max_length: int | None = None
    with_creation: int = 0
    override_patch: bool = False
    creates_once: bool = False

    def __post_init__(self) -> None:
        _check(self)


def livepeer_limits(
    length: int,
    *,
    chunk_size: int | None = None,
    max_length: int | None = LIVEPEER_MAX_LENGTH,
    override_patch: bool = False,
) -> ServerLimits:
    """Return the limits of Livepeer Studio for an upload of `length` bytes.

    Args:
        length: bytes of the upload; beyond 78 GiB, parts grow with it.
        chunk_size: maximum bytes of a chunk; rounded down to whole parts.
        max_length: maximum bytes of an upload; `None` for no limit.
        override_patch: send POST instead of PATCH, for networks that block it.

    Raises:
        ConfigurationError: `chunk_size` is below one part.
    """
    part = max(LIVEPEER_PART, -(-length // LIVEPEER_MAX_PARTS))
    limits = ServerLimits(
        align=part,
        tail_alone=True,
        first_chunk=part,
        max_chunk=max(LIVEPEER_MAX_CHUNK, part),
        settle=1.0,
        max_length=max_length,
        override_patch=override_patch,
        with_creation=part,
        creates_once=True,
    )
    return limits if chunk_size is None else with_chunk_size(limits, chunk_size)


def with_chunk_size(limits: ServerLimits, chunk_size: int) -> ServerLimits:
    """Limit chunks to `chunk_size` bytes, rounded down to the alignment; never raises a limit.

    Raises:
        ConfigurationError: `chunk_size` is below the alignment.
    """
    if limits.max_chunk is not None:
        chunk_size = min(chunk_size, limits.max_chunk)
    rounded = chunk_size // limits.align * limits.align
    bounded = replace(
        limits,
        max_chunk=rounded or chunk_size,
        first_chunk=max(1, min(limits.first_chunk, rounded)),
    )
    # `replace` of msgspec 0.19 doesn't call `__post_init__`.
    _check(bounded)
    return bounded


def limits_for_stream(limits: ServerLimits) -> ServerLimits:
    """Limit the chunks of a stream, which are kept in memory until they are acknowledged."""
    return with_chunk_size(limits, max(limits.align, STREAM_CHUNK))


def check_upload_length(limits: ServerLimits, length: int | None) -> None:
    """Check the length of an upload; `None` if it isn't known yet.

    Raises:
        ConfigurationError: it is below 1, or above the server's limit.
    """
    if length is None:
        return
    if length < 1:
        raise ConfigurationError(f"the length is {length}; wanted at least 1 byte")
    if limits.max_length is not None and length > limits.max_length:
        raise ConfigurationError(
            f"the length is {length} bytes; the server accepts at most {limits.max_length}"
        )


def plan_creation(limits: ServerLimits, length: int | None) -> int:
    """Return how many bytes to send with the creation request: the whole upload, or none.

    Source: tus 1.0, Creation With Upload.
    """
    return length if length is not None and 0 < length <= limits.with_creation else 0


def plan_chunk(
    limits: ServerLimits,
    *,
    remaining: int | None,
    previous: int = 0,
    rate: float | None = None,
) -> int:
    """Return the size of the next chunk in bytes: a multiple of the alignment, or the rest.

    Args:
        limits: the server's limits.
        remaining: length minus offset; `None` while the length is unknown.
        previous: bytes of the previous chunk; 0 for the first.
        rate: bytes per second of the previous chunk; `None` for the first.
    """
    target = limits.first_chunk
    if rate is not None and previous:
        # Of a chunk that is planned for 15 s, the rate may fall to a twentieth before the server's
        # time limit of 300 s ends it.
        target = int(min(rate * limits.max_chunk_seconds / 2, MAX_GROWTH * previous))
    if limits.max_chunk is not None:
        target = min(target, limits.max_chunk)
    aligned = max(target // limits.align, 1) * limits.align
    if remaining is None:
        return aligned
    if not limits.tail_alone:
        return min(aligned, remaining)
    whole = remaining // limits.align * limits.align
    return min(aligned, whole) if whole else remaining


def as_limits_for(
    limits: ServerLimits | Callable[[int], ServerLimits] | None,
) -> Callable[[int], ServerLimits]:
    """Return a function from a length to limits; `None` stands for Livepeer's limits."""
    if isinstance(limits, ServerLimits):
        return lambda _: limits
    return livepeer_limits if limits is None else limits


def _check(limits: ServerLimits) -> None:
    if limits.align < 1 or limits.first_chunk < 1 or limits.max_chunk_seconds <= 0:
        raise ConfigurationError(
            "ServerLimits: align, first_chunk and max_chunk_seconds must be above 0"
        )
    if limits.max_chunk is not None and limits.max_chunk < limits.align:
        raise ConfigurationError(
            f"a chunk of at most {limits.max_chunk} bytes is below the alignment of "
            f"{limits.align} bytes: this server would acknowledge the chunks and then lose them"
        )
