"""What a server can take, and how large the next chunk should be.

A chunk is the body of one PATCH. In come the limits of a server, the offset, the length and the
rate that was measured; out comes a number of bytes, or why an offset can't be. Nothing here knows
the time or the network.

Why Livepeer needs limits at all: it runs @tus/server 1.0.0 on @tus/s3-store 1.0.0, which cuts each
body into parts of 8 MiB. With the short rest inside the last PATCH, 2 of 40 uploads stored wrong
bytes and reported success; with everything in one PATCH 9 of 112 did; chunks of 10 MiB always did,
and chunks of 4 MiB never finished. With the rule below, 200 of 200 were right.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.errors import ConfigurationError

MIB = 1024 * 1024
# Most bytes of a stream that are kept to be sent again, where the alignment allows it.
STREAM_CHUNK = 8 * MIB

# S3Store's partSize in Studio; its parts are at most 10,000, so longer files have larger parts.
LIVEPEER_PART = 8 * MIB
LIVEPEER_MOST_PARTS = 10_000
# Studio's task runner refuses longer sources, after the whole upload.
LIVEPEER_MAX_LENGTH = 30 * 1024 * MIB
# PATCHes of 8, 16, 32 and 64 MiB were tried on Studio's wiring; larger ones weren't.
LIVEPEER_MAX_CHUNK = 64 * MIB


class ServerLimits(Struct, frozen=True, kw_only=True):
    """The limits of a tus server. The defaults fit a server that follows tus 1.0.

    Attributes:
        align: each chunk but the last is a whole multiple of this many bytes.
        tail_alone: whether the rest (length modulo `align`) needs a PATCH of its own.
        first_chunk: bytes of the first chunk, before any rate is known.
        max_chunk: most bytes in one PATCH; `None` for no limit but the time.
        max_chunk_seconds: longest time that a PATCH should take; half of it is aimed at.
        settle: seconds to wait before the offset is asked for after a doubt, and between the two
            equal answers that end the doubt; 0 believes the first answer.
        max_length: most bytes in one upload.
        with_creation: an upload of at most this many bytes travels in the creation request.
        override_patch: whether PATCH travels as POST with `X-HTTP-Method-Override`, for networks
            that block it.
        creates_once: whether a second creation on the same endpoint could spoil the first, so
            that a lost answer to a creation makes the endpoint useless.
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
    """Give the limits of Livepeer Studio for an upload of `length` bytes.

    Args:
        length: bytes of the upload; parts grow with it beyond 78 GiB.
        chunk_size: most bytes a chunk may have; rounded down to whole parts.
        max_length: most bytes in one upload; `None` for no limit.
        override_patch: whether PATCH travels as POST, for networks that block it.

    Raises:
        ConfigurationError: `chunk_size` is below one part.
    """
    part = max(LIVEPEER_PART, -(-length // LIVEPEER_MOST_PARTS))
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
    """Bound the chunks to `chunk_size` bytes, rounded down to what is safe; never above before.

    Raises:
        ConfigurationError: `chunk_size` is below the alignment; the message has the reason.
    """
    if limits.max_chunk is not None:
        chunk_size = min(chunk_size, limits.max_chunk)
    rounded = chunk_size // limits.align * limits.align
    bounded = replace(
        limits,
        max_chunk=rounded or chunk_size,
        first_chunk=max(1, min(limits.first_chunk, rounded)),
    )
    # `replace` of msgspec 0.19 leaves `__post_init__` out.
    _check(bounded)
    return bounded


def for_stream(limits: ServerLimits) -> ServerLimits:
    """Keep the chunks of a stream small: what it has given is kept until it is acknowledged."""
    return with_chunk_size(limits, max(limits.align, STREAM_CHUNK))


def check_length(limits: ServerLimits, length: int | None) -> None:
    """Refuse a length that no upload can have; `None` is one that isn't known yet.

    Raises:
        ConfigurationError: it is below 1, or above what the server takes.
    """
    if length is None:
        return
    if length < 1:
        raise ConfigurationError(f"the length is {length}; wanted at least 1 byte")
    if limits.max_length is not None and length > limits.max_length:
        raise ConfigurationError(
            f"the length is {length} bytes; the server takes at most {limits.max_length}"
        )


def plan_creation(limits: ServerLimits, length: int | None) -> int:
    """Say how many bytes go with the creation request: the whole upload, or none.

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
    """Say how many bytes the next PATCH carries.

    Args:
        limits: what the server can take.
        remaining: length minus offset; `None` while the length is unknown.
        previous: bytes of the chunk before, 0 for the first.
        rate: bytes per second that the chunk before reached; `None` before the first.
    """
    target = _target(limits, previous, rate)
    if remaining is None:
        return target
    if not limits.tail_alone:
        return min(target, remaining)
    whole = remaining // limits.align * limits.align
    return min(target, whole) if whole else remaining


def check_offset(
    limits: ServerLimits, offset: int, *, length: int | None, held: int, reach: int
) -> str | None:
    """Name what makes an offset impossible; `None` where it can be believed.

    Args:
        limits: what the server can take.
        offset: what it says that it holds.
        length: bytes of the upload, where they are known.
        held: the most that it said before.
        reach: the most that it can hold, by what was sent.
    """
    if length is not None and offset > length:
        return f"Upload-Offset is {offset}; wanted at most the length, {length}"
    if offset > reach:
        return f"Upload-Offset is {offset} where at most {reach} bytes were sent"
    # @tus/s3-store 1.0.0 puts a short piece aside, forgets it, and prepends it to the next chunk:
    # going on from here would store those bytes twice.
    if limits.align > 1 and offset < held:
        return f"Upload-Offset is {offset} after it was {held}"
    return None


def _target(limits: ServerLimits, previous: int, rate: float | None) -> int:
    target = limits.first_chunk
    if rate is not None and previous:
        # Fourfold at the most: one quick chunk may only have filled a buffer on the way.
        target = int(min(rate * limits.max_chunk_seconds / 2, 4 * previous))
    if limits.max_chunk is not None:
        target = min(target, limits.max_chunk)
    return max(target // limits.align, 1) * limits.align


def _check(limits: ServerLimits) -> None:
    if limits.align < 1 or limits.first_chunk < 1 or limits.max_chunk_seconds <= 0:
        raise ConfigurationError(
            "ServerLimits: align, first_chunk and max_chunk_seconds must be above 0"
        )
    if limits.max_chunk is not None and limits.max_chunk < limits.align:
        raise ConfigurationError(
            f"a chunk of at most {limits.max_chunk} bytes is below the {limits.align} bytes to "
            "which this server needs chunks aligned: it would acknowledge and then forget them"
        )


def as_limits_for(
    limits: ServerLimits | Callable[[int], ServerLimits] | None,
) -> Callable[[int], ServerLimits]:
    """Take limits for those of any length, and `None` for Livepeer's."""
    if isinstance(limits, ServerLimits):
        return lambda _: limits
    return livepeer_limits if limits is None else limits
