"""Runs single uploads: opens the source, acquires the lease, and delivers the bytes."""

from __future__ import annotations

import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import anyio
from msgspec.structs import replace

from livepeer_async.api.arguments import NewAssetLike, as_new_asset, given_name
from livepeer_async.concurrency import plain_task_group
from livepeer_async.errors import LivepeerError
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.loops import require_asyncio
from livepeer_async.http.observers import observe_requests
from livepeer_async.journal.acquiring import acquire_lease
from livepeer_async.journal.lease import Lease
from livepeer_async.journal.records import Record, access_fingerprints, url_fingerprint
from livepeer_async.journal.unfinished import can_resume, storable_fields
from livepeer_async.models import NewAsset
from livepeer_async.redaction import Hidden, clear_variables
from livepeer_async.scheduling.jobs import run_jobs
from livepeer_async.scheduling.slots import Slot, SlotQueue
from livepeer_async.sources.download import Downloader
from livepeer_async.sources.opening import SourcesInUse, open_source
from livepeer_async.sources.source import Source, SourceLike, source_key, source_name
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.background import BackgroundUploads
from livepeer_async.uploads.delivery import Delivery
from livepeer_async.uploads.many import measure_length, run_uploads
from livepeer_async.uploads.options import (
    ResumedJob,
    UploadJob,
    UploadOptions,
    UploadOutcome,
    UploadResult,
    check_job,
)
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.progress import Progress, ProgressReporter
from livepeer_async.uploads.running import RunningUploads
from livepeer_async.uploads.transfer import Transfers
from livepeer_async.uploads.upload import Upload
from livepeer_async.uploads.url_import import UrlImporter

if TYPE_CHECKING:
    # Imports SQLite, which only a client with a journal needs.
    from livepeer_async.journal.journal import Journal

# Seconds for deleting leftovers after an upload; a later one deletes the rest.
CLEANUP_TIMEOUT = 10.0

Job = TypeVar("Job")
Result = TypeVar("Result")


