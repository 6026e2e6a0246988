"""Carries out the cases of a sweep: an upload, its cancellation, and the time that it took."""

import asyncio
from contextlib import suppress

import anyio

from cancellation.cases import DEADLINES, SLOW_BYTES_PER_SECOND
from cancellation.sources import source_of
from livepeer_async import ConfigurationError
from livepeer_async.sandbox import Fault, On, Slow, Stall

# A case that never ends is a failure, not a test that hangs.
PATIENCE = 60.0


class LeftError(Exception):
    """Raised in the block of an upload."""


class Trial:
    """One case on its way.

    Attributes:
        upload_urls: by the ID of the asset, as far as the caller could see them.
        asset_ids: those that the progress named.
        told_at: when it was cancelled; `None` where the upload was quicker.
    """

    def __init__(self, case):
        self.case = case
        self.begun = []
        self.asset_ids = set()
        self.told_at = None
        self.ended_at = 0.0
        self.was_cancelled = False
        self.was_aborted = False
        self.progress_calls = 0
        self.left = anyio.Event()
        self.scope = anyio.CancelScope()
        self.task = None

    @property
    def seconds(self):
        """Seconds from the cancellation to the return."""
        return 0.0 if self.told_at is None else max(0.0, self.ended_at - self.told_at)

    @property
    def upload_urls(self):
        return {upload.asset.id: upload.upload_url for upload in self.begun}

    def tell(self):
        """Cancel, in the case's own way."""
        if self.told_at is not None or self.task.done():
            return
        if self.case.how in {"error in the block", "abort"}:
            self.left.set()
            return
        self.told_at = anyio.current_time()
        if self.case.how == "scope":
            self.scope.cancel()
        elif self.case.how == "many, left":
            self.left.set()
        else:
            self.task.cancel()
            if self.case.how == "task, twice":
                asyncio.get_running_loop().call_later(self.case.lag, self.task.cancel)

    def on_progress(self, *news):
        progress = news[-1]
        if progress.asset_id:
            self.asset_ids.add(progress.asset_id)
        self.progress_calls += 1
        if self.case.at == "progress" and self.progress_calls >= self.case.number:
            self.tell()


async def try_out(case, livepeer, sandbox, *, duration, tmp_path):
    """Begin an upload, cancel it as the case says, and wait for its end."""
    trial = Trial(case)
    sandbox.clear_log()
    sandbox.faults[:] = faults_of(case)
    with source_of(case, tmp_path) as job:
        trial.task = asyncio.create_task(run_to_end(trial, livepeer, job, duration))
        await wait_for_moment(trial, sandbox, duration)
        await asyncio.wait([trial.task], timeout=PATIENCE)
        sandbox.faults.clear()
        assert trial.task.done(), f"{case} doesn't end"
        with suppress(asyncio.CancelledError):
            trial.task.result()
    return trial


def faults_of(case):
    if case.at == "stalled":
        return [Fault(On(nth=case.number), Stall(case.stall, after_bytes=case.after_bytes))]
    if case.at == "slow":
        return [Fault(On(nth=case.number), Slow(SLOW_BYTES_PER_SECOND))]
    return []


async def wait_for_moment(trial, sandbox, duration):
    """Cancel when the moment has come; at the latest when the upload could have ended twice."""
    case = trial.case
    if case.how in DEADLINES:
        return
    stop = anyio.current_time() + (case.number * duration if case.at == "seconds" else 2 * duration)
    while not trial.task.done() and anyio.current_time() < stop:
        if case.at in {"request", "stalled", "slow"} and len(sandbox.requests) >= case.number:
            await anyio.sleep(case.lag)
            break
        await anyio.sleep(0.001)
    trial.tell()


async def run_to_end(trial, livepeer, job, duration):
    """Upload until the end, or until the trial is told to stop."""
    try:
        await ON_THEIR_WAY.get(trial.case.how, upload)(trial, livepeer, job, duration)
    except LeftError:
        trial.was_cancelled = True
    except asyncio.CancelledError:
        trial.was_cancelled = True
        raise
    finally:
        trial.ended_at = anyio.current_time()


async def upload(trial, livepeer, job, duration):
    """Upload, in a block that may be left with an error."""
    beginning = livepeer.begin_upload(
        job.source, f"case {trial.case.seed}", length=job.length, on_progress=trial.on_progress
    )
    async with beginning as begun:
        trial.begun.append(begun)
        if trial.case.how in {"error in the block", "abort"}:
            await trial.left.wait()
            trial.told_at = anyio.current_time()
            await leave(trial, begun)


async def leave(trial, begun):
    """Leave the block with an error, or have the upload aborted, unless it has ended."""
    if trial.case.how == "error in the block":
        raise LeftError
    with suppress(ConfigurationError):
        await begun.abort()
        trial.was_aborted = True
    trial.was_cancelled = trial.was_aborted


async def upload_in_scope(trial, livepeer, job, duration):
    with trial.scope:
        await upload(trial, livepeer, job, duration)
    trial.was_cancelled = trial.scope.cancelled_caught


async def upload_until_anyio_moves_on(trial, livepeer, job, duration):
    with anyio.move_on_after(trial.case.number * duration) as scope:
        await upload(trial, livepeer, job, duration)
    if scope.cancelled_caught:
        trial.told_at, trial.was_cancelled = scope.deadline, True


async def upload_until_asyncio_times_out(trial, livepeer, job, duration):
    stop = anyio.current_time() + trial.case.number * duration
    try:
        async with asyncio.timeout_at(stop):
            await upload(trial, livepeer, job, duration)
    except TimeoutError:
        trial.told_at, trial.was_cancelled = stop, True


async def upload_many(trial, livepeer, job, duration):
    """Upload four, of which three at a time; a file object is one only."""
    jobs = [job] if trial.case.source in {"file", "stream", "spooled"} else [job] * 4
    running = livepeer.upload_many(jobs, concurrency=3, on_progress=trial.on_progress)
    async with running as results:
        if trial.case.how == "many, left":
            await trial.left.wait()
            trial.was_cancelled = True
            return
        async for result in results:
            assert result.error is None, result.error


ON_THEIR_WAY = {
    "scope": upload_in_scope,
    "move_on_after": upload_until_anyio_moves_on,
    "asyncio.timeout": upload_until_asyncio_times_out,
    "many": upload_many,
    "many, left": upload_many,
}
