"""An ingestion: checks a manifest, runs its rows and reports events.

Rows that an earlier run finished are reported without a request. Rows that failed for a transient
reason are retried after the others (`decisions.py` has the rules). While the server doesn't
respond, no row starts (`circuit_breaker.py`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from functools import partial
from typing import Self

import anyio
from msgspec.structs import replace

from livepeer_async.client import AsyncLivepeer
from livepeer_async.concurrency import Channel, Notifier, plain_task_group
from livepeer_async.errors import (
    Forbidden,
    LivepeerError,
    SourceUnsupported,
    UploadInUse,
    UploadStopped,
)
from livepeer_async.ingest.check import check_manifest, read_batches
from livepeer_async.ingest.circuit_breaker import CircuitBreaker
from livepeer_async.ingest.decisions import (
    classify_error,
    finished_states,
    is_finished,
    may_retry,
)
from livepeer_async.ingest.deferred_rows import DeferredRows
from livepeer_async.ingest.events import Checked, Event, Resumed, RowDeferred, RowState
from livepeer_async.ingest.full_queue import FullQueue
from livepeer_async.ingest.manifest import RowSource
from livepeer_async.ingest.row_worker import (
    RemoteRows,
    RowJob,
    RowOptions,
    RowWorker,
    make_earlier_event,
)
from livepeer_async.ingest.rows import BadRow, Row
from livepeer_async.ingest.unsupported import unsupported_row
from livepeer_async.journal.records import Record
from livepeer_async.polling.phases import is_ready
from livepeer_async.uploads.leftovers import LeftoverReport
from livepeer_async.uploads.options import UploadResult

# Deferred rows that are held in memory; further ones fail, and the next run tries them again.
MAX_DEFERRED = 1000
# Deferred rows from which on they are retried before the other rows. Machines that share a manifest
# defer the rows of each other.
MANY_DEFERRED = 500
# Seconds for deleting leftovers at the end; the next run deletes the rest.
CLEANUP_TIMEOUT = 60.0

# A row may be refused for its fields, or because the key may not create assets at all.
CREATION_PATHS = ("/asset/request-upload", "/asset/upload/url")


class Ingestion:
    """A running ingestion: an async iterator over its events.

    Args:
        livepeer: the client.
        manifest: the rows.
        options: the options of all rows.
        strict: start nothing if any row is bad.
        outage_timeout: seconds without a response of the server after which the run ends.
        cluster: runs the rows on other machines; None to run them here.
        is_batch: whether this is a part of an ingestion, which checks the server, and cleans up,
            elsewhere.

    Attributes:
        is_stopped: whether `stop` was called.
        leftovers: assets that uploads may have left on the server and that no earlier run has
            reported, known at the end.
    """

    def __init__(
        self,
        livepeer: AsyncLivepeer,
        manifest: RowSource,
        options: RowOptions,
        *,
        strict: bool,
        outage_timeout: float,
        cluster: RemoteRows | None = None,
        is_batch: bool = False,
    ) -> None:
        self._livepeer = livepeer
        self._manifest = manifest
        self._wait = options.upload.wait
        self._strict = strict
        # With `strict`, all files are probed before the first row starts.
        self._check_probe = options.probe if strict else None
        if strict:
            options = replace(options, probe=None)
        self._cluster = cluster
        self._is_batch = is_batch
        self._channel = Channel[Event]()
        notify = self._channel.send_nowait
        observe = partial(FullQueue(notify).observe, options.on_progress)
        options = replace(options, on_progress=observe)
        self._worker = RowWorker(livepeer, options, notify=notify, on_error=self._handle_error)
        self._circuit_breaker = CircuitBreaker(
            self._check_server,
            self._report_outage,
            timeout=outage_timeout,
            throttle=livepeer.throttle,
        )
        self._refused_paths: set[str] = set()
        self._has_pinged = is_batch
        self._is_aborting = False
        self._bad_locations: set[str] = set()
        self._jobs: dict[RowJob, None] = {}
        self._deferred = DeferredRows()
        self._notifier = Notifier()
        self._failure: LivepeerError | None = None
        self.is_stopped = False
        self.leftovers = LeftoverReport()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the next event; the row that it concerns continues once it is received.

        Raises:
            LivepeerError: the error that ended the run, such as a wrong API key.
        """
        with suppress(anyio.EndOfStream):
            return await self._channel.receive()
        raise self._failure or StopAsyncIteration

    def stop(self) -> None:
        """Start no more rows, finish the chunks in flight, and end the events.

        Each running row ends as `UNFINISHED`; the next run resumes it.
        """
        self.is_stopped = True
        self._worker.stop()
        if self._cluster is not None:
            self._cluster.stop()
        self._circuit_breaker.stop()
        self._notifier.notify()

    def close(self) -> None:
        """Close the channel of the events; nothing runs any more."""
        self._channel.close()

    async def run(self) -> None:
        """Check the manifest, run its rows, and clean up."""
        try:
            # The manifest is read twice, and a line that is inserted in between would shift others.
            with self._manifest.snapshot():
                if await self._check():
                    await self._run_rows()
                    await self._clean_up()
        except LivepeerError as error:
            self._failure = error
        for job in self._jobs:
            if job.has_started:
                await self._channel.send(job.ended(RowState.UNFINISHED))
        for event in self._cluster.unfinished() if self._cluster is not None else ():
            await self._channel.send(event)
        self._channel.close()

    async def _check(self) -> bool:
        """Report all bad rows; return whether the good ones are run."""
        checking = check_manifest(
            self._manifest,
            find_finished=self._find_finished,
            probe=self._check_probe or False,
            allow_missing=self._cluster is not None,
        )
        async with aclosing(checking):
            async for event in checking:
                if self.is_stopped:
                    return False
                await self._channel.send(event)
                if isinstance(event, Checked):
                    return not (self._strict and event.bad)
                self._bad_locations.add(event.location)
        return False

    async def _run_rows(self) -> None:
        if self._cluster is not None:
            await self._cluster.run(self._next_rows(), self._channel.send)
            return
        async with plain_task_group() as tasks:
            tasks.start_soon(self._circuit_breaker.run)
            tasks.start_soon(self._circuit_breaker.watch)
            running = self._livepeer.uploads.run_jobs(
                self._next_jobs(), self._worker.run, length_of=_length_of
            )
            async with running as results:
                async for job, result in results:
                    await self._finish_attempt(job, result)
            tasks.cancel_scope.cancel()

    async def _clean_up(self) -> None:
        """Delete assets that killed runs and lost responses left, and that are known useless."""
        if self._livepeer.journal is None or self.is_stopped or self._is_batch:
            return
        with anyio.move_on_after(CLEANUP_TIMEOUT), suppress(LivepeerError):
            self.leftovers = await self._livepeer.clean_up()

    async def _next_jobs(self) -> AsyncGenerator[RowJob, None]:
        """Yield the rows of the manifest, then the deferred ones as they are due."""
        async with aclosing(read_batches(self._manifest)) as batches:
            async for batch in batches:
                for job in await self._unfinished_jobs(batch):
                    if not self._has_pinged:
                        # Find a wrong key before a thousand rows fail, but send no request if
                        # there is nothing to do.
                        self._has_pinged = True
                        self._circuit_breaker.trip()
                    await self._circuit_breaker.wait()
                    if self._starts_nothing:
                        return
                    self._jobs[job] = None
                    yield job
                async for deferred in self._retry(lambda: len(self._deferred) >= MANY_DEFERRED):
                    yield deferred
        async for deferred in self._retry(lambda: bool(self._jobs)):
            yield deferred

    async def _retry(self, is_needed: Callable[[], bool]) -> AsyncGenerator[RowJob, None]:
        """Yield the deferred rows as they are due."""
        while is_needed() and not self._starts_nothing:
            if (job := await self._next_deferred()) is not None:
                yield job

    async def _next_deferred(self) -> RowJob | None:
        """Wait until a deferred row is due or something has changed; return the row, if any."""
        with anyio.move_on_after(self._deferred.delay):
            await self._notifier.wait()
            return None
        await self._circuit_breaker.wait()
        if self._starts_nothing:
            return None
        job = self._deferred.pop()
        job.record = (await self._find_records([job.row.key])).get(job.row.key)
        if job.waits and job.record and is_finished(job.row, job.record, wait=self._wait):
            del self._jobs[job]
            await self._channel.send(make_earlier_event(job.row, job.record))
            return None
        return job

    async def _next_rows(self) -> AsyncGenerator[list[Row], None]:
        """Yield the rows of the manifest that aren't finished."""
        async with aclosing(read_batches(self._manifest)) as batches:
            async for batch in batches:
                yield [job.row for job in await self._unfinished_jobs(batch)]

    @property
    def _starts_nothing(self) -> bool:
        return self.is_stopped or self._is_aborting

    async def _unfinished_jobs(self, batch: list[Row | BadRow]) -> list[RowJob]:
        """Report the rows that an earlier run finished; return the others."""
        records = await self._find_records([row.key for row in batch if isinstance(row, Row)])
        jobs: list[RowJob] = []
        for row in batch:
            if row.location in self._bad_locations or self.is_stopped:
                continue
            if isinstance(row, BadRow):
                # Its file was deleted or changed since the check.
                await self._channel.send(row)
                continue
            record = records.get(row.key)
            if record is not None and is_finished(row, record, wait=self._wait):
                await self._channel.send(make_earlier_event(row, record))
            else:
                jobs.append(RowJob(row, record))
        return jobs

    def _handle_error(self, error: LivepeerError) -> None:
        """Start no row that would fail with the same error; the event of this one is sent later."""
        action = classify_error(error)
        self._is_aborting = self._is_aborting or action.abort_run
        if isinstance(error, Forbidden):
            self._refused_paths.update(path for path in CREATION_PATHS if error.url.endswith(path))
        if action.probe_server:
            self._circuit_breaker.trip()

    async def _check_server(self) -> None:
        """Check that the server responds, and that the key may send what it has refused.

        Raises:
            Forbidden: the key may not create assets, so each row would fail.
            LivepeerError: the server doesn't respond, or rejects the key.
        """
        await self._livepeer.ping()
        while self._refused_paths:
            await self._livepeer.check_permission(self._refused_paths.pop())

    async def _finish_attempt(self, job: RowJob, result: UploadResult | None) -> None:
        """Defer a row or report its end.

        Raises:
            LivepeerError: the row's error, if every other row would fail with it too.
        """
        error = result.error if result else None
        if error is not None and classify_error(error).abort_run:
            raise error
        if error is not None and self._may_defer(job, result, error):
            self._deferred.add(job, is_in_use=self._is_shared(error))
            self._notifier.notify()
            await self._channel.send(RowDeferred(job.row, error))
            return
        del self._jobs[job]
        self._notifier.notify()
        if job.has_started:
            await self._channel.send(job.ended(self._state_of(result), result))
        elif isinstance(error, SourceUnsupported):
            await self._channel.send(unsupported_row(job.row, error))

    def _may_defer(self, job: RowJob, result: UploadResult | None, error: LivepeerError) -> bool:
        if self._is_shared(error):
            # Another machine that shares the manifest may finish it, or end before.
            return not self.is_stopped
        has_room = len(self._deferred) < MAX_DEFERRED and not self.is_stopped
        return has_room and may_retry(
            job.row,
            error,
            attempts=job.attempts,
            has_asset=result is not None and result.asset is not None,
            has_journal=self._livepeer.journal is not None,
        )

    def _is_shared(self, error: LivepeerError) -> bool:
        """Whether another process has the row, perhaps for hours."""
        journal = self._livepeer.journal
        is_shared = journal is not None and journal.is_shared and not self._is_batch
        return is_shared and isinstance(error, UploadInUse)

    def _state_of(self, result: UploadResult | None) -> RowState:
        if result is None or isinstance(result.error, UploadStopped | UploadInUse):
            return RowState.UNFINISHED
        if result.error is not None:
            would_retry = self.is_stopped and classify_error(result.error).retry_row
            return RowState.UNFINISHED if would_retry else RowState.FAILED
        has_ready_asset = result.asset is not None and is_ready(result.asset)
        return RowState.READY if has_ready_asset else RowState.UPLOADED

    async def _report_outage(self, event: Event) -> None:
        if isinstance(event, Resumed):
            # The failures were the outage's, so they don't count.
            for job in self._jobs:
                job.attempts = min(job.attempts, 1)
        await self._channel.send(event)

    async def _find_records(self, keys: list[str]) -> dict[str, Record]:
        journal = self._livepeer.journal
        return await journal.find(keys) if journal is not None else {}

    async def _find_finished(self, keys: list[str]) -> set[str]:
        states = finished_states(wait=self._wait)
        records = await self._find_records(keys)
        return {key for key, record in records.items() if record.state in states}


@asynccontextmanager
async def run_ingestion(ingestion: Ingestion) -> AsyncGenerator[None, None]:
    """Run an ingestion beside a block; leaving the block early cancels it."""
    with closing(ingestion):
        async with plain_task_group() as tasks:
            tasks.start_soon(ingestion.run)
            yield
            tasks.cancel_scope.cancel()


async def _length_of(job: RowJob) -> int | None:
    """Return the length of a file; the length of a URL is unknown."""
    return None if job.row.is_url else job.row.length or 0
