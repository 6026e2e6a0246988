"""Random cancellations: how an upload is cancelled, of what source, and when."""

import os
import random

from msgspec import Struct

# `nox -s cancellation` sets 1,000 for each library.
COUNT = int(os.environ.get("LIVEPEER_ASYNC_CANCELLATIONS", "10"))

SOURCES = ("bytes", "small", "path", "file", "stream", "spooled")
# Methods that end at a deadline; the others are triggered by a moment.
DEADLINES = ("move_on_after", "asyncio.timeout")
METHODS = (
    *DEADLINES,
    "scope",
    "task",
    "task, twice",
    "error in the block",
    "abort",
    "many",
    "many, left",
)
# A cancelled client waits 2 s for the response to its request for an upload.
STALLS = (0.5, 3.0)
SLOW_BYTES_PER_SECOND = 300_000


class Case(Struct, frozen=True, kw_only=True):
    """One cancellation.

    Attributes:
        method: How the upload is cancelled.
        source: The kind of source.
        at: What triggers it: "seconds", "request", "progress", or "stalled" or "slow", a fault of
            the request `number`.
        number: The request or progress event, from 1; with "seconds" the fraction of the duration
            of an upload that isn't cancelled.
        lag: Additional seconds after the request.
        stall: Seconds that the fault holds the request.
        after_bytes: Bytes of the body before the stall.
    """

    seed: int
    method: str
    source: str
    at: str
    number: float
    lag: float
    stall: float
    after_bytes: int


def draw_cases(count, seed):
    return [draw_case(seed * 100_000 + number) for number in range(count)]


def draw_case(seed):
    rng = random.Random(seed)
    method = rng.choice(METHODS)
    at = rng.choices(("seconds", "request", "progress", "stalled", "slow"), (35, 30, 20, 10, 5))[0]
    if method in DEADLINES:
        at = "seconds"
    return Case(
        seed=seed,
        method=method,
        source=rng.choice(SOURCES),
        at=at,
        number=rng.random() if at == "seconds" else rng.randint(1, 8),
        lag=rng.choice((0.0, rng.uniform(0, 0.02))),
        stall=rng.choice(STALLS),
        after_bytes=rng.choice((0, rng.randrange(1, 200_000))),
    )
