"""The state of one asset that is waited for: what was seen, when, and how the wait ends.

Pure.
"""

from __future__ import annotations

from math import inf

from livepeer_async.errors import AssetTimeout, LivepeerError, NotFound
from livepeer_async.models import Asset
from livepeer_async.polling.intervals import next_poll_delay
from livepeer_async.polling.phases import deleted_error, failure_of


class WatchedAsset:
    """What is known of one asset that is waited for.

    Attributes:
        asset: as it was last seen; `None` before the first look.
        failure: the error that no `ready` can follow; `None` while one can.
        is_polled: whether there was a look.
        failures: looks in a row that found nothing out.
        etag: of the answer that `asset` came from, where it has one.
        due: when to look at it alone.
        known_until: until when all its changes are known.
        last_confirmed: when the server last said that it is there.
        needs_single_poll: whether a list that should have told of it didn't.
    """

    __slots__ = (
        "_started",
        "_timeout",
        "asset",
        "asset_id",
        "due",
        "etag",
        "failure",
        "failures",
        "is_polled",
        "known_until",
        "last_confirmed",
        "needs_single_poll",
    )

    def __init__(self, asset_id: str) -> None:
        self.asset_id = asset_id
        self.asset: Asset | None = None
        self.failure: LivepeerError | None = None
        self.is_polled = False
        self.failures = 0
        self.etag: str | None = None
        self.due = 0.0
        self.known_until = -inf
        self.last_confirmed = 0.0
        self.needs_single_poll = False
        self._started = 0.0
        self._timeout = 0.0

    def restart(self, now: float, timeout: float, jitter: float) -> None:
        """Begin to count the time anew; what was seen in an earlier wait isn't due at once."""
        self._started, self._timeout = now, timeout
        self.failure, self.failures, self.needs_single_poll, self.last_confirmed = (
            None,
            0,
            False,
            now,
        )
        self.due = now + self.delay(now, jitter) if self.is_polled else now

    def update(self, asset: Asset | None, etag: str | None, at: float) -> bool:
        """Take what a look showed, `None` where all is as it was; say whether that is news.

        Args:
            asset: the asset.
            etag: for the next look.
            at: when it was asked for.
        """
        self.is_polled, self.needs_single_poll, self.failures = True, False, 0
        self.last_confirmed, self.known_until = at, max(self.known_until, at)
        if asset is None or self._is_older(asset):
            asset = self.asset
        else:
            self.etag = etag
        has_changed = asset != self.asset
        self.asset = asset
        self.failure = failure_of(asset) if asset else None
        return has_changed or self.failure is not None

    def fail(self, error: LivepeerError) -> None:
        """Take an answer that ends the wait."""
        self.failure = error
        if self.is_polled and isinstance(error, NotFound):
            self.failure = deleted_error(self.asset_id)
            self.failure.__cause__ = error

    @property
    def deadline(self) -> float:
        """When the wait is over."""
        return self._started + self._timeout

    def delay(self, now: float, jitter: float) -> float:
        """Give the seconds until the next look."""
        progress = self.asset.status.progress if self.asset and self.asset.status else None
        return next_poll_delay(age=now - self._started, progress=progress, jitter=jitter)

    def timeout_error(self, now: float) -> AssetTimeout:
        """Say that the asset isn't ready in time, and what its phase is."""
        phase = self.asset.phase if self.asset else "unknown"
        return AssetTimeout(
            f"asset {self.asset_id} isn't ready after {now - self._started:.0f} s: "
            f"its phase is {phase!r}",
            asset_id=self.asset_id,
        )

    def _is_older(self, asset: Asset) -> bool:
        """Whether this was overtaken on its way, as a row of a list may be."""
        before = self.asset.status.updated_at if self.asset and self.asset.status else None
        after = asset.status.updated_at if asset.status else None
        return before is not None and after is not None and after < before
