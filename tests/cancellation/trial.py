"""Runs cases: starts an upload, cancels it, and measures the time until it has ended."""

import asyncio
from contextlib import suppress

import anyio

from cancellation.cases import DEADLINES, SLOW_BYTES_PER_SECOND
from cancellation.sources import open_source
from livepeer_async import ConfigurationError
from livepeer_async.sandbox import Fault, On, Slow, Stall
from support.constants import TIMEOUT


class BlockError(Exception):
    """Raised in the block of an upload."""


class Trial:
    """A case that runs.

    Attributes:
        upload_urls: By asset ID, those that the caller has received.
        asset_ids: Those in progress events.
        cancelled_at: None if the upload has ended before.
    """

    def __init__(self, case):
        self.case = case
        self.uploads = []
        self.asset_ids = set()
        self.cancelled_at = None
        self.ended_at = 0.0
        self.was_cancelled = False
        self.was_aborted = False
        self.progress_calls = 0
        self.leave_block = anyio.Event()
        self.scope = anyio.CancelScope()
        self.task = None

    @property
    def seconds(self):
        """Seconds from the cancellation to the end."""
        return 0.0 if self.cancelled_at is None else max(0.0, self.ended_at - self.cancelled_at)

    @property
    def upload_urls(self):
        return {upload.asset.id: upload.upload_url for upload in self.uploads}

    def cancel(self):
        """Cancel by the case's method."""
        if self.cancelled_at is not None or self.task.done():
            return
        if self.case.method in {"error in the block", "abort"}:
            self.leave_block.set()
            return
        self.cancelled_at = anyio.current_time()
        if self.case.method == "scope":
            self.scope.cancel()
        elif self.case.method == "many, left":
            self.leave_block.set()
        else:
            self.task.cancel()
            if self.case.method == "task, twice":
                asyncio.get_running_loop().call_later(self.case.lag, self.task.cancel)

    def on_progress(self, *arguments):
        progress = arguments[-1]
        if progress.asset_id:
            self.asset_ids.add(progress.asset_id)
        self.progress_calls += 1
        if self.case.at == "progress" and self.progress_calls >= self.case.number:
            self.cancel()


async def run_trial(case, livepeer, sandbox, *, duration, folder):
    """Start an upload, cancel it, and wait for its end."""
    trial = Trial(case)
    sandbox.clear_log()
    sandbox.faults[:] = faults_for(case)
    with open_source(case, folder) as job:
        trial.task = asyncio.create_task(run_upload(trial, livepeer, job, duration))
        await cancel_at_moment(trial, sandbox, duration)
        await asyncio.wait([trial.task], timeout=TIMEOUT)
        sandbox.faults.clear()
        assert trial.task.done(), f"{case} doesn't end"
        with suppress(asyncio.CancelledError):
            trial.task.result()
    return trial


def faults_for(case):
    if case.at == "stalled":
        return [Fault(On(nth=case.number), Stall(case.stall, after_bytes=case.after_bytes))]
    if case.at == "slow":
        return [Fault(On(nth=case.number), Slow(SLOW_BYTES_PER_SECOND))]
    return []


async def cancel_at_moment(trial, sandbox, duration):
    """Cancel at the case's moment, at the latest after twice the duration of an upload."""
    case = trial.case
    if case.method in DEADLINES:
        return
    stop = anyio.current_time() + (case.number * duration if case.at == "seconds" else 2 * duration)
    while not trial.task.done() and anyio.current_time() < stop:
        if case.at in {"request", "stalled", "slow"} and len(sandbox.requests) >= case.number:
            await anyio.sleep(case.lag)
            break
        await anyio.sleep(0.001)
    trial.cancel()


async def run_upload(trial, livepeer, job, duration):
    """Upload until the end or the cancellation."""
    try:
        await UPLOADS.get(trial.case.method, upload)(trial, livepeer, job, duration)
    except BlockError:
        trial.was_cancelled = True
    except asyncio.CancelledError:
        trial.was_cancelled = True
        raise
    finally:
        trial.ended_at = anyio.current_time()


async def upload(trial, livepeer, job, duration):
    """Upload in a block that may be left by an error."""
    block = livepeer.begin_upload(
        job.source, f"case {trial.case.seed}", length=job.length, on_progress=trial.on_progress
    )
    async with block as upload:
        trial.uploads.append(upload)
        if trial.case.method in {"error in the block", "abort"}:
            await trial.leave_block.wait()
            trial.cancelled_at = anyio.current_time()
            await raise_or_abort(trial, upload)


async def raise_or_abort(trial, upload):
    if trial.case.method == "error in the block":
        raise BlockError
    # An upload that has ended can't be aborted.
    with suppress(ConfigurationError):
        await upload.abort()
        trial.was_aborted = True
    trial.was_cancelled = trial.was_aborted


async def upload_in_scope(trial, livepeer, job, duration):
    with trial.scope:
        await upload(trial, livepeer, job, duration)
    trial.was_cancelled = trial.scope.cancelled_caught


async def upload_with_move_on_after(trial, livepeer, job, duration):
    with anyio.move_on_after(trial.case.number * duration) as scope:
        await upload(trial, livepeer, job, duration)
    if scope.cancelled_caught:
        trial.cancelled_at, trial.was_cancelled = scope.deadline, True


async def upload_with_asyncio_timeout(trial, livepeer, job, duration):
    stop = anyio.current_time() + trial.case.number * duration
    try:
        async with asyncio.timeout_at(stop):
            await upload(trial, livepeer, job, duration)
    except TimeoutError:
        trial.cancelled_at, trial.was_cancelled = stop, True


async def upload_many(trial, livepeer, job, duration):
    """Upload four times, or once if the source can be read only once."""
    jobs = [job] if trial.case.source in {"file", "stream", "spooled"} else [job] * 4
    block = livepeer.upload_many(jobs, concurrency=3, on_progress=trial.on_progress)
    async with block as results:
        if trial.case.method == "many, left":
            await trial.leave_block.wait()
            trial.was_cancelled = True
            return
        async for result in results:
            assert result.error is None, result.error


UPLOADS = {
    "scope": upload_in_scope,
    "move_on_after": upload_with_move_on_after,
    "asyncio.timeout": upload_with_asyncio_timeout,
    "many": upload_many,
    "many, left": upload_many,
}
