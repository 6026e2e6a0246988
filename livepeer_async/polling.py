"""When to look at assets again, and what a phase means for one who waits.

In come ages, an asset's progress and a random number; out come seconds, or a verdict. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from livepeer_async.errors import AssetDeleted, AssetError, AssetFailed
from livepeer_async.messages import redact
from livepeer_async.models import Asset, AssetPhase

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

# Phases of an asset that is there no more, or will be so soon.
GONE = frozenset({AssetPhase.DELETING, AssetPhase.DELETED})
# What the task runner says where a URL gave it nothing.
NOT_FETCHED = "file download failed"
# What it says of failures that another run may not meet.
RETRYABLE_FAILURES = (
    "internal error processing file",
    NOT_FETCHED,
    "error saving file to storage",
    "execution timeout",
)


def next_poll(*, age: float, progress: float | None, jitter: float) -> float:
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


def next_round(*, age: float, quiet: float, jitter: float) -> float:
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


def next_turn(sent: Sequence[float], most_a_second: int) -> float:
    """Give the time from which a request keeps any second at `most_a_second` requests.

    Args:
        sent: times of the requests so far, the oldest first; only the last ones count.
        most_a_second: 1 or more.
    """
    return sent[-most_a_second] + 1.0 if len(sent) >= most_a_second else 0.0


def is_ready(asset: Asset) -> bool:
    """Whether the asset can be played and nothing more will come."""
    return asset.phase == AssetPhase.READY


def has_left_uploading(asset: Asset) -> bool:
    """Whether the server has taken note that all bytes are there."""
    return asset.phase not in {AssetPhase.UPLOADING, None}


def end_of(asset: Asset) -> AssetError | None:
    """Give the error that an asset's phase stands for; `None` where it may still become ready.

    A phase that nobody knew of when this was written may lead anywhere: it is waited out.
    """
    if asset.phase == AssetPhase.FAILED:
        # The pipeline's sentences may quote the signed URL that it couldn't open.
        said = redact((asset.status and asset.status.error_message) or "no explanation")
        can_retry = any(mark in said.lower() for mark in RETRYABLE_FAILURES)
        return AssetFailed(
            f"asset {asset.id} failed: {said}",
            asset_id=asset.id,
            error_message=said,
            is_retryable=can_retry,
        )
    if asset.phase in GONE:
        return deleted(asset.id)
    return None


def deleted(asset_id: str) -> AssetDeleted:
    """Give the error for an asset that is there no more."""
    return AssetDeleted(f"asset {asset_id} was deleted while it was waited for", asset_id=asset_id)
