"""The state of a watched asset. Pure."""

from __future__ import annotations

from math import inf, isfinite

from msgspec import Struct

from livepeer_async.errors import AssetFailed, AssetTimeout, LivepeerError, NotFound
from livepeer_async.models import Asset, AssetPhase, AssetStatus, Task
from livepeer_async.polling.intervals import next_poll_delay
from livepeer_async.polling.phases import deleted_error, is_newer, is_reprocessed, make_failure

# Seconds between two looks at the task of an asset that is processed again. The asset itself shows
# how it ends; the task only shows that it may have ended without a change of the asset.
MIN_TASK_DELAY = 30.0
# Seconds after the end of a task within which its asset changes.
MAX_ASSET_DELAY = 2.0


class WatchedAsset(Struct, eq=False):
    """A watched asset: its latest known state, and when to poll it.

    Attributes:
        asset_id: the asset's ID.
        asset: the latest version; `None` before the first poll.
        failure: the error that ends the wait.
        is_polled: whether a poll has succeeded, or an event has shown the asset.
        failures: failed polls in a row.
        etag: ETag of `asset`, if it has one.
        due: time of the next single poll.
        known_until: time until which all its changes are known.
        last_confirmed: time when the server last returned the asset.
        needs_single_poll: whether a list that should have contained the asset didn't.
        started: time when the wait started.
        timeout: time limit of the wait, in seconds.
        is_reprocessed: whether a retry processes the failed asset again.
        task_due: time of the next look at the task of an asset that was found failed; `None` if
            the asset alone tells whether it has failed.
        task_failures: failed looks at the task.
        fails_at: time from which the asset counts as failed if it stays as it is.
        retried: the status with which it failed before this client had it processed again.
        quiet_until: time until which no poll is needed, because its events arrive.
        noticed: date of the newest of its events, in milliseconds since 1970.
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
    is_reprocessed: bool = False
    task_due: float | None = None
    task_failures: int = 0
    fails_at: float = inf
    retried: AssetStatus | None = None
    quiet_until: float = -inf
    noticed: int = 0

    def restart(self, now: float, timeout: float, jitter: float) -> None:
        """Start a wait; the first poll is due now, unless an earlier wait polled the asset."""
        self.started, self.timeout = now, timeout
        self.failure, self.failures = None, 0
        self.needs_single_poll, self.last_confirmed = False, now
        self.due = now
        if self.is_polled:
            self.schedule(now, jitter)

    def update(self, asset: Asset | None, etag: str | None, at: float) -> bool:
        """Record the result of a poll; return whether it is a change or a failure.

        An asset that was already failed when it was first polled may be processed again; its task
        decides.

        Args:
            asset: the asset; `None` if it is unchanged.
            etag: for the next poll.
            at: time of the request.
        """
        self.needs_single_poll, self.failures = False, 0
        self.last_confirmed, self.known_until = at, max(self.known_until, at)
        if asset is None or self.is_older(asset):
            asset = self.asset
        else:
            self.etag = etag
        return self.record(asset, at)

    def record(self, asset: Asset | None, at: float) -> bool:
        """Record a state of the asset; return whether it is a change or a failure."""
        self.is_polled = True
        before, self.asset = self.asset, asset
        if before is not None and asset is not None and before.status != asset.status:
            # The failure, if it is one, is new.
            self.fails_at, self.is_reprocessed = -inf, False
        self.failure = self._find_failure(at)
        return asset != before or self.failure is not None

    def update_task(self, task: Task | None, at: float, jitter: float) -> None:
        """Record the newest task of the failed asset.

        Args:
            task: the task; `None` if there is none.
            at: time of the request.
            jitter: a random number in 0..1.
        """
        asset = self.asset
        self.task_failures = 0
        self.is_reprocessed = asset is not None and is_reprocessed(asset, task)
        if self.is_reprocessed:
            self.task_due = at + max(self.delay(at, jitter), MIN_TASK_DELAY)
        elif task is not None and asset is not None and is_newer(task, asset):
            # The task ends a moment before its asset changes.
            self.task_due, self.fails_at = None, min(self.fails_at, at + MAX_ASSET_DELAY)
            self.due, self.needs_single_poll = at, True
        else:
            self.confirm_failure()

    def skip_task(self) -> None:
        """Judge a failed asset whose task can't be read, such as with a restricted API key."""
        if self.retried is not None and self.asset and self.asset.status == self.retried:
            self.is_reprocessed, self.task_due = True, inf
        else:
            self.confirm_failure()

    def confirm_failure(self) -> None:
        """Record that the asset, which was found failed, isn't processed again."""
        self.fails_at = -inf
        self.failure = self._find_failure(inf)

    def _find_failure(self, at: float) -> LivepeerError | None:
        failure = make_failure(self.asset) if self.asset else None
        if not isinstance(failure, AssetFailed) or at >= self.fails_at:
            self.task_due = None
            return failure
        if self.task_due is None and self.fails_at == inf:
            self.task_due = at
        return None

    def fail(self, error: LivepeerError) -> None:
        """Record an error that ends the wait."""
        self.failure = error
        if self.is_polled and isinstance(error, NotFound):
            self.failure = deleted_error(self.asset_id)
            self.failure.__cause__ = error

    @property
    def may_be_reprocessed(self) -> bool:
        """Whether it isn't known yet if the failed asset is processed again."""
        is_failed = self.asset is not None and self.asset.phase == AssetPhase.FAILED
        return is_failed and self.failure is None and not self.is_reprocessed

    def is_task_due(self, now: float) -> bool:
        """Whether the next request is for the task rather than the asset."""
        return self.task_due is not None and self.task_due <= now

    def needs_request(self, now: float) -> bool:
        """Whether lists of changes aren't enough to know the asset's state."""
        is_settling = isfinite(self.fails_at) and self.due <= now
        return self.needs_single_poll or self.is_task_due(now) or is_settling

    @property
    def next_due(self) -> float:
        """Time of the next request for the asset or its task."""
        return self.due if self.task_due is None else min(self.due, self.task_due)

    @property
    def deadline(self) -> float:
        """Time when the wait times out."""
        return self.started + self.timeout

    def delay(self, now: float, jitter: float) -> float:
        """Return the seconds until the next single poll."""
        progress = self.asset.status.progress if self.asset and self.asset.status else None
        return next_poll_delay(age=now - self.started, progress=progress, jitter=jitter)

    def schedule(self, now: float, jitter: float) -> None:
        """Set the time of the next single poll."""
        self.due = max(now + self.delay(now, jitter), self.quiet_until)

    def timeout_error(self, now: float) -> AssetTimeout:
        """Return the error for a wait that timed out."""
        phase = self.asset.phase if self.asset else "unknown"
        state = "it is being processed again" if self.is_reprocessed else f"its phase is {phase!r}"
        return AssetTimeout(
            f"asset {self.asset_id} isn't ready after {now - self.started:.0f} s: {state}",
            asset_id=self.asset_id,
        )

    def is_older(self, asset: Asset) -> bool:
        """Whether this version is older than the latest, as a row of a list may be."""
        latest = self.asset.status.updated_at if self.asset and self.asset.status else None
        updated_at = asset.status.updated_at if asset.status else None
        return latest is not None and updated_at is not None and updated_at < latest
