"""The handle on one upload that runs: what it made so far, and how far it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from msgspec import Struct

from livepeer_async.errors import ConfigurationError, LivepeerError
from livepeer_async.messages import without_upload
from livepeer_async.models import Asset
from livepeer_async.models.redaction import format_repr, show_source, shown_fields
from livepeer_async.tus.upload import TusUpload
from livepeer_async.uploads.progress import Latest, Progress, Stage
from livepeer_async.uploads.retry import Setback
from livepeer_async.uploads.source import SourceLike
from livepeer_async.uploads.turns import Slot
from livepeer_async.uploads.verify import Verified
from livepeer_async.waiting import READY_TIMEOUT


class UploadOptions(Struct, frozen=True, kw_only=True):
    """How an upload ends, and who is told.

    Attributes:
        wait: whether to wait for `ready`; else it ends once the server has left `uploading`.
        verify: "size", "hash" or `None`; see `verify_asset`.
        ready_timeout: seconds to wait for `ready`.
        on_progress: called in the event loop with each change; must not block.
        slot: what is held while bytes are sent; `None` where nobody counts.
        length: bytes, for a stream that knows them.
        key: the caller's name for the upload in the journal.
        url: where the bytes of a stream come from, as `tell_url` gives it; `None` for a source
            that tells itself.
        on_mismatch: "raise", or "reupload" to try once more on a new asset.
        reprocess: times that the server is asked to process a failed asset again, where its
            failure may pass; 0 raises the first one.
        has_handle: whether the caller has the `Upload`, which tells the upload URL.
    """

    wait: bool = True
    verify: str | None = "size"
    on_mismatch: str = "raise"
    key: str | None = None
    url: str | None = None
    ready_timeout: float = READY_TIMEOUT
    on_progress: Callable[[Progress], None] | None = None
    slot: Slot | None = None
    length: int | None = None
    reprocess: int = 0
    has_handle: bool = False

    def __post_init__(self) -> None:
        if self.verify not in {"size", "hash", None}:
            raise ConfigurationError(f"verify is {self.verify!r}; wanted 'size', 'hash' or None")
        if self.on_mismatch not in {"raise", "reupload"}:
            raise ConfigurationError(
                f"on_mismatch is {self.on_mismatch!r}; wanted 'raise' or 'reupload'"
            )
        _check_key(self.key)
        if not self.ready_timeout > 0:
            raise ConfigurationError("ready_timeout must be above 0 seconds")
        if self.reprocess < 0:
            raise ConfigurationError(f"reprocess is {self.reprocess}; wanted 0 or more times")
        if self.length is not None and type(self.length) is not int:
            raise ConfigurationError(f"length is {self.length!r}; wanted a number of bytes")
        if self.length is not None and self.length < 1:
            raise ConfigurationError(f"length is {self.length}; wanted at least 1 byte")


def _check_key(key: object) -> None:
    if key is not None and (not isinstance(key, str) or not key):
        raise ConfigurationError(f"the key is {key!r}; wanted a text that isn't empty, or none")


class UploadResult(Struct, frozen=True, kw_only=True):
    """How one upload ended: either `asset` is as it should be, or `error` says why not.

    Attributes:
        source: what was handed in.
        asset: the asset as it was last seen; with an error, the one that it concerns, if any.
        error: `None` where all went well.
        verified: how far the content is proved; `None` where it wasn't asked for.
        sha256: of the bytes that were read, in hex, where it was asked for.
        length: bytes of the source.
        seconds: from the beginning to the end.
        attempts: uploads that were needed; 1 where nothing was lost, 0 where an earlier run had
            brought everything over.
    """

    source: SourceLike
    asset: Asset | None = None
    error: LivepeerError | None = None
    verified: Verified | None = None
    sha256: str | None = None
    length: int | None = None
    seconds: float = 0.0
    attempts: int = 0

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List the fields; a source that is a URL may be a secret."""
        return shown_fields(self, source=show_source)

    def __repr__(self) -> str:
        return format_repr(self)


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

    def end(self, result: UploadResult) -> None:
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

    async def rest(self, seconds: float = 0.0) -> None:
        """Sleep, at a place where a stop takes effect at once."""
        self._is_asking = False
        if self.is_stopped:
            self.scope.cancel()
        await anyio.sleep(seconds)

    def ask(self) -> None:
        """Take note that a request to the tus server begins, which a stop lets be finished."""
        self._is_asking = True

    def begin(self, asset: Asset, tus: TusUpload | None) -> None:
        """Take note of the asset that is made, and of the upload that there is for it."""
        self._is_asking = False
        self.attempts += tus is not None
        self.tus = tus
        self._asset = asset

    def saw(self, asset: Asset) -> None:
        """Take note of the asset, as the server described it."""
        self._asset = asset
        stage = {"uploading": Stage.UPLOADING, "ready": Stage.READY}.get(
            asset.phase or "uploading", Stage.PROCESSING
        )
        processed = asset.status.progress if asset.status else None
        sent = self._latest.value.sent if stage is Stage.UPLOADING else self.length
        self._tell(sent, stage, processed)

    def sent(self, count: int) -> None:
        """Take note of the bytes that the socket has taken."""
        self._tell(min(count, self.length), Stage.UPLOADING, None)

    def arrived(self) -> None:
        """Take note that no byte is left to send, unless the upload begins again."""
        self._is_asking = False
        if self.is_stopped:
            self.scope.cancel()
        if self.options.slot is not None:
            self.options.slot.leave()

    async def take_slot(self) -> None:
        """Wait for a slot, where an upload has given back its own and begins again."""
        if self.options.slot is not None:
            await self.options.slot.take()

    def set_back(self, setback: Setback) -> None:
        """Take note that nothing moves for a while."""
        latest = self._latest.value
        self._tell(latest.sent, latest.stage, None, setback)

    def close(self) -> None:
        """Let those go who follow the progress, or wait for the end."""
        self._latest.close()
        self._ended.set()

    def _tell(
        self,
        sent: int,
        stage: Stage,
        processed: float | None,
        setback: Setback | None = None,
    ) -> None:
        progress = Progress(
            sent=sent,
            length=self.length,
            stage=stage,
            processed=processed,
            asset_id=self._asset.id if self._asset else None,
            setback=setback,
        )
        is_new = progress != self._latest.value
        self._latest.set(progress)
        if is_new and self.options.on_progress is not None:
            self.options.on_progress(progress)

    def __repr__(self) -> str:
        url = without_upload(self.upload_url) if self.upload_url else "no URL yet"
        return f"<Upload {self.name!r}, {self._latest.value.sent} of {self.length} bytes, {url}>"
