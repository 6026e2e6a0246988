"""Random files and kill times, from the seed in the environment.

LIVEPEER_ASYNC_RESTARTS_SEED    seed of the lengths and times
LIVEPEER_ASYNC_RESTARTS_KILLS   number of kills
LIVEPEER_ASYNC_RESTARTS_FILES   number of files
"""

import os
from collections.abc import Iterator
from random import Random

from msgspec import Struct

from support.constants import MIB

# Livepeer's alignment of chunks.
PART = 8 * MIB
# A kill cuts the chunks of all concurrent uploads; the server keeps their whole parts.
MAX_REPEATED = 64 * MIB

SEED = int(os.environ.get("LIVEPEER_ASYNC_RESTARTS_SEED", "1"))
KILLS = int(os.environ.get("LIVEPEER_ASYNC_RESTARTS_KILLS", "3"))
FILES = int(os.environ.get("LIVEPEER_ASYNC_RESTARTS_FILES", "5"))
# Whether to run all cases, and files of many chunks.
IS_LONG = KILLS >= 100

CONCURRENCY = 4
# A part takes 0.5 or 1 s: a run of a few seconds sends some of them.
BYTES_PER_SECOND = 8_000_000 if IS_LONG else 16_000_000
PROCESSING = 1.0 if IS_LONG else 0.5
MAX_LENGTH = (40 if IS_LONG else 18) * MIB

# A quarter of the kills hit the start of the interpreter and the imports, which took 0.4 to 1 s.
START_SHARE = 1 / 4
START_SECONDS = 0.5
MAX_SECONDS = 3.0 if IS_LONG else 1.5


class Instant(Struct, frozen=True):
    """A kill time, in seconds after the start if `is_early`, else after the first request."""

    seconds: float
    is_early: bool


def draw_lengths(random: Random, count: int) -> list[int]:
    """Draw lengths; two of every five files have several parts, the others at most one."""
    return [
        random.randint(PART + 1, MAX_LENGTH) if number % 5 < 2 else random.randint(1, PART)
        for number in range(count)
    ]


def draw_instants(random: Random, count: int) -> Iterator[Instant]:
    """Draw kill times."""
    for _ in range(count):
        is_early = random.random() < START_SHARE
        yield Instant(random.uniform(0, START_SECONDS if is_early else MAX_SECONDS), is_early)
