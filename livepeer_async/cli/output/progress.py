"""Progress of one upload and of a whole command, as plain state that the displays read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.progress import Progress as TaskProgress
from rich.progress import Task, TaskID

from livepeer_async.http.observers import WaitEvent
from livepeer_async.http.retry import RetryEvent
from livepeer_async.ingest.events import RowState
from livepeer_async.uploads.options import UploadResult
from livepeer_async.uploads.progress import Progress, RateMeter, Stage

SUCCESSFUL = (RowState.READY, RowState.UPLOADED)


class FileProgress:
    """One upload: a FILE of the command line, or a row of a manifest.

    Attributes:
        argument: its name on the command line or in the manifest.
        name: the asset's name, which may have control characters.
        stage: the upload's stage; `None` before its first report.
        outcome: the state in which it ended; `None` before.
        sent: bytes that the server has acknowledged, or that were read if `stage` is `None`.
        in_flight: bytes that were sent, and that the server hasn't acknowledged.
        transferred: bytes that were sent in this run, repeated ones included.
        acknowledged: bytes that the server has acknowledged in this run.
        rate: bytes sent per second; `None` if unknown.
        processed: progress of the server's processing, 0 to 1; `None` if unknown.
        retry: the pending retry; `None` once a request succeeds.
        waiting: what it waits for without progress; `None` otherwise.
        resumed_at: bytes of an earlier run that the server has; 0 if it isn't resumed.
        is_earlier: whether an earlier run has sent all bytes of this row.
    """

    def __init__(self, argument: str, name: str, length: int | None) -> None:
        self.argument = argument
        self.name = name
        self.length = length
        self.stage: Stage | None = None
        self.outcome: RowState | None = None
        self.sent = self.in_flight = self.transferred = self.acknowledged = 0
        self.rate: float | None = None
        self.processed: float | None = None
        self.asset_id: str | None = None
        self.retry: RetryEvent | None = None
        self.waiting: WaitEvent | None = None
        self.has_retried = False
        self.resumed_at = 0
        self.is_earlier = False
        self.result: UploadResult | None = None
        self._retry_at = self._waiting_since = 0.0

    def update(self, progress: Progress, now: float) -> None:
        """Apply a progress report."""
        self._count_acknowledged(progress.sent)
        self.transferred += max(0, progress.in_flight - self.in_flight)
        if progress.stage is Stage.UPLOADING and self.stage is not Stage.UPLOADING:
            # A new upload begins at 0.
            self.resumed_at = progress.sent
        self.stage, self.rate = progress.stage, progress.rate
        self.sent, self.in_flight = progress.sent, progress.in_flight
        # A URL has no length before it is opened.
        self.length = progress.length or self.length
        self.processed = progress.processed
        self.asset_id = progress.asset_id or self.asset_id
        if progress.retry is not None and progress.retry is not self.retry:
            self.has_retried = True
            self._retry_at = now + progress.retry.delay
        if progress.waiting is not None:
            self._waiting_since = now - progress.waiting.seconds
        self.retry, self.waiting = progress.retry, progress.waiting

    def _count_acknowledged(self, sent: int) -> None:
        # What the server had before is of an earlier run.
        if self.stage is Stage.UPLOADING:
            self.acknowledged += max(0, sent - self.sent)

    def finish(self, outcome: RowState, *, length: int | None = None) -> None:
        """Record the outcome, and the length if it is known."""
        self.outcome = outcome
        self.retry = self.waiting = self.rate = None
        self.in_flight = 0
        self.length = length or self.length
        if outcome in SUCCESSFUL:
            self._count_acknowledged(self.length or 0)
            self.sent = self.length or 0

    def set_result(self, result: UploadResult) -> None:
        """Record the result of `upload_many`."""
        self.result = result
        self.asset_id = result.asset.id if result.asset else self.asset_id
        is_ready = result.asset is not None and result.asset.phase == "ready"
        outcome = RowState.READY if is_ready else RowState.UPLOADED
        self.finish(RowState.FAILED if result.error else outcome, length=result.length)

    @property
    def status(self) -> str:
        """The state in one word."""
        return str(self.outcome or self.stage or ("reading" if self.sent else "waiting"))

    @property
    def is_uploading(self) -> bool:
        """Whether its bytes are being sent."""
        return self.outcome is None and self.stage is Stage.UPLOADING

    @property
    def is_processing(self) -> bool:
        """Whether the server is processing it."""
        return self.outcome is None and self.stage is Stage.PROCESSING

    @property
    def is_sent(self) -> bool:
        """Whether all bytes were sent, and only the server's response is missing."""
        return bool(self.length) and self.sent + self.in_flight >= (self.length or 0)

    @property
    def is_starting(self) -> bool:
        """Whether its bytes aren't sent yet."""
        is_early = self.stage in {None, Stage.STARTING, Stage.RESUMING}
        return self.outcome is None and is_early

    @property
    def is_held_up(self) -> bool:
        """Whether it waits for a retry, or without progress."""
        return self.retry is not None or self.waiting is not None

    @property
    def is_counted(self) -> bool:
        """Whether its bytes are part of the total, which this run has sent or will send."""
        is_reading = self.stage is None and self.outcome is None and self.sent > 0
        is_excluded = self.outcome is RowState.FAILED or self.was_uploaded_before
        return not is_excluded and not is_reading

    @property
    def was_uploaded_before(self) -> bool:
        """Whether an earlier run had uploaded it."""
        result = self.result
        is_unsent = result is not None and result.error is None and result.attempts == 0
        return self.is_earlier or is_unsent

    def seconds_to_retry(self, now: float) -> float:
        """Return the seconds until the pending retry; 0 while it runs."""
        return max(0.0, self._retry_at - now)

    def seconds_waiting(self, now: float) -> float:
        """Return the seconds since its last progress, if it waits."""
        return now - self._waiting_since


