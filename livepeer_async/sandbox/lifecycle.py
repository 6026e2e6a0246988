"""The life of an asset and its task as a list of dated steps, without a clock.

The current step is the last one that has begun. `processing` ends with the final step, which is
added once the source was measured.

    asset:  uploading -> waiting -> processing (progress) -> ready | failed
    task:   pending   -> waiting -> running (progress)    -> completed | failed
"""

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

from livepeer_async.sandbox.faults import FailProcessing

# The task runner reports progress at these values; it never decreases.
PROGRESS = (0.0, 0.25, 0.5, 0.75)

# The phase of the task in each phase of the asset.
TASK_PHASES = {
    "uploading": "pending",
    "waiting": "waiting",
    "processing": "running",
    "ready": "completed",
    "failed": "failed",
}
# A recorded one, which may not occur again if the task is run again.
DEFAULT_ERROR = "internal error processing file"


class Status(Struct, frozen=True):
    """A phase and its details; `at` is the time of `updatedAt`."""

    phase: str
    at: float
    progress: float | None = None
    error: str | None = None
    retries: int | None = None


class Step(Struct, frozen=True):
    """The status of an asset and its task from a time on."""

    at: float
    asset: Status
    task: Status


def make_first_step(now: float, *, is_queued: bool = False) -> Step:
    """Return the step of an upload that has not begun, or of a task queued at once."""
    if is_queued:
        return Step(now, Status("waiting", now), Status("waiting", now, retries=0))
    return Step(now, Status("uploading", now), Status("pending", now))


def plan_processing(
    start: float,
    *,
    waiting: float,
    processing: float,
    failure: FailProcessing | None = None,
    retried: Status | None = None,
) -> list[Step]:
    """Return the steps from the end of the upload to the last progress report.

    Args:
        start: when the task is queued.
        waiting: seconds in the queue.
        processing: seconds from the first progress report to the final step.
        failure: a retriable one returns the task to the queue half-way.
        retried: the status of a failed asset whose task runs again; the asset keeps it.
    """
    asset = retried or Status("waiting", start)
    steps = [Step(start, asset, Status("waiting", start, retries=0))]
    for progress in PROGRESS:
        at = start + waiting + progress * processing
        asset = retried or Status("processing", at, progress)
        steps.append(Step(at, asset, Status("running", at, progress, retries=0)))
    if failure is not None and failure.retriable:
        steps[-2:] = _return_to_queue(steps[-2], steps[-1].at, failure.message)
    return steps


def make_final_step(at: float, failure: FailProcessing | None) -> Step:
    """Return the step at which a task completes or fails."""
    if failure is None or failure.retriable:
        return Step(at, Status("ready", at), Status("completed", at))
    failed = Status("failed", at, error=failure.message)
    return Step(at, failed, Status("failed", at, error=failure.message, retries=0))


def make_step(phase: str, at: float, error: str | None = None) -> Step:
    """Return the step of an asset that is in a phase because a test wants it to be.

    Raises:
        ValueError: the phase is unknown.
    """
    if phase not in TASK_PHASES:
        raise ValueError(f"phase is {phase!r}; wanted one of {', '.join(TASK_PHASES)} or deleted")
    if phase == "failed":
        return make_final_step(at, FailProcessing(error or DEFAULT_ERROR))
    progress = PROGRESS[2] if phase == "processing" else None
    asset, task = Status(phase, at, progress), Status(TASK_PHASES[phase], at, progress)
    return Step(at, asset, task)


def find_step(steps: Sequence[Step], now: float) -> Step:
    """Return the current step; before the first one begins, the first one."""
    return steps[max(0, bisect_right(steps, now, key=lambda step: step.at) - 1)]


def _return_to_queue(half: Step, resumed_at: float, message: str) -> list[Step]:
    waiting = Status("waiting", half.at, error=message, retries=1)
    running = Status("running", resumed_at, half.asset.progress, retries=1)
    asset = Status("processing", resumed_at, 0.75)
    return [Step(half.at, half.asset, waiting), Step(resumed_at, asset, running)]
