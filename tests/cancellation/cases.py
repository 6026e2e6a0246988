"""The cases of a sweep: how an upload is cancelled, of what source, and when, drawn from a seed."""

import os
import random

from msgspec import Struct

# `nox -s cancellation` asks for 1,000 in each library.
COUNT = int(os.environ.get("LIVEPEER_ASYNC_CANCELLATIONS", "16"))

SOURCES = ("bytes", "small", "path", "file", "stream", "spooled")
# Those that a deadline ends, and those that are told to end at a moment.
DEADLINES = ("move_on_after", "asyncio.timeout")
HOWS = (
    *DEADLINES,
    "scope",
    "task",
    "task, twice",
    "error in the block",
    "abort",
    "many",
    "many, left",
)
# The client waits 2 s here for the answer to a request for an upload that was cancelled meanwhile.
STALLS = (0.5, 3.0)
SLOW_BYTES_PER_SECOND = 300_000


class Case(Struct, frozen=True, kw_only=True):
    """One cancellation.

    Attributes:
        how: by what means.
        source: of which kind.
        at: "seconds", "request", "progress" (those count from 1), or "stalled", "slow", where a
            fault holds the request `number`.
        number: the count; with "seconds" the part of the duration of an upload that isn't
            cancelled.
        lag: seconds more after the request was seen.
        stall: seconds that the fault holds the request.
        after_bytes: of the body, before the stall.
    """

    seed: int
    how: str
    source: str
    at: str
    number: float
    lag: float
    stall: float
    after_bytes: int


def draw(count, seed):
    """Draw so many cases."""
    return [draw_one(seed * 100_000 + number) for number in range(count)]


def draw_one(seed):
    rng = random.Random(seed)
    how = rng.choice(HOWS)
    at = rng.choices(("seconds", "request", "progress", "stalled", "slow"), (35, 30, 20, 10, 5))[0]
    if how in DEADLINES:
        at = "seconds"
    return Case(
        seed=seed,
        how=how,
        source=rng.choice(SOURCES),
        at=at,
        number=rng.random() if at == "seconds" else rng.randint(1, 8),
        lag=rng.choice((0.0, rng.uniform(0, 0.02))),
        stall=rng.choice(STALLS),
        after_bytes=rng.choice((0, rng.randrange(1, 200_000))),
    )