class BatchProgress:
    """All uploads of a command: running ones, totals of finished ones, and expected ones.

    Attributes:
        started: when the first upload began.
        is_measured: whether the length of all files is known; URLs have none.
        waits: whether the command waits until the assets are ready.
    """

    def __init__(self, files: Iterable[FileProgress] = ()) -> None:
        self._files: dict[FileProgress, None] = dict.fromkeys(files)
        self.started = 0.0
        self.is_measured = self.waits = True
        self._expected = 0
        self._expected_length = 0
        self._finished = Counter[RowState]()
        self._finished_length = 0
        self._finished_transferred = self._finished_acknowledged = 0

    @property
    def files(self) -> list[FileProgress]:
        """The files that are tracked individually."""
        return list(self._files)

    @property
    def number(self) -> int:
        """The number of files: running, finished and expected."""
        return len(self._files) + self._finished.total() + self._expected

    @property
    def sent(self) -> int:
        """Bytes sent, without those of failed uploads."""
        return self._finished_length + sum(file.sent for file in self._files if file.is_counted)

    @property
    def in_flight(self) -> int:
        """Bytes that were sent, and that the server hasn't acknowledged."""
        return sum(file.in_flight for file in self._files if file.is_counted)

    @property
    def length(self) -> int:
        """Bytes of all files whose length is known, without failed uploads."""
        running = sum(file.length or 0 for file in self._files if file.is_counted)
        return self._finished_length + running + self._expected_length

    @property
    def transferred(self) -> int:
        """Bytes sent in this run, failed uploads included."""
        return self._finished_transferred + sum(file.transferred for file in self._files)

    @property
    def acknowledged(self) -> int:
        """Bytes that were sent in this run, and that the server has acknowledged."""
        return self._finished_acknowledged + sum(file.acknowledged for file in self._files)

    @property
    def succeeded(self) -> int:
        """The number of files that are ready or arrived."""
        return self.count(*SUCCESSFUL)

    @property
    def is_stalled(self) -> bool:
        """Whether all uploads wait for a retry."""
        uploading = [file for file in self._files if file.is_uploading]
        return bool(uploading) and all(file.retry is not None for file in uploading)

    def count(self, *outcomes: RowState) -> int:
        """Count the files with one of these outcomes."""
        tracked = sum(file.outcome in outcomes for file in self._files)
        return tracked + sum(self._finished[outcome] for outcome in outcomes)

    def summarize(self) -> str:
        """Describe how many files succeeded and failed."""
        # What is ready has arrived too.
        word = str(RowState.UPLOADED if self.count(RowState.UPLOADED) else RowState.READY)
        failed = self.count(RowState.FAILED)
        summary = f"{self.succeeded:,} of {self.number:,} {word}"
        return summary + (f", {failed:,} failed" if failed else "")

    def expect(self, number: int, *, length: int, is_measured: bool = True) -> None:
        """Set how many files will be added, and their bytes."""
        self._expected, self._expected_length = number, length
        self.is_measured = is_measured

    def add(self, file: FileProgress) -> None:
        """Track an expected file that starts."""
        self._files[file] = None
        self._change_expected(file, -1)

    def defer(self, file: FileProgress) -> None:
        """Remove a file that will be added again."""
        self._remove(file)
        self._change_expected(file, 1)

    def reject(self, *, length: int | None) -> None:
        """Remove an expected file that turned out to be bad; `length` is that of its file."""
        self._change_expected(FileProgress("", "", length), -1)

    def abandon(self, file: FileProgress) -> None:
        """Remove an unfinished file that won't be added again; its sent bytes stay in the total."""
        self.defer(file)
        self._finished_length += file.sent
        self._expected_length -= file.sent

    def retire(self, file: FileProgress) -> None:
        """Add a finished file to the totals; it may have finished without being added."""
        if file in self._files:
            self._remove(file)
        else:
            self._change_expected(file, -1)
        if file.outcome is not None:
            self._finished[file.outcome] += 1
        if file.is_counted:
            self._finished_length += file.length or 0

    def _remove(self, file: FileProgress) -> None:
        del self._files[file]
        self._finished_transferred += file.transferred
        self._finished_acknowledged += file.acknowledged

    def _change_expected(self, file: FileProgress, number: int) -> None:
        self._expected = max(0, self._expected + number)
        self._expected_length = max(0, self._expected_length + number * (file.length or 0))


