"""Handle on one running upload: its asset, its progress, and ways to end it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import cast

import anyio

from livepeer_async.errors import (
    ClientClosed,
    ConfigurationError,
    JournalError,
    LivepeerError,
    UploadStopped,
)
from livepeer_async.http.observers import RequestEvent
from livepeer_async.http.retry import RestartCounter
from livepeer_async.journal.lease import Lease
from livepeer_async.journal.unfinished import can_resume
from livepeer_async.models import Asset, NewAsset
from livepeer_async.polling.phases import has_left_uploading, is_ready
from livepeer_async.polling.verify import Verified
from livepeer_async.redaction import redact_upload_url
from livepeer_async.scheduling.slots import Slot
from livepeer_async.sources.blocks import Digest
from livepeer_async.sources.source import Source, SourceLike
from livepeer_async.tus.cookies import Cookies
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.uploads.options import UploadOptions, UploadResult, UploadSuccess
from livepeer_async.uploads.progress import Progress, ProgressReporter, Stage
from livepeer_async.uploads.telemetry import UploadTelemetry


class Upload:
    """A running upload, as `begin_upload` returns it.

    Attributes:
        name: name of the source.
        length: bytes of the source.
        attempts: tus or direct uploads so far, as in `UploadResult`.
        is_stopped: whether `stop` was called.
        is_aborted: whether `abort` was called.
    """

    _asset: Asset | None = None
    _result: UploadSuccess | None = None
    _error: Exception | None = None
    _traceback: TracebackType | None = None
    _is_delivered = False

    def __init__(
        self,
        original_source: SourceLike,
        source: Source,
        new_asset: NewAsset,
        lease: Lease,
        options: UploadOptions,
        *,
        slot: Slot | None = None,
        has_handle: bool = False,
    ) -> None:
        # For the modules of this package; not public.
        self.source = source
        self.new_asset = new_asset
        self.lease = lease
        self.options = options
        # Whether the caller has this object, and with it the upload URL.
        self.has_handle = has_handle
        self.digest: Digest | None = Digest() if options.verify == "hash" else None
        self.restarts: RestartCounter = RestartCounter()
        # None if an earlier run has sent all bytes, nothing is left to resume, or it is direct.
        self.tus: TusUpload | None = None
        self.cookies = Cookies()
        self.origin = ""  # of the upload host
        # Only `abort` and `stop` cancel it.
        self.scope: anyio.CancelScope = anyio.CancelScope()
        # Called with the upload once its asset exists, and with each new one of a restart.
        self.on_begun: Callable[[Upload], object] | None = None
        self.name: str = source.name
        self.length: int = source.length
        self.attempts: int = 0
        self.is_stopped: bool = False
        self.is_aborted: bool = False
        # Set to end a pause; None while there is none.
        self._resumption: anyio.Event | None = None
        self._is_uploaded = self._has_request = False
        self._passed = original_source
        self._slot = slot
        self._started = time.monotonic()
        self._ended = anyio.Event()
        self.telemetry = UploadTelemetry(source.name, source.length, lease.key)
        self._progress = ProgressReporter(source.length, options.on_progress)

    @property
    def asset(self) -> Asset:
        """The latest state of the asset.

        Raises:
            ConfigurationError: no asset was created yet.
        """
        if self._asset is None:
            raise ConfigurationError("the upload has no asset yet")
        return self._asset

    @property
    def result(self) -> UploadSuccess:
        """The result of a successful upload.

        Raises:
            ConfigurationError: the upload hasn't ended, has failed, or was aborted.
        """
        if self._result is None or self.is_aborted:
            state = "was aborted" if self.is_aborted else "has no result yet: leave its block first"
            raise ConfigurationError(f"the upload {state}")
        return self._result

    @property
    def is_done(self) -> bool:
        """Whether the upload has succeeded."""
        return self._result is not None

    @property
    def upload_url(self) -> str | None:
        """The tus upload URL, a bearer secret; None until the upload is created."""
        return self.tus.upload_url if self.tus else None

    @property
    def last_asset(self) -> Asset | None:
        """The latest state of the asset; None before it is created."""
        return self._asset

    @property
    def error(self) -> Exception | None:
        """Why the upload has failed, or was stopped; None while it runs and if it has succeeded."""
        return self._error

    @property
    def latest(self) -> Progress:
        """The latest progress."""
        return self._progress.latest

    def progress(self, every: float | None = None) -> AsyncIterator[Progress]:
        """Iterate over the progress until the upload ends; any number of readers may.

        A slow reader skips values, but gets the last one.

        Args:
            every: seconds between two values, except before the last one; by default each change
                is a value.

        Raises:
            ConfigurationError: `every` is negative.
            LivepeerError: the upload has failed or was stopped; raised after the last value.
        """
        if every is not None and not every >= 0:
            raise ConfigurationError(f"every is {every!r}; wanted a number of seconds, or None")
        return self._follow(every)

    async def _follow(self, every: float | None) -> AsyncGenerator[Progress, None]:
        async for progress in self._progress.follow(every):
            yield progress
        self.raise_failure()

    async def wait(self) -> UploadSuccess:
        """Wait until the upload has ended; any number of tasks may, also after the end.

        A cancelled wait doesn't cancel the upload.

        Raises:
            UploadStopped: the upload was stopped, aborted or cancelled.
            ClientClosed: the client was closed during the upload.
            LivepeerError: the upload has failed.
        """
        await self._ended.wait()
        self._raise_error()
        return self.result

    @property
    def has_failed(self) -> bool:
        """Whether the upload has an error other than that of an `abort` that has worked."""
        is_aborted = self.is_aborted and isinstance(self._error, UploadStopped)
        return self._error is not None and not is_aborted

    def raise_failure(self) -> None:
        """Raise the error of the upload, unless it is that of an `abort` that has worked."""
        if self.has_failed:
            self._raise_error()

    def _raise_error(self) -> None:
        """Raise the error of the upload, without the traceback of an earlier raise."""
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)

    async def abort(self) -> None:
        """Cancel the upload and delete it and its asset; its block then ends without a result.

        An asset that an earlier run has finished isn't deleted.

        Raises:
            ConfigurationError: the upload has ended; delete its asset with `assets.delete`.
            LivepeerError: the asset couldn't be deleted.
        """
        if self._is_delivered:
            raise ConfigurationError(f"the upload has ended: delete asset {self.asset.id} instead")
        self.is_aborted = True
        self.scope.cancel()
        await self._ended.wait()
        self.raise_failure()

    def pause(self) -> None:
        """Pause after the current request, such as a chunk, until `resume`.

        The key stays in use, but other uploads may send meanwhile. `latest.is_paused` tells when it
        takes effect. `stop`, `abort` and the client's end work during a pause. Once the server has
        all bytes, it has no effect.
        """
        if self._resumption is None and not self._is_uploaded:
            self._resumption = anyio.Event()

    def resume(self) -> None:
        """End a pause; the upload goes on at the server's offset."""
        resumption, self._resumption = self._resumption, None
        if resumption is not None:
            resumption.set()

    def stop(self) -> None:
        """Stop after the current request, such as a chunk, and keep the upload for resuming.

        Its block then raises `UploadStopped`. The upload of a stream can't be resumed and is
        deleted. The PUT of a direct upload is a single request: a stop waits for its end, and
        keeps the asset once it has all bytes; before the PUT, and after one that failed, nothing
        can be kept, and the asset is deleted.
        """
        self.is_stopped = True
        if not self._has_request:
            self.scope.cancel()

    def finish(self, verified: Verified | None = None, sha256: str | None = None) -> None:
        """Record the success of the upload."""
        result = self._make_result(verified=verified, sha256=sha256)
        self._result = cast("UploadSuccess", result)
        self.telemetry.log_success(self._asset, verified, self.attempts)

    def failed_result(self, error: LivepeerError | None) -> UploadResult:
        """Return a result with the error that ended the upload."""
        return self._make_result(error=error)

    def _make_result(
        self,
        *,
        error: LivepeerError | None = None,
        verified: Verified | None = None,
        sha256: str | None = None,
    ) -> UploadResult:
        return UploadResult(
            source=self._passed,
            asset=self._asset,
            error=error,
            verified=verified,
            sha256=sha256,
            length=self.length or None,
            seconds=time.monotonic() - self._started,
            attempts=self.attempts,
        )

    def stopped_error(self) -> UploadStopped:
        """Return the error for an upload that `stop`, `abort` or a cancellation has ended."""
        how = "aborted" if self.is_aborted else "stopped" if self.is_stopped else "cancelled"
        error = UploadStopped(f"the upload of {self.name} was {how}")
        error.upload_url = None if self.is_aborted else self.upload_url
        error.asset_id = self._asset.id if self._asset else None
        return error

    def closed_error(self) -> ClientClosed:
        """Return the error for an upload that the end of the client has stopped or cancelled."""
        error = ClientClosed(f"the client was closed during the upload of {self.name}")
        error.upload_url = self.upload_url
        error.asset_id = self._asset.id if self._asset else None
        return error

    async def sleep(self, seconds: float = 0.0) -> None:
        """Sleep; here `stop` takes effect at once, and `pause` afterwards."""
        self._request_finished()
        await anyio.sleep(seconds)
        await self.wait_while_paused()

    async def wait_while_paused(self) -> None:
        """Wait until the upload isn't paused, without its slot meanwhile."""
        resumption = self._resumption
        if resumption is None:
            return
        self.release_slot()
        self._progress.update_paused(is_paused=True)
        try:
            while resumption is not None:
                await resumption.wait()
                resumption = self._resumption
        finally:
            self._progress.update_paused(is_paused=False)
        await self.acquire_slot()

    @property
    def is_resumable(self) -> bool:
        """Whether the upload can be resumed although no error has its URL."""
        is_url_known = self.has_handle or self.is_stopped or self.lease.is_resumable
        return self.upload_url is not None and self.source.is_replayable and is_url_known

    def request_started(self) -> None:
        """Record that a tus request begins, which `stop` doesn't interrupt."""
        self._has_request = True

    def attach(self, asset: Asset, tus: TusUpload | None, *, is_complete: bool = False) -> None:
        """Record the asset and the tus upload that now belong to this upload.

        Args:
            asset: the asset.
            tus: the tus upload; None for a direct upload, and for a complete one.
            is_complete: whether an earlier run has sent all bytes.
        """
        self._has_request = self._is_uploaded = False
        self.attempts += not is_complete
        self.cookies = Cookies()
        self.tus = tus
        self._asset = asset
        is_resumed = tus is not None and tus.upload_url is not None
        self.telemetry.attach(asset.id, is_found=is_complete, is_resumed=is_resumed)
        if not is_complete:
            self._progress.begin(asset.id, is_resumed=is_resumed)
            if self.on_begun is not None:
                self.on_begun(self)

    def update_asset(self, asset: Asset) -> None:
        """Record a new state of the asset."""
        self._asset = asset
        self.telemetry.set_asset(asset.id)
        stage = Stage.READY if is_ready(asset) else Stage.PROCESSING
        # The server fetches the bytes of an import, whose length is 0, itself.
        if self.length and not has_left_uploading(asset):
            stage = Stage.UPLOADING
        processed = asset.status.progress if asset.status else None
        self._progress.update_stage(stage, processed=processed, asset_id=asset.id)

    def update_transfer(self, sent: int, in_flight: int) -> None:
        """Record how many bytes are acknowledged, and how many are in flight."""
        self._progress.update_transfer(sent, in_flight)

    def observe(self, event: RequestEvent) -> None:
        """Record an event of a request of this upload."""
        self._progress.observe(event)
        self.telemetry.observe(event)

    def mark_uploaded(self) -> None:
        """Record that the server has all bytes, and release the slot."""
        self._request_finished()
        self._is_uploaded = True
        self.resume()
        self.release_slot()

    async def acquire_slot(self) -> None:
        """Wait for a slot, unless the upload still has its own."""
        if self._slot is not None:
            await self._slot.acquire()

    def mark_delivered(self) -> None:
        """Record that the delivery has ended, after which `abort` would have no effect."""
        self._is_delivered = True

    def release_slot(self) -> None:
        """Release the slot, because no bytes are left to send."""
        if self._slot is not None:
            self._slot.release()

    def end(self, error: BaseException | None) -> None:
        """Record how the upload has ended, and wake all tasks that wait for progress or the end."""
        if error is not None and not isinstance(error, Exception):
            error = self.stopped_error()
        if error is None and self.is_aborted:
            error = self.stopped_error()
        if isinstance(error, LivepeerError):
            if isinstance(error, JournalError):
                error.asset_id = self._asset.id if self._asset else None
                error.upload_url = self.upload_url if self.is_resumable else error.upload_url
            error.can_resume = can_resume(error, self.lease.record)
        if error is not None:
            self._error, self._traceback = error, error.__traceback__
        self._progress.close()
        self._ended.set()

    def _request_finished(self) -> None:
        self._has_request = False
        if self.is_stopped:
            self.scope.cancel()

    def __repr__(self) -> str:
        url = redact_upload_url(self.upload_url) if self.upload_url else "no URL yet"
        sent = self._progress.latest.sent
        return f"<Upload {self.name!r}, {sent} of {self.length} bytes, {url}>"
