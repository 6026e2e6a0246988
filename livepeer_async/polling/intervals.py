"""Polling intervals: when to look at an asset again, by its age and its progress.

Pure; jitter is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence

# The server reports progress at the quarters or every 10 s, so that asking more often than every
# few seconds learns nothing, once the first moments are over.
SHORTEST_DELAY = 0.3
LONGEST_DELAY = 30.0
GROWTH = 0.2

# A list of changes tells of all assets at once. While things change, 5 s between two lists let half
# of the changes be noticed within 2.5 s. Where somebody joins all the time, a minute has fewer than
# a hundred lists.
SHORTEST_ROUND = 0.7
BUSY_ROUND = 5.0
LONGEST_ROUND = 30.0
# Long videos take hours to transcode; for ever is no answer.
READY_TIMEOUT = 6 * 3600.0


def next_poll_delay(*, age: float, progress: float | None, jitter: float) -> float:
    """Give the seconds until the next look.

    The interval grows with the time that was waited, and falls towards the end that the progress
    lets expect.

    Args:
        age: seconds waited so far.
        progress: 0 to 1; `None` where the server names none.
        jitter: a random number in 0..1; moves the result by a quarter up or down.
    """
    delay = age * GROWTH
    if progress is not None and 0 < progress < 1:
        delay = min(delay, age * (1 - progress) / progress / 2)
    bounded = min(max(delay, SHORTEST_DELAY), LONGEST_DELAY)
    return bounded * (0.75 + jitter / 2)


def next_list_delay(*, age: float, quiet: float, jitter: float) -> float:
    """Give the seconds from one list of changes to the next.

    The interval grows with the time since anybody began to wait, and beyond `BUSY_ROUND` only where
    nothing changes.

    Args:
        age: seconds since the last one began to wait.
        quiet: seconds since an asset that is waited for has changed.
        jitter: a random number in 0..1; moves the result by a quarter up or down.
    """
    delay = max(min(age * GROWTH, BUSY_ROUND), quiet * GROWTH)
    return max(min(delay, LONGEST_ROUND) * (0.75 + jitter / 2), SHORTEST_ROUND)


def next_request_time(sent: Sequence[float], most_a_second: int) -> float:
    """Give the time from which a request keeps any second at `most_a_second` requests.

    Args:
        sent: times of the requests so far, the oldest first; only the last ones count.
        most_a_second: 1 or more.
    """
    return sent[-most_a_second] + 1.0 if len(sent) >= most_a_second else 0.0
