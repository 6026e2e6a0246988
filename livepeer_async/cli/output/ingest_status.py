"""The status of an ingestion: counts of rows, failures by kind, and the current obstacle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from livepeer_async.cli.output.error_messages import ExitStatus, exit_status_for, will_retry
from livepeer_async.cli.output.formatting import format_countdown, pluralize
from livepeer_async.cli.output.progress import SUCCESSFUL, BatchProgress
from livepeer_async.errors import LivepeerError, UploadInUse
from livepeer_async.http.observers import RequestEvent, WaitEvent
from livepeer_async.ingest.events import Checked, RowEnded, RowState
from livepeer_async.uploads.leftovers import LeftoverReport

# Shorter silence is normal: a server may take this long to store a part.
MIN_QUIET_SECONDS = 10.0
# Rows whose assets are printed after an interruption; the report has all.
MAX_FINISHED = 20


class Outage(Struct, frozen=True):
    """The server doesn't respond, and no row starts.

    Attributes:
        reason: why the last check failed.
        next_probe: monotonic time of the next check.
        checks: checks that failed.
    """

    reason: str
    next_probe: float
    checks: int = 1


class IngestStatus:
    """The status of an ingestion.

    Attributes:
        batch: the running rows, and totals.
        stats: counts of the rows that ended.
        outage: the current outage of the server, if any.
        journal_option: the option that names the journal in suggested commands: "" for the
            default journal, `None` without one.
        deferred: rows that failed for now and will be retried after the others.
        probed: files that a check has probed.
        leftovers: possible leftovers that no earlier run has reported, known at the end.
        is_stopping: whether running rows only finish their chunks.
        is_paused: returns whether the server has asked for less load.
        idle_seconds: returns the seconds for which requests have been in flight without a byte or
            a response.
    """

    def __init__(self) -> None:
        self.batch = BatchProgress()
        self.stats = IngestStats()
        self.outage: Outage | None = None
        self._waiting: WaitEvent | None = None
        self.journal_option: str | None = None
        self.deferred = 0
        self.probed = 0
        self.leftovers = LeftoverReport()
        self.is_stopping = False
        self.is_paused: Callable[[], bool] = lambda: False
        self.idle_seconds: Callable[[], float] = lambda: 0.0

    @property
    def quiet_seconds(self) -> float:
        """Seconds without a byte or a response; 0 below `MIN_QUIET_SECONDS`."""
        seconds = self.idle_seconds()
        return seconds if seconds >= MIN_QUIET_SECONDS else 0.0

    def observe(self, event: RequestEvent) -> None:
        """Record what a request waits for, such as the check of the server before the first row."""
        self._waiting = event if isinstance(event, WaitEvent) and event.seconds else None

    def count_probed(self) -> None:
        """Count a file that a check has probed."""
        self.probed += 1

    def counts(self) -> list[str]:
        """Describe how many rows are in which state, the most important first."""
        batch, stats = self.batch, self.stats
        bad = [pluralize(stats.bad, "bad row")] if stats.bad else []
        if stats.checked is None:
            probed = [f"{pluralize(self.probed, 'file')} probed"] if self.probed else []
            return ["checking the manifest", *probed, *bad]
        active = [file for file in batch.files if file.retry is None]
        numbers = {
            "uploading": sum(file.is_uploading for file in active),
            "processing": sum(file.is_processing for file in active),
            "waiting for a retry": len(batch.files) - len(active),
            "starting": sum(file.is_starting for file in active),
            "deferred": self.deferred,
            "by other runs": stats.earlier,
        }
        return [batch.summarize(), *(f"{n:,} {state}" for state, n in numbers.items() if n), *bad]

    def obstacle(self, now: float) -> str:
        """Describe what keeps rows from starting; "" if nothing does."""
        quiet = ""
        if self.quiet_seconds:
            quiet = f"no progress for {format_countdown(int(self.quiet_seconds))}"
        if self.is_stopping:
            uploading = sum(file.is_uploading for file in self.batch.files)
            chunks = f"finishing {pluralize(uploading, 'chunk')} in flight"
            return f"stopping: {quiet or chunks}; Ctrl-C quits immediately" if uploading else ""
        if self.outage is not None:
            seconds = self.outage.next_probe - now
            when = f"in {format_countdown(seconds)}" if seconds > 0 else "running"
            return f"halted, retry {self.outage.checks} {when}: {self.outage.reason}"
        if quiet:
            return f"{quiet}; waiting for the server"
        if self._waiting is not None and not self.batch.files:
            return str(self._waiting)
        return "paused: the server is busy or its queue is full" if self.is_paused() else ""


class FailureKind(Struct):
    """Failures of one kind: their number, and the first one with its location."""

    number: int
    location: str
    message: str
    error: LivepeerError


class IngestStats:
    """Counts of the rows of an ingestion.

    Attributes:
        checked: the result of checking the manifest; `None` until then.
        bad: the number of rows that can't be used, so far.
        unsupported: the number of them whose file Livepeer can't process.
        earlier: the number of rows that another run finished.
        in_use: the number of rows that another run is uploading.
        finished: the first rows that were finished in this run.
        failures: by class of the error, and whether the same command retries it.
    """

    def __init__(self) -> None:
        self.checked: Checked | None = None
        self.bad = 0
        self.unsupported = 0
        self.earlier = 0
        self.in_use = 0
        self.failures: dict[tuple[str, bool], FailureKind] = {}
        self.finished: list[RowEnded] = []
        self._ended = Counter[RowState]()

    def count(self, state: RowState) -> int:
        """Count the rows that ended in a state; rows that never started are unfinished."""
        ended = self._ended[state]
        if state is not RowState.UNFINISHED or self.checked is None:
            return ended
        # The manifest is read a second time for the rows, and may have changed since the check.
        good = self.checked.rows - (self.bad - self.checked.bad)
        return max(0, good - self._ended.total()) + ended

    def record(self, ended: RowEnded, message: str) -> None:
        """Count a row that has ended, with the message for its error."""
        self._ended[ended.state] += 1
        self.earlier += ended.is_earlier
        error = ended.error
        if ended.state in SUCCESSFUL and not ended.is_earlier and len(self.finished) < MAX_FINISHED:
            self.finished.append(ended)
        if isinstance(error, UploadInUse):
            self.in_use += 1
        elif error is not None:
            kind = (type(error).__name__, will_retry(error))
            first = FailureKind(0, ended.row.location, message, error)
            self.failures.setdefault(kind, first).number += 1

    @property
    def has_rows(self) -> bool:
        """Whether any row has ended or is bad."""
        return bool(self.bad or self._ended)

    @property
    def is_empty(self) -> bool:
        """Whether the manifest was checked and has no row."""
        return self.checked is not None and not self.checked.rows and not self.bad

    def exit_status(self) -> ExitStatus:
        """Return the exit status for the rows."""
        errors = [kind.error for kind in self.failures.values()]
        if exit_status_for(errors) is ExitStatus.NOT_AUTHORIZED:
            return ExitStatus.NOT_AUTHORIZED
        is_ok = not self.bad and not self.failures and not self.count(RowState.UNFINISHED)
        return ExitStatus.OK if is_ok and not self.is_empty else ExitStatus.FAILED