class Uploader:
    """Runs uploads, imports and relays of one client, in its slots; `ingest` is built on it.

    Args:
        transfers: transfers bytes.
        processing: waits for the server's processing.
        asset_requests: requests and deletes assets.
        downloader: opens URLs for relays; also an attribute, for other downloads.
        journal: records uploads; None for no records.
        slot_queue: the slots.
        descriptors: waits for free file descriptors.
    """

    def __init__(
        self,
        transfers: Transfers,
        processing: Processing,
        asset_requests: AssetRequests,
        downloader: Downloader,
        *,
        journal: Journal | None,
        slot_queue: SlotQueue,
        descriptors: Descriptors,
    ) -> None:
        self._delivery = Delivery(transfers, processing, asset_requests)
        self._limits_for = transfers.limits_for
        self._asset_requests = asset_requests
        self._url_importer = UrlImporter(asset_requests, processing.waiter)
        self.downloader = downloader
        self._journal = journal
        self._slot_queue = slot_queue
        self._descriptors = descriptors
        self._sources = SourcesInUse()
        self._running = RunningUploads()
        self._background = BackgroundUploads(partial(self.open, has_handle=True))

    async def aclose(self, *, stop_within: float = 0.0) -> None:
        """End all uploads that run in this event loop; see `RunningUploads.aclose`."""
        try:
            await self._running.aclose(stop_within=stop_within)
        finally:
            await self._background.aclose()

    async def start(self, job: UploadJob, options: UploadOptions) -> Upload:
        """Start an upload in the background, and return it once its asset exists.

        Raises:
            LivepeerError: the upload failed before.
        """
        return await self._background.start(job, options)

    def begin(self, job: UploadJob, options: UploadOptions) -> AbstractAsyncContextManager[Upload]:
        """Run an upload beside a block, which is entered once the asset exists."""
        return self._background.begin(job, options)

    @asynccontextmanager
    async def open(
        self, job: UploadJob, options: UploadOptions, *, has_handle: bool = False
    ) -> AsyncGenerator[Upload, None]:
        """Start an upload at once, taking a slot from `run_many` and `run_jobs`.

        The block is entered once the asset exists, and ends with the upload.

        Args:
            job: the upload.
            options: its options.
            has_handle: whether the caller gets the `Upload`, and can resume by its upload URL.

        Raises:
            LivepeerError: the upload failed.
        """
        require_asyncio()
        check_job(job)
        length = await measure_length(job)
        try:
            with self._slot_queue.register(waits_for_slot=False) as participant:
                slot = participant.start(length)
                opening = self._open(job, options, slot=slot, has_handle=has_handle)
                async with opening as upload, plain_task_group() as tasks:
                    has_begun = anyio.Event()
                    upload.on_begun = lambda _: has_begun.set()
                    tasks.start_soon(self._delivery.run, upload)
                    await has_begun.wait()
                    yield upload
        except LivepeerError as error:
            clear_variables(error)
            await self._clean_up()
            raise
        await self._clean_up()

    async def run(
        self,
        job: UploadJob,
        options: UploadOptions,
        *,
        slot: Slot | None = None,
        on_begun: Callable[[Upload], None] | None = None,
        url: str | None = None,
    ) -> UploadResult:
        """Run an upload and return its result, which has the error of a failed one.

        Args:
            job: the upload.
            options: its options.
            slot: the slot to release once all bytes are sent.
            on_begun: called with the upload once its asset exists.
            url: fingerprint of the URL that the source was downloaded from, which identifies it.
        """
        started = time.monotonic()
        upload: Upload | None = None
        failure: LivepeerError | None = None
        try:
            async with self._open(job, options, slot=slot, url=url) as upload:
                upload.on_begun = on_begun
                await self._delivery.run(upload)
        except LivepeerError as error:
            clear_variables(error)
            failure = error
        return _result_of(upload, job.source, failure, started)

    async def relay(
        self,
        url: str,
        new_asset: NewAssetLike | None,
        options: UploadOptions,
        *,
        key: str | None = None,
        slot: Slot | None = None,
        on_begun: Callable[[Upload], None] | None = None,
    ) -> UploadResult:
        """Download a URL and upload its bytes at the same time; arguments as for `run`.

        Raises:
            LivepeerError: the URL can't be read.
        """
        opening = ProgressReporter(0, options.on_progress)
        identity = url_fingerprint(url)
        downloading = self.downloader.open(url, observer=opening.observe)
        # Tracebacks may show local variables.
        del url
        try:
            async with downloading as download:
                job = UploadJob(download.blocks, new_asset, download.length, key)
                return await self.run(job, options, slot=slot, on_begun=on_begun, url=identity)
        except LivepeerError as error:
            clear_variables(error)
            raise

    async def import_url(
        self,
        url: str,
        new_asset: NewAsset,
        options: UploadOptions,
        *,
        key: str | None = None,
        slot: Slot | None = None,
    ) -> UploadResult:
        """Have the server fetch a URL; arguments and result as for `run`."""
        started = time.monotonic()
        upload: Upload | None = None
        failure: LivepeerError | None = None
        # A length of 0, which no upload has, marks the record of an import.
        source = Source(new_asset.name, 0)
        identity, hidden = url_fingerprint(url), Hidden(url)
        # Tracebacks may show local variables.
        del url
        try:
            access = access_fingerprints(new_asset)
            leasing = acquire_lease(self._journal, key, source, access=access, url=identity)
            async with leasing as lease:
                upload = Upload(hidden.value, source, new_asset, lease, options, slot=slot)
                with observe_requests(upload.observe), upload.telemetry.record(upload):
                    asset = await self._url_importer.request(upload, hidden.value)
                    await self._delivery.finish_import(upload, asset)
        except LivepeerError as error:
            clear_variables(error)
            error.can_resume = can_resume(error, await self._find_record(key))
            failure = error
        return _result_of(upload, hidden.value, failure, started)

    async def discard_unfinished(self, key: str) -> bool:
        """Delete the upload of a key and its asset, unless it is ready; forget the key.

        Returns:
            Whether an asset was deleted.

        Raises:
            UploadInUse: the upload is running.
            LivepeerError: the asset can't be deleted, or the journal can't be used.
        """
        async with acquire_lease(self._journal, key, Source("", 0), access=[""]) as lease:
            length = lease.recorded_length
            upload = Upload(key, Source(key, length), NewAsset(key), lease, UploadOptions())
            return await self._delivery.discard(upload)

    async def discard(self, key: str | None) -> None:
        """Delete the asset of a key, for another upload or import under the same key."""
        async with acquire_lease(self._journal, key, Source("", 0), access=[""]) as lease:
            await self._asset_requests.discard_previous(lease)

    def run_many(
        self,
        sources: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
        options: UploadOptions,
        *,
        on_progress: Callable[[SourceLike, Progress], None] | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[UploadOutcome]]:
        """Run an upload for each source; arguments as for `AsyncLivepeer.upload_many`."""

        async def run_one(job: UploadJob, slot: Slot) -> UploadOutcome:
            report = partial(on_progress, job.source) if on_progress else None
            result = await self.run(job, replace(options, on_progress=report), slot=slot)
            return cast("UploadOutcome", result)

        uploads = run_uploads(
            sources,
            run_one,
            slot_queue=self._slot_queue,
            has_journal=self._journal is not None,
        )
        return self._cleaning_up(uploads)

    @asynccontextmanager
    async def _cleaning_up(
        self, running: AbstractAsyncContextManager[AsyncIterator[UploadOutcome]]
    ) -> AsyncGenerator[AsyncIterator[UploadOutcome], None]:
        require_asyncio()
        async with running as results:
            yield results
        await self._clean_up()

    async def _clean_up(self) -> None:
        """Delete certain leftovers after the last of the running uploads."""
        journal = self._journal
        if journal is not None and journal.has_new_orphans and not self._running:
            with anyio.move_on_after(CLEANUP_TIMEOUT), suppress(LivepeerError):
                await self._asset_requests.delete_leftovers(journal)

    def run_jobs(
        self,
        jobs: AsyncGenerator[Job, None],
        run_one: Callable[[Job, Slot], Awaitable[Result]],
        *,
        length_of: Callable[[Job], Awaitable[int | None]],
    ) -> AbstractAsyncContextManager[AsyncIterator[Result]]:
        """Run any jobs in the slots of the client; see `scheduling.jobs.run_jobs`."""
        return run_jobs(jobs, run_one, length_of=length_of, slot_queue=self._slot_queue)

    @asynccontextmanager
    async def _open(
        self,
        job: UploadJob,
        options: UploadOptions,
        *,
        slot: Slot | None,
        has_handle: bool = False,
        url: str | None = None,
    ) -> AsyncGenerator[Upload, None]:
        check_job(job)
        source, key = job.source, job.key or source_key(job.source)
        new_asset = as_new_asset(job.new_asset, default_name=source_name(source))
        resumed = job if isinstance(job, ResumedJob) else None
        upload: Upload | None = None
        try:
            async with (
                self._running.register(source_name(source)) as running,
                self._sources.reserve(source, given_name(job.new_asset)),
                self._open_source(job, options, slot) as opened,
                acquire_lease(
                    self._journal,
                    key,
                    opened,
                    access=[resumed.access] if resumed else access_fingerprints(new_asset),
                    url=url,
                    ignore_mtime=options.ignore_mtime,
                    has_handle=has_handle,
                ) as lease,
            ):
                _prepare(lease, new_asset, resumed, force=options.force)
                await options.probe_source(source, opened, record=lease.record)
                running.upload = upload = Upload(
                    source, opened, new_asset, lease, options, slot=slot, has_handle=has_handle
                )
                yield upload
        except BaseException as error:
            if upload is not None:
                upload.end(error)
            elif isinstance(error, LivepeerError):
                error.can_resume = can_resume(error, await self._find_record(key))
            raise
        upload.end(None)

    async def _find_record(self, key: str | None) -> Record | None:
        if self._journal is None or key is None:
            return None
        with suppress(LivepeerError):
            return next(iter((await self._journal.find([key])).values()), None)
        return None

    def _open_source(
        self, job: UploadJob, options: UploadOptions, slot: Slot | None
    ) -> AbstractAsyncContextManager[Source]:
        if isinstance(job, ResumedJob) and job.recorded is not None:
            return nullcontext(job.recorded)
        limits = self._limits_for(job.length or 1).max_length, options.max_length
        return open_source(
            job.source,
            name=given_name(job.new_asset),
            length=job.length,
            max_length=min((it for it in limits if it is not None), default=None),
            timeout=options.source_timeout,
            descriptors=self._descriptors,
            after_wait=slot.reacquire if slot else None,
        )


def _result_of(
    upload: Upload | None, source: SourceLike, failure: LivepeerError | None, started: float
) -> UploadResult:
    """Return the result of an upload that may have failed before it started."""
    if upload is None:
        result = UploadResult(source=source, error=failure)
    else:
        result = upload.result if upload.is_done else upload.failed_result(failure)
    return replace(result, seconds=time.monotonic() - started)


def _prepare(lease: Lease, new_asset: NewAsset, resumed: ResumedJob | None, *, force: bool) -> None:
    lease.fields = storable_fields(new_asset)
    lease.missing = resumed.missing if resumed else ""
    if force:
        lease.replace_uploaded()
