"""Polling intervals, by the age of a wait and the asset's progress.

Pure; jitter is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence

# The server updates progress at each quarter or every 10 s; after the first moments, polling more
# often than every few seconds finds nothing new.
MIN_DELAY = 0.3
MAX_DELAY = 30.0
# Delay as a fraction of the age.
GROWTH = 0.2
LIST_GROWTH = 0.25

# A list of changes covers all assets. With 5 s between two lists, half of the changes are noticed
# within 2.5 s. Even with waits that start all the time, there are fewer than 100 lists a minute.
MIN_LIST_DELAY = 0.7
BUSY_LIST_DELAY = 5.0
MAX_LIST_DELAY = 30.0


def next_poll_delay(*, age: float, progress: float | None, jitter: float) -> float:
    """Return the seconds until an asset's next poll.

    The delay grows with the age of the wait and falls as the progress nears its end.

    Args:
        age: seconds waited so far.
        progress: 0 to 1; `None` if the server reports none.
        jitter: a random number in 0..1; changes the result by up to a quarter.
    """
    delay = age * GROWTH
    if progress is not None and 0 < progress < 1:
        delay = min(delay, age * (1 - progress) / progress / 2)
    bounded = min(max(delay, MIN_DELAY), MAX_DELAY)
    return bounded * (0.75 + jitter / 2)


def next_list_delay(*, age: float, quiet: float, jitter: float) -> float:
    """Return the seconds from one list of changes to the next.

    The delay grows with the age of the latest wait, beyond `BUSY_LIST_DELAY` only while nothing
    changes.

    Args:
        age: seconds since the latest wait started.
        quiet: seconds since a watched asset changed.
        jitter: a random number in 0..1; changes the result by up to a quarter.
    """
    delay = max(min(age * LIST_GROWTH, BUSY_LIST_DELAY), quiet * LIST_GROWTH)
    return max(min(delay, MAX_LIST_DELAY) * (0.75 + jitter / 2), MIN_LIST_DELAY)


def next_request_time(sent: Sequence[float], max_per_second: int) -> float:
    """Return the earliest time of the next request under a rate limit.

    Args:
        sent: times of earlier requests, oldest first; only the latest `max_per_second` matter.
        max_per_second: the limit for any second; 1 or more.
    """
    return sent[-max_per_second] + 1.0 if len(sent) >= max_per_second else 0.0
