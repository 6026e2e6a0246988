"""Runs one row: uploads its file, has the server fetch its URL, or relays the URL."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Protocol

import anyio
import msgspec
from msgspec import Struct

from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import AssetFailed, LivepeerError, UploadStopped
from livepeer_async.ingest.events import Event, RowEnded, RowStarted, RowState
from livepeer_async.ingest.rows import BadRow, Row
from livepeer_async.ingest.unsupported import probe_row
from livepeer_async.journal.records import FULLY_UPLOADED, Record, RecordState, is_accepted
from livepeer_async.models import NewAsset
from livepeer_async.probing.probe import Probe
from livepeer_async.scheduling.slots import Slot
from livepeer_async.uploads.options import UploadJob, UploadOptions, UploadResult
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.upload import Upload


class RowOptions(Struct, frozen=True, kw_only=True):
    """Options of all rows of an ingestion.

    Attributes:
        relay: stream URLs through this machine instead of having the server fetch them.
        upload: the options of each upload; key, slot and progress are set for each row.
        on_progress: called with a row and its progress.
        probe: the rules that a file is checked for before its row starts; None checks nothing.
    """

    relay: bool
    upload: UploadOptions
    on_progress: Callable[[Row, Progress], None] | None = None
    probe: Probe | None = None


class RemoteRows(Protocol):
    """Runs rows elsewhere; see `livepeer_async.ingest.cluster`."""

    async def run(
        self,
        rows: AsyncGenerator[list[Row], None],
        send: Callable[[Event], Awaitable[None]],
    ) -> None:
        """Run rows, and send their events."""
        ...

    def stop(self) -> None:
        """Start no more rows, and finish the chunks in flight."""
        ...

    def unfinished(self) -> list[RowEnded]:
        """Return the events of the rows that were started and haven't ended."""
        ...


class RowJob:
    """A row and its attempts in this run.

    Attributes:
        row: the row.
        record: the journal's record of the row's key, if any.
        attempts: the number of attempts so far.
        waits: how often in a row it was deferred because another process has it.
        scope: cancels the current attempt.
        upload: the upload of the current attempt, once its asset exists.
    """

    def __init__(self, row: Row, record: Record | None = None) -> None:
        self.row = row
        self.record = record
        self.attempts = 0
        self.waits = 0
        self.scope = anyio.CancelScope()
        self.upload: Upload | None = None
        self._began = 0.0

    @property
    def has_started(self) -> bool:
        """Whether the row has started in this run."""
        return self.attempts > 0

    def start(self) -> None:
        """Start an attempt."""
        self._began = self._began or time.monotonic()
        self.attempts += 1
        self.scope = anyio.CancelScope()
        self.upload = None

    def stop(self) -> None:
        """Stop after the chunks in flight; before the upload has begun, stop at once."""
        if self.upload is None:
            self.scope.cancel()
        else:
            self.upload.stop()

    def ended(self, state: RowState, result: UploadResult | None = None) -> RowEnded:
        """Return the event of the row's end."""
        asset = result.asset if result else None
        error = result.error if result else None
        return RowEnded(
            row=self.row,
            state=state,
            asset_id=asset.id if asset else getattr(error, "asset_id", None),
            playback_id=asset.playback_id if asset else None,
            length=(result and result.length) or self.row.length,
            seconds=time.monotonic() - self._began if self._began else 0.0,
            attempts=result.attempts if result else 0,
            verified=result.verified if result else None,
            error=None if isinstance(error, UploadStopped) else error,
        )


def make_earlier_event(row: Row, record: Record) -> RowEnded:
    """Return the event of a row that an earlier run finished."""
    return RowEnded(
        row=row,
        state=RowState.READY if record.state is RecordState.READY else RowState.UPLOADED,
        asset_id=record.asset_id,
        playback_id=record.playback_id,
        length=record.identity.length or None,
        verified=record.verified,
        is_earlier=True,
    )


