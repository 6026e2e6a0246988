"""How much is killed, of what, and when: all drawn from one seed.

LIVEPEER_ASYNC_RESTARTS_SEED    seed of the files' lengths and of the instants
LIVEPEER_ASYNC_RESTARTS_KILLS   how many kills
LIVEPEER_ASYNC_RESTARTS_FILES   how many files the command is given
"""

import os
from collections.abc import Iterator
from random import Random

from msgspec import Struct

MIB = 1024 * 1024
# Livepeer's own limits: the part that a chunk is aligned to, and the largest chunk.
PART = 8 * MIB
MOST_CHUNK = 64 * MIB

SEED = int(os.environ.get("LIVEPEER_ASYNC_RESTARTS_SEED", "1"))
KILLS = int(os.environ.get("LIVEPEER_ASYNC_RESTARTS_KILLS", "4"))
FILES = int(os.environ.get("LIVEPEER_ASYNC_RESTARTS_FILES", "6"))
# Whether there is time for all that can be tried, and for files of many chunks.
IS_LONG = KILLS >= 100

CONCURRENCY = 4
# A part takes half a second, or a second: a run that lives for a few has time for some of them.
BYTES_PER_SECOND = 8_000_000 if IS_LONG else 16_000_000
PROCESSING = 1.0 if IS_LONG else 0.5
LONGEST = (40 if IS_LONG else 18) * MIB

# A quarter of the kills strike while the interpreter starts and modules are imported, which took
# 0.4 to 1 s; the others at any time after the first request.
START_SHARE = 1 / 4
START_SECONDS = 0.5
LATEST = 3.0 if IS_LONG else 1.5


class Instant(Struct, frozen=True):
    """When the command is killed: so many seconds after its start, or after its first request."""

    seconds: float
    is_early: bool


def draw_lengths(random: Random, count: int) -> list[int]:
    """Draw lengths of files: of every five, two have several parts, the rest go with a creation."""
    return [
        random.randint(PART + 1, LONGEST) if number % 5 < 2 else random.randint(1, PART)
        for number in range(count)
    ]


def draw_instants(random: Random, count: int) -> Iterator[Instant]:
    """Draw when the command is killed, each time anew."""
    for _ in range(count):
        is_early = random.random() < START_SHARE
        yield Instant(random.uniform(0, START_SECONDS if is_early else LATEST), is_early)