def label_files(files: Sequence[FileProgress]) -> dict[FileProgress, str]:
    """Return the name of each file, with its argument or location if another one has that name."""
    numbers = Counter(file.name for file in files)
    return {
        file: file.name if numbers[file.name] == 1 else f"{file.name} ({file.argument})"
        for file in files
    }


class TotalRate:
    """Measures the rate of all uploads of a command.

    Args:
        now: returns seconds on a monotonic clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._meter = RateMeter(now)
        self._counted = 0

    def measure(self, batch: BatchProgress) -> float | None:
        """Count the bytes sent since the last call, and return the rate; `None` if unknown."""
        moved, self._counted = batch.transferred - self._counted, batch.transferred
        if moved > 0:
            self._meter.add(moved)
        if batch.is_stalled:
            self._meter.reset()
        return self._meter.rate


class TransferTasks(TaskProgress):
    """Rich's progress tasks; their rates and remaining times are ours."""

    def sync(self, task_id: TaskID, *, total: float | None, sent: int, **fields: Any) -> Task:
        """Update a task and return it.

        Args:
            task_id: the task.
            total: bytes to send; `None` if unknown.
            sent: bytes that the server has acknowledged.
            **fields: fields of the task.
        """
        task = self._tasks[task_id]
        task.total, task.finished_time = total, None
        self.update(task_id, completed=sent, **fields)
        return task


def seconds_left(sent: float, length: float, rate: float | None) -> float | None:
    """Return the remaining time; `None` if it is unknown or nothing is left."""
    return (length - sent) / rate if rate and sent < length else None
