"""The state of a watched asset. Pure."""

from __future__ import annotations

from math import inf

from msgspec import Struct

from livepeer_async.errors import AssetTimeout, LivepeerError, NotFound
from livepeer_async.models import Asset
from livepeer_async.polling.intervals import next_poll_delay
from livepeer_async.polling.phases import deleted_error, make_failure


class WatchedAsset(Struct, eq=False):
    """A watched asset: its latest known state, and when to poll it.

    Attributes:
        asset_id: the asset's ID.
        asset: the latest version; `None` before the first poll.
        failure: the error that ends the wait.
        is_polled: whether a poll has succeeded.
        failures: failed polls in a row.
        etag: ETag of `asset`, if it has one.
        due: time of the next single poll.
        known_until: time until which all its changes are known.
        last_confirmed: time when the server last returned the asset.
        needs_single_poll: whether a list that should have contained the asset didn't.
        started: time when the wait started.
        timeout: time limit of the wait, in seconds.
    """

    asset_id: str
    asset: Asset | None = None
    failure: LivepeerError | None = None
    is_polled: bool = False
    failures: int = 0
    etag: str | None = None
    due: float = 0.0
    known_until: float = -inf
    last_confirmed: float = 0.0
    needs_single_poll: bool = False
    started: float = 0.0
    timeout: float = 0.0

    def restart(self, now: float, timeout: float, jitter: float) -> None:
        """Start a wait; the first poll is due now, unless an earlier wait polled the asset."""
        self.started, self.timeout = now, timeout
        self.failure, self.failures = None, 0
        self.needs_single_poll, self.last_confirmed = False, now
        self.due = now + self.delay(now, jitter) if self.is_polled else now

    def update(self, asset: Asset | None, etag: str | None, at: float) -> bool:
        """Record the result of a poll; return whether it is a change or a failure.

        Args:
            asset: the asset; `None` if it is unchanged.
            etag: for the next poll.
            at: time of the request.
        """
        self.is_polled, self.needs_single_poll, self.failures = True, False, 0
        self.last_confirmed, self.known_until = at, max(self.known_until, at)
        if asset is None or self._is_older(asset):
            asset = self.asset
        else:
            self.etag = etag
        has_changed = asset != self.asset
        self.asset = asset
        self.failure = make_failure(asset) if asset else None
        return has_changed or self.failure is not None

    def fail(self, error: LivepeerError) -> None:
        """Record an error that ends the wait."""
        self.failure = error
        if self.is_polled and isinstance(error, NotFound):
            self.failure = deleted_error(self.asset_id)
            self.failure.__cause__ = error

    @property
    def deadline(self) -> float:
        """Time when the wait times out."""
        return self.started + self.timeout

    def delay(self, now: float, jitter: float) -> float:
        """Return the seconds until the next single poll."""
        progress = self.asset.status.progress if self.asset and self.asset.status else None
        return next_poll_delay(age=now - self.started, progress=progress, jitter=jitter)

    def timeout_error(self, now: float) -> AssetTimeout:
        """Return the error for a wait that timed out."""
        phase = self.asset.phase if self.asset else "unknown"
        return AssetTimeout(
            f"asset {self.asset_id} isn't ready after {now - self.started:.0f} s: "
            f"its phase is {phase!r}",
            asset_id=self.asset_id,
        )

    def _is_older(self, asset: Asset) -> bool:
        """Whether this version is older than the latest, as a row of a list may be."""
        latest = self.asset.status.updated_at if self.asset and self.asset.status else None
        updated_at = asset.status.updated_at if asset.status else None
        return latest is not None and updated_at is not None and updated_at < latest
