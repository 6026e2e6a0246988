"""The handle on one upload that runs: what it made so far, and how far it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from livepeer_async.errors import ConfigurationError
from livepeer_async.http.retry import RetryEvent
from livepeer_async.models import Asset
from livepeer_async.redaction import redact_upload_url
from livepeer_async.sources.source import SourceLike
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.uploads.options import UploadOptions, UploadResult
from livepeer_async.uploads.progress import Latest, Progress, Stage


class Upload:
    """An upload that runs.

    Attributes:
        asset: the asset as it was last seen.
        tus: the protocol's state; replaced where the upload begins again on a new ticket, and
            `None` where an earlier run has sent everything, or nothing is left to resume.
        is_aborted: whether `abort` ended it.
        is_stopped: whether `stop` was called.
    """

    def __init__(self, source: SourceLike, name: str, length: int, options: UploadOptions) -> None:
        self.source = source
        self.name = name
        self.length = length
        self.options = options
        self.tus: TusUpload | None = None
        self._result: UploadResult | None = None
        self.attempts = 0
        # Cancelled by `abort` and `stop` alone.
        self.scope = anyio.CancelScope()
        self.is_aborted = False
        self.is_stopped = False
        self._is_asking = False
        self.has_begun = anyio.Event()
        self._ended = anyio.Event()
        self._asset: Asset | None = None
        self._latest = Latest(Progress(sent=0, length=length))

    @property
    def asset(self) -> Asset:
        """The asset as it was last seen."""
        if self._asset is None:
            raise ConfigurationError("the upload has no asset yet")
        return self._asset

    @property
    def result(self) -> UploadResult:
        """How it ended.

        Raises:
            ConfigurationError: it hasn't ended well, or not yet.
        """
        if self._result is None or self.is_aborted:
            why = "was aborted" if self.is_aborted else "has no result yet: leave its block first"
            raise ConfigurationError(f"the upload {why}")
        return self._result

    @property
    def is_done(self) -> bool:
        """Whether it ended well."""
        return self._result is not None

    def finish(self, result: UploadResult) -> None:
        """Take note of how it ended."""
        self._result = result

    @property
    def upload_url(self) -> str | None:
        """The tus upload URL, a bearer secret; `None` until the upload is created."""
        return self.tus.upload_url if self.tus else None

    @property
    def last_asset(self) -> Asset | None:
        """The asset as it was last seen; `None` before the first ticket."""
        return self._asset

    def progress(self) -> AsyncIterator[Progress]:
        """Follow the progress until the upload ends; only the latest value is kept."""
        return aiter(self._latest)

    async def abort(self) -> None:
        """Stop, and delete the upload and its asset; the block then ends without a result.

        An asset that an earlier run has finished is left alone.

        Raises:
            ConfigurationError: the upload has ended; its asset is there (see `assets.delete`).
        """
        if self._ended.is_set():
            raise ConfigurationError(f"the upload has ended: delete asset {self.asset.id} instead")
        self.is_aborted = True
        self.scope.cancel()
        await self._ended.wait()

    def stop(self) -> None:
        """Let the request end that runs, a chunk for instance, and then stop.

        Nothing is deleted that could be resumed, as the upload of a stream can't be.
        The upload then ends with `UploadStopped`, unless that request was its last: what follows
        on the server isn't waited for.
        """
        self.is_stopped = True
        if not self._is_asking:
            self.scope.cancel()

    async def sleep(self, seconds: float = 0.0) -> None:
        """Sleep, at a place where a stop takes effect at once."""
        self._is_asking = False
        if self.is_stopped:
            self.scope.cancel()
        await anyio.sleep(seconds)

    def request_started(self) -> None:
        """Take note that a request to the tus server begins, which a stop lets be finished."""
        self._is_asking = True

    def attach(self, asset: Asset, tus: TusUpload | None) -> None:
        """Take note of the asset that is made, and of the upload that there is for it."""
        self._is_asking = False
        self.attempts += tus is not None
        self.tus = tus
        self._asset = asset

    def update_asset(self, asset: Asset) -> None:
        """Take note of the asset, as the server described it."""
        self._asset = asset
        stage = {"uploading": Stage.UPLOADING, "ready": Stage.READY}.get(
            asset.phase or "uploading", Stage.PROCESSING
        )
        processed = asset.status.progress if asset.status else None
        sent = self._latest.value.sent if stage is Stage.UPLOADING else self.length
        self._tell(sent, stage, processed)

    def update_sent(self, count: int) -> None:
        """Take note of the bytes that the socket has taken."""
        self._tell(min(count, self.length), Stage.UPLOADING, None)

    def mark_uploaded(self) -> None:
        """Take note that no byte is left to send, unless the upload begins again."""
        self._is_asking = False
        if self.is_stopped:
            self.scope.cancel()
        if self.options.slot is not None:
            self.options.slot.release()

    async def acquire_slot(self) -> None:
        """Wait for a slot, where an upload has given back its own and begins again."""
        if self.options.slot is not None:
            await self.options.slot.acquire()

    def report_retry(self, retry_event: RetryEvent) -> None:
        """Take note that nothing moves for a while."""
        latest = self._latest.value
        self._tell(latest.sent, latest.stage, None, retry_event)

    def close(self) -> None:
        """Let those go who follow the progress, or wait for the end."""
        self._latest.close()
        self._ended.set()

    def _tell(
        self,
        sent: int,
        stage: Stage,
        processed: float | None,
        retry_event: RetryEvent | None = None,
    ) -> None:
        progress = Progress(
            sent=sent,
            length=self.length,
            stage=stage,
            processed=processed,
            asset_id=self._asset.id if self._asset else None,
            retry=retry_event,
        )
        is_new = progress != self._latest.value
        self._latest.set(progress)
        if is_new and self.options.on_progress is not None:
            self.options.on_progress(progress)

    def __repr__(self) -> str:
        url = redact_upload_url(self.upload_url) if self.upload_url else "no URL yet"
        return f"<Upload {self.name!r}, {self._latest.value.sent} of {self.length} bytes, {url}>"