class RowWorker:
    """Runs the rows of one ingestion.

    Args:
        livepeer: the client.
        options: the options of all rows.
        notify: receives `RowStarted`; must not block.
        on_error: called with the error of a row, before another row can take its slot.
    """

    def __init__(
        self,
        livepeer: AsyncLivepeer,
        options: RowOptions,
        *,
        notify: Callable[[Event], None],
        on_error: Callable[[LivepeerError], None],
    ) -> None:
        self._livepeer = livepeer
        self._options = options
        self._notify = notify
        self._on_error = on_error
        self._active: set[RowJob] = set()
        self._is_stopped = False

    def stop(self) -> None:
        """Finish the chunks in flight, and stop everything else at once."""
        self._is_stopped = True
        for job in list(self._active):
            job.stop()

    async def run(self, job: RowJob, slot: Slot) -> tuple[RowJob, UploadResult | None]:
        """Run one attempt of a row.

        Returns:
            The job, and the result with the error of a failure; `None` if the attempt was stopped
            before its upload had begun. A row that `probe` refuses hasn't started.
        """
        error = None if self._is_stopped else await self._probe(job)
        if error is not None:
            return job, UploadResult(source=job.row.source, error=error)
        if self._is_stopped:
            return job, None
        job.start()
        self._active.add(job)
        result: UploadResult | None = None
        try:
            with job.scope:
                # Without waiting: the row holds a slot, and the task that receives the events may
                # be waiting for that slot.
                self._notify(RowStarted(job.row))
                result = await self._run_attempt(job, slot)
        except LivepeerError as error:
            result = UploadResult(source=job.row.source, error=error)
        finally:
            self._active.discard(job)
        if result is not None and result.error is not None:
            self._on_error(result.error)
        return job, result

    async def _probe(self, job: RowJob) -> LivepeerError | None:
        """Check the file of a row before its first attempt; return why it would be refused."""
        probe = self._options.probe
        if probe is None or job.has_started or is_accepted(job.record):
            return None
        self._active.add(job)
        bad: BadRow | None = None
        try:
            with job.scope:
                bad = await probe_row(probe, job.row)
        finally:
            self._active.discard(job)
        return bad.error if bad is not None else None

    async def _run_attempt(self, job: RowJob, slot: Slot) -> UploadResult:
        row, relay, uploads = job.row, self._options.relay, self._livepeer.uploads
        on_progress = self._options.on_progress
        report = partial(on_progress, row) if on_progress else None
        options = msgspec.structs.replace(self._options.upload, on_progress=report)
        on_begun = partial(self._set_upload, job)
        if not row.is_url:
            upload_job = UploadJob(row.source, row.new_asset or row.default_name, key=row.key)
            return await uploads.run(upload_job, options, slot=slot, on_begun=on_begun)
        has_failed = _has_failed_import(job.record)
        is_uploaded = job.record is not None and job.record.state in FULLY_UPLOADED
        # A URL whose bytes an earlier run has uploaded isn't downloaded again.
        if not relay or (is_uploaded and not has_failed):
            new_asset = row.new_asset or NewAsset(row.source)
            result = await uploads.import_url(
                row.source, new_asset, options, key=row.key, slot=slot
            )
            has_failed = isinstance(result.error, AssetFailed)
            if not (relay and has_failed):
                return result
        if has_failed:
            # The server couldn't process the fetched video, but may be able to process an upload.
            await uploads.discard(row.key)
        return await uploads.relay(
            row.source, row.new_asset, options, key=row.key, slot=slot, on_begun=on_begun
        )

    def _set_upload(self, job: RowJob, upload: Upload) -> None:
        job.upload = upload
        if self._is_stopped:
            upload.stop()


def _has_failed_import(record: Record | None) -> bool:
    """Whether the server fetched the URL in an earlier run, and couldn't process it."""
    return record is not None and record.state is RecordState.FAILED and not record.identity.length
