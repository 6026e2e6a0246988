"""All rows of a manifest to ready assets, whatever comes between.

In come a client and a manifest; out come events. What an earlier run has finished is told and not
asked for; a row that met the line's faults comes again after the others; while the server doesn't
answer nothing starts, so that an outage of the night doesn't burn through the manifest.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from math import inf
from typing import Self

import anyio

from livepeer_async.client import AsyncLivepeer
from livepeer_async.concurrency import Channel, plain_task_group
from livepeer_async.errors import (
    AmbiguousRequest,
    BadRequest,
    ConfigurationError,
    Forbidden,
    InvalidRequest,
    LivepeerError,
    UploadInUse,
    UploadStopped,
)
from livepeer_async.ingest.check import KeyIndex, check_manifest, read_again
from livepeer_async.ingest.circuit_breaker import CircuitBreaker
from livepeer_async.ingest.decisions import (
    FAILED,
    ErrorAction,
    classify_error,
    finished_states,
    is_finished,
)
from livepeer_async.ingest.events import Checked, Event, Resumed, RowDeferred, RowState
from livepeer_async.ingest.manifest import Manifest, open_manifest
from livepeer_async.ingest.row_worker import Job, RowOptions, RowRunner, ended_earlier
from livepeer_async.ingest.rows import BadRow, Row
from livepeer_async.journal.records import Record
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.polling.phases import is_ready
from livepeer_async.uploads.options import OnMismatch, UploadOptions, UploadResult, Verify
from livepeer_async.uploads.progress import Progress

# Runs of one row that met what may pass.
MOST_ATTEMPTS = 3
# Rows that wait for their next attempt; those beyond fail, and the next run takes them.
MOST_PUT_OFF = 1000
# Seconds before a row that was put off comes again, however few there are.
PAUSE = 5.0
# A server that doesn't answer for so long is given up: whoever is to mend it has been there.
OUTAGE_TIMEOUT = 24 * 3600.0
# Seconds for clearing up at the end; what is left then is left to the next run.
CLEANUP_TIMEOUT = 60.0
# Times that the server is asked to process a failed asset again.
REPROCESS = 2


class Ingestion:
    """An ingestion that runs: an async iterator of its events.

    Attributes:
        is_stopped: whether `stop` was called.
    """

    def __init__(
        self,
        livepeer: AsyncLivepeer,
        manifest: Manifest,
        options: RowOptions,
        *,
        is_strict: bool,
        outage_timeout: float,
    ) -> None:
        self._livepeer = livepeer
        self._manifest = manifest
        self._options = options
        self._is_strict = is_strict
        self._channel = Channel[Event]()
        self._runner = RowRunner(
            livepeer, options, self._channel.send_nowait, take_note=self._take_note
        )
        self._circuit_breaker = CircuitBreaker(
            livepeer.ping, self._report_outage, timeout=outage_timeout
        )
        self._has_asked = False
        self._is_ending = False
        self._bad = KeyIndex()
        self._open: dict[Job, None] = {}
        self._put_off: deque[Job] = deque()
        self._news = anyio.Event()
        self._failure: LivepeerError | None = None
        self.is_stopped = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Give the next event; what they wait for goes on when it is taken.

        Raises:
            LivepeerError: what ended the whole run, a wrong key for instance.
        """
        try:
            return await self._channel.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from self._failure.__cause__
            raise StopAsyncIteration from None

    def stop(self) -> None:
        """Start nothing more, and let the chunks that run be finished; then the events end.

        Each row that runs ends as `UNFINISHED`, and the next run goes on with it.
        """
        self.is_stopped = True
        self._runner.stop()
        self._circuit_breaker.stop()
        self._tell()

    def close(self) -> None:
        """Let no more events be taken; nothing runs any more."""
        self._channel.close()

    async def run(self) -> None:
        """Check the manifest, run its rows and tell what happens."""
        try:
            # It is read twice, and a line that somebody adds in between would shift all others.
            with self._manifest.held():
                if await self._check():
                    await self._run_rows()
                    await self._delete_leftovers()
        except LivepeerError as error:
            self._failure = error
        for job in self._open:
            if job.has_begun:
                await self._channel.send(job.ended(RowState.UNFINISHED))
        self._channel.close()

    async def _delete_leftovers(self) -> None:
        """Delete what kills and lost answers have left, and the journal knows to be of no use."""
        journal = self._livepeer.journal
        if journal is None or self.is_stopped:
            return
        with anyio.move_on_after(CLEANUP_TIMEOUT), suppress(LivepeerError):
            for orphan in await journal.orphans():
                # One whose own state forbids it must not keep the others.
                with suppress(BadRequest, Forbidden, InvalidRequest):
                    if orphan.is_useless:
                        await self._livepeer.delete_leftover(orphan.asset_id)

    async def _check(self) -> bool:
        """Tell of all bad rows, and say whether the good ones are to run."""
        checking = check_manifest(self._manifest, find_finished=self._find_finished)
        async with aclosing(checking):
            async for event in checking:
                if self.is_stopped:
                    return False
                await self._channel.send(event)
                if isinstance(event, Checked):
                    return not (self._is_strict and event.bad)
                self._bad.note(event.place, 0)
        return False

    async def _run_rows(self) -> None:
        async with plain_task_group() as tasks:
            tasks.start_soon(self._circuit_breaker.run)
            running = self._livepeer.uploads.run_jobs(
                self._jobs(), self._runner.run, length_of=_length_of
            )
            async with running as results:
                async for job, result in results:
                    await self._finish_row(job, result)
            tasks.cancel_scope.cancel()

    async def _jobs(self) -> AsyncGenerator[Job, None]:
        """Give the rows that are to run: those of the manifest, then those that were put off."""
        async with aclosing(read_again(self._manifest)) as batches:
            async for batch in batches:
                for job in await self._begin(batch):
                    if not self._has_asked:
                        # Before a thousand rows meet a wrong key, or nobody; and not before there
                        # is something to do.
                        self._has_asked = True
                        self._circuit_breaker.trip()
                    await self._circuit_breaker.wait()
                    if self._starts_nothing:
                        return
                    self._open[job] = None
                    yield job
        while self._open and not self._starts_nothing:
            news = self._news
            due = self._put_off[0].due if self._put_off else inf
            with anyio.move_on_after(due - time.monotonic()):
                await news.wait()
                continue
            await self._circuit_breaker.wait()
            if not self._starts_nothing:
                job = self._put_off.popleft()
                job.record = (await self._find([job.row.key])).get(job.row.key)
                yield job

    @property
    def _starts_nothing(self) -> bool:
        return self.is_stopped or self._is_ending

    async def _begin(self, batch: list[Row | BadRow]) -> list[Job]:
        """Tell of the rows that an earlier run has finished; give the others."""
        records = await self._find([row.key for row in batch if isinstance(row, Row)])
        is_ready_wanted = self._options.upload.wait
        jobs: list[Job] = []
        for row in batch:
            if self._bad.has(row.place) or self.is_stopped:
                continue
            if isinstance(row, BadRow):
                # It was good when it was checked: its file was deleted or changed since then.
                await self._channel.send(row)
                continue
            record = records.get(row.key)
            if record is not None and is_finished(row, record, is_ready_wanted=is_ready_wanted):
                await self._channel.send(ended_earlier(row, record))
            else:
                jobs.append(Job(row, record))
        return jobs

    def _take_note(self, error: LivepeerError) -> None:
        """Let no row meet what this one has met; its result waits until the events are taken."""
        verdict = classify_error(error)
        self._is_ending = self._is_ending or verdict.abort_run
        if verdict.probe_server:
            self._circuit_breaker.trip()

    async def _finish_row(self, job: Job, result: UploadResult | None) -> None:
        """Say what became of a row, or put it off.

        Raises:
            LivepeerError: that of the row, where all others would meet it too.
        """
        error = result.error if result else None
        verdict = classify_error(error) if error is not None else FAILED
        if error is not None and verdict.abort_run:
            raise error
        is_put_off = verdict.retry_row and self._can_put_off(job, result)
        if is_put_off:
            job.due = time.monotonic() + PAUSE
            self._put_off.append(job)
        else:
            del self._open[job]
        self._tell()
        if error is not None and is_put_off:
            await self._channel.send(RowDeferred(job.row, error))
        elif job.has_begun:
            await self._channel.send(job.ended(self._state_of(result, verdict), result))

    def _state_of(self, result: UploadResult | None, verdict: ErrorAction) -> RowState:
        if result is None or isinstance(result.error, UploadStopped | UploadInUse):
            return RowState.UNFINISHED
        if result.error is not None:
            is_cut_short = verdict.retry_row and self.is_stopped
            return RowState.UNFINISHED if is_cut_short else RowState.FAILED
        is_done = result.asset is not None and is_ready(result.asset)
        return RowState.READY if is_done else RowState.ARRIVED

    def _can_put_off(self, job: Job, result: UploadResult | None) -> bool:
        # Without a journal nobody would find its asset again, and a second one would be made.
        is_lost = result is not None and isinstance(result.error, AmbiguousRequest)
        has_asset = result is not None and result.asset is not None
        may_have_one = has_asset or (is_lost and job.row.is_url)
        is_safe = not may_have_one or self._livepeer.journal is not None
        has_room = len(self._put_off) < MOST_PUT_OFF
        return is_safe and has_room and job.times < MOST_ATTEMPTS and not self.is_stopped

    async def _report_outage(self, event: Event) -> None:
        if isinstance(event, Resumed):
            # What rows have met was no fault of theirs.
            for job in self._open:
                job.times = min(job.times, 1)
        await self._channel.send(event)

    async def _find(self, keys: list[str]) -> dict[str, Record]:
        journal = self._livepeer.journal
        return await journal.find(keys) if journal is not None else {}

    async def _find_finished(self, keys: list[str]) -> set[str]:
        states = finished_states(is_ready_wanted=self._options.upload.wait)
        records = await self._find(keys)
        return {key for key, record in records.items() if record.state in states}

    def _tell(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()


@asynccontextmanager
async def ingest(  # noqa: PLR0913 - the options of an ingestion, all with a default
    livepeer: AsyncLivepeer,
    manifest: Manifest | str | os.PathLike[str],
    *,
    strict: bool = False,
    relay: bool = False,
    concurrency: int | None = None,
    max_rate: float | None = None,
    wait: bool = True,
    verify: Verify = "size",
    on_mismatch: OnMismatch = "reupload",
    on_progress: Callable[[Row, Progress], None] | None = None,
    ready_timeout: float = READY_TIMEOUT,
    reprocess: int = REPROCESS,
    outage_timeout: float = OUTAGE_TIMEOUT,
) -> AsyncGenerator[Ingestion, None]:
    """Bring all videos of a manifest to ready assets; what happens comes as events.

    With a journal a later run of the same manifest asks nothing of what is finished, goes on with
    what was begun, and has what failed on the server processed again where that may help. A block
    that is left early cancels what runs, as any cancellation does; `Ingestion.stop` lets chunks be
    finished first.

    Args:
        livepeer: a client, for unattended work with `RetryPolicy(busy_timeout=...)` of hours.
        manifest: a file of JSON lines or CSV, a folder, a glob, or what `open_manifest` gave.
        strict: whether a single bad row keeps all others from starting.
        relay: whether what URLs have is streamed through this machine, rather than fetched by the
            server.
        concurrency: as for `AsyncLivepeer.upload_many`, like what follows up to `ready_timeout`.
        max_rate: bytes per second.
        wait: whether to wait for `ready`.
        verify: how far to compare.
        on_mismatch: what to do with a wrong asset.
        on_progress: called with a row and its progress.
        ready_timeout: seconds to wait for `ready`.
        reprocess: times that the server is asked to process a failed asset again, where its failure
            may pass.
        outage_timeout: seconds without an answer of the server after which the run ends.

    Raises:
        ConfigurationError: the manifest or an option can't be used.
    """
    if not isinstance(manifest, Manifest):
        manifest = open_manifest(manifest)
    upload = UploadOptions(
        wait=wait,
        verify=verify,
        on_mismatch=on_mismatch,
        ready_timeout=ready_timeout,
        reprocess=reprocess,
    )
    options = RowOptions(relay=relay, upload=upload, on_progress=on_progress)
    if not outage_timeout > 0:
        raise ConfigurationError(f"outage_timeout is {outage_timeout!r}; wanted seconds above 0")
    if concurrency is not None:
        livepeer.throttle.concurrency = concurrency
    if max_rate is not None:
        livepeer.throttle.max_rate = max_rate
    ingestion = Ingestion(
        livepeer, manifest, options, is_strict=strict, outage_timeout=outage_timeout
    )
    with closing(ingestion):
        async with plain_task_group() as tasks:
            tasks.start_soon(ingestion.run)
            yield ingestion
            tasks.cancel_scope.cancel()


async def _length_of(job: Job) -> int | None:
    """Give the bytes of a file; what is behind a URL isn't known."""
    return None if job.row.is_url else job.row.length or 0
