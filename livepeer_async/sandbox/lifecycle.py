"""The life of an asset and its task as a list of dated steps, without a clock.

The step in force is the last one that has begun. `processing` ends only with a step that
`end_processing` adds once the source was described.

    asset:  uploading -> waiting -> processing (progress) -> ready | failed
    task:   pending   -> waiting -> running (progress)    -> completed | failed
"""

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

# The task runner reports progress where it crosses these; never decreasing.
PROGRESS = (0.0, 0.25, 0.5, 0.75)


class Status(Struct, frozen=True):
    """A phase and what comes with it; `at` is the time of `updatedAt`."""

    phase: str
    at: float
    progress: float | None = None
    error: str | None = None
    retries: int | None = None


class Step(Struct, frozen=True):
    """What an asset and its task are from a time on."""

    at: float
    asset: Status
    task: Status


class Failure(Struct, frozen=True):
    """How processing goes wrong.

    Attributes:
        message: What the asset (or, retriable, the task) shows as `errorMessage`.
        retriable: The task goes back to `waiting` once and then succeeds.
    """

    message: str
    retriable: bool = False


def begin(now: float, *, is_queued: bool = False) -> Step:
    """Return the first step: of an upload to come, or of a task that is queued at once."""
    if is_queued:
        return Step(now, Status("waiting", now), Status("waiting", now, retries=0))
    return Step(now, Status("uploading", now), Status("pending", now))


def plan_processing(
    start: float, *, waiting: float, processing: float, failure: Failure | None
) -> list[Step]:
    """Return the steps from the end of the upload to the last report of progress.

    Args:
        start: When the task is queued.
        waiting: Seconds in the queue.
        processing: Seconds from the first report to the end, which is no part of the answer.
        failure: A retriable one sends the task back to the queue half-way.
    """
    steps = [Step(start, Status("waiting", start), Status("waiting", start, retries=0))]
    for progress in PROGRESS:
        at = start + waiting + progress * processing
        asset = Status("processing", at, progress)
        steps.append(Step(at, asset, Status("running", at, progress, retries=0)))
    if failure is not None and failure.retriable:
        steps[-2:] = _return_to_queue(steps[-2], steps[-1].at, failure.message)
    return steps


def plan_retry(start: float, asset: Status, *, waiting: float, processing: float) -> list[Step]:
    """Return the steps of a task that runs again; its asset stays as it was."""
    steps = [Step(start, asset, Status("waiting", start, retries=0))]
    for progress in PROGRESS:
        at = start + waiting + progress * processing
        steps.append(Step(at, asset, Status("running", at, progress, retries=0)))
    return steps


def end_processing(at: float, failure: Failure | None) -> Step:
    """Return the last step of a task that ran."""
    if failure is None or failure.retriable:
        return Step(at, Status("ready", at), Status("completed", at))
    failed = Status("failed", at, error=failure.message)
    return Step(at, failed, Status("failed", at, error=failure.message, retries=0))


def find_step(steps: Sequence[Step], now: float) -> Step:
    """Return the step in force; before the first one, the first one."""
    return steps[max(0, bisect_right(steps, now, key=lambda step: step.at) - 1)]


def _return_to_queue(half: Step, resumed_at: float, message: str) -> list[Step]:
    waiting = Status("waiting", half.at, error=message, retries=1)
    running = Status("running", resumed_at, half.asset.progress, retries=1)
    asset = Status("processing", resumed_at, 0.75)
    return [Step(half.at, half.asset, waiting), Step(resumed_at, asset, running)]
