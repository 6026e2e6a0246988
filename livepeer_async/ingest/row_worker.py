"""Runs one row: uploads it, has the server fetch it, or relays it through this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import anyio
from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import AssetFailed, LivepeerError, UploadStopped
from livepeer_async.ingest.events import Event, RowEnded, RowStarted, RowState
from livepeer_async.ingest.rows import Row
from livepeer_async.journal.records import FULLY_UPLOADED, Record, RecordState
from livepeer_async.models import NewAsset
from livepeer_async.scheduling.slots import Slot
from livepeer_async.uploads.options import UploadJob, UploadOptions, UploadResult
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.upload import Upload


class RowOptions(Struct, frozen=True, kw_only=True):
    """How rows are run.

    Attributes:
        relay: whether what URLs have goes through this machine.
        upload: options of all uploads.
        on_progress: called with the row and its progress.
    """

    relay: bool
    upload: UploadOptions
    on_progress: Callable[[Row, Progress], None] | None


class Job:
    """A row on its way.

    Attributes:
        row: the row.
        record: what the journal had of it.
        times: how often it was begun.
        due: when it may begin again, on the clock of `time.monotonic`.
    """

    def __init__(self, row: Row, record: Record | None = None) -> None:
        self.row = row
        self.record = record
        self.times = 0
        self.due = 0.0
        self._began = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether it has begun in this run."""
        return self.times > 0

    def begin(self) -> None:
        """Take note that it begins, perhaps again."""
        self._began = self._began or time.monotonic()
        self.times += 1

    def ended(self, state: RowState, result: UploadResult | None = None) -> RowEnded:
        """Say how it ended."""
        asset = result.asset if result else None
        return RowEnded(
            row=self.row,
            state=state,
            asset_id=asset.id if asset else getattr(result and result.error, "asset_id", None),
            playback_id=asset.playback_id if asset else None,
            length=(result and result.length) or self.row.length,
            seconds=time.monotonic() - self._began if self._began else 0.0,
            attempts=result.attempts if result else 0,
            verified=result.verified if result else None,
            error=result.error if result and not _is_stop(result.error) else None,
        )


def _is_stop(error: LivepeerError | None) -> bool:
    return isinstance(error, UploadStopped)


def ended_earlier(row: Row, record: Record) -> RowEnded:
    """Say how a row ended that an earlier run has finished."""
    return RowEnded(
        row=row,
        state=RowState(record.state.value),
        asset_id=record.asset_id,
        playback_id=record.playback_id,
        length=record.identity.length or None,
        verified=record.verified,
        is_earlier=True,
    )


class _ActiveRow:
    """A row that runs: what can stop it."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.upload: Upload | None = None

    def stop(self) -> None:
        if self.upload is None:
            self.scope.cancel()
        else:
            self.upload.stop()


class RowRunner:
    """Runs rows of one ingestion.

    Args:
        livepeer: the client.
        options: how.
        tell: takes events at once.
        take_note: takes the error of a row, before another one may begin in its place.
    """

    def __init__(
        self,
        livepeer: AsyncLivepeer,
        options: RowOptions,
        tell: Callable[[Event], None],
        *,
        take_note: Callable[[LivepeerError], None],
    ) -> None:
        self._livepeer = livepeer
        self._options = options
        self._tell = tell
        self._take_note = take_note
        self._running: dict[_ActiveRow, None] = {}
        self._is_stopped = False

    def stop(self) -> None:
        """Let the chunks that run be finished, and all else end at once."""
        self._is_stopped = True
        for running in list(self._running):
            running.stop()

    async def run(self, job: Job, slot: Slot) -> tuple[Job, UploadResult | None]:
        """Run a row; an error is its result, and none is there where it was stopped."""
        running = _ActiveRow()
        if self._is_stopped:
            return job, None
        self._running[running] = None
        result: UploadResult | None = None
        try:
            with running.scope:
                job.begin()
                # At once: it holds a slot, and who takes the events may wait for that very slot.
                self._tell(RowStarted(job.row))
                result = await self._run(job, running, slot)
        except LivepeerError as error:
            result = UploadResult(source=job.row.source, error=error)
        finally:
            del self._running[running]
        if result is not None and result.error is not None:
            self._take_note(result.error)
        return job, result

    async def _run(self, job: Job, running: _ActiveRow, slot: Slot) -> UploadResult:
        row, uploads = job.row, self._livepeer.uploads
        report = partial(self._options.on_progress, row) if self._options.on_progress else None
        options = replace(self._options.upload, on_progress=report)
        if row.is_url and self._options.relay and _is_unmade(job):
            # What the server couldn't make of it, it may make of the bytes from here.
            await uploads.discard(row.key)
        if row.is_url and self._is_imported(job):
            wanted = row.new_asset or NewAsset(row.source)
            result = await uploads.import_url(row.source, wanted, options, key=row.key, slot=slot)
            if not (self._options.relay and isinstance(result.error, AssetFailed)):
                return result
            # What the server couldn't make of it, it may make of the bytes from here.
            await uploads.discard(row.key)

        def begun(upload: Upload) -> None:
            running.upload = upload
            if self._is_stopped:
                upload.stop()

        if not row.is_url:
            upload_job = UploadJob(row.source, row.new_asset, key=row.key)
            return await uploads.run(upload_job, options, slot=slot, on_begun=begun)
        return await uploads.relay(
            row.source, row.new_asset, options, key=row.key, slot=slot, on_begun=begun
        )

    def _is_imported(self, job: Job) -> bool:
        """Whether the server fetches it; what it has already needs no relay."""
        if not self._options.relay:
            return True
        return job.record is not None and job.record.state in FULLY_UPLOADED and not _is_unmade(job)


def _is_unmade(job: Job) -> bool:
    """Whether an earlier run had the server fetch it, and nothing became of that."""
    record = job.record
    return record is not None and record.state is RecordState.FAILED and not record.identity.length
