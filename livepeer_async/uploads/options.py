"""The job, the options and the result of one upload."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypedDict, cast

from msgspec import Struct

from livepeer_async.api.arguments import NewAssetLike, given_name
from livepeer_async.defaults import READY_TIMEOUT, SOURCE_TIMEOUT
from livepeer_async.errors import AssetFailed, ConfigurationError, LivepeerError
from livepeer_async.journal.records import Record, is_accepted
from livepeer_async.models import Asset
from livepeer_async.polling.verify import Verified
from livepeer_async.polling.waiter import AssetT_co, ErrorT_co, unwrap
from livepeer_async.probing.probe import Probe, as_probe, probe_open, probe_path
from livepeer_async.redaction import mask_values, redacted, show_source
from livepeer_async.sources.source import Source, SourceLike, check_length, source_name
from livepeer_async.uploads.progress import Progress

Verify = Literal["size", "hash"] | None
OnMismatch = Literal["raise", "reupload"]
Method = Literal["tus", "direct"]


class UploadOptions(Struct, frozen=True, kw_only=True):
    """Options that all uploads of one call share.

    Attributes:
        wait: whether to wait for `ready`; otherwise an upload ends when its asset has left
            `uploading`.
        verify: `size`, `hash` or None; see `verify_asset`.
        on_mismatch: `raise`, or `reupload` to try once more with a new asset.
        on_progress: called in the event loop with each change; must not block.
        ready_timeout: seconds to wait for `ready`.
        ignore_mtime: whether a file that was uploaded before is the same if only its modification
            time and inode differ.
        reprocess: how often a failed asset is processed again by the server, if that may help.
        probe: the rules that a file is checked for before its upload; None checks nothing.
        max_length: maximum bytes of a source; None for the server's limit alone.
        source_timeout: seconds without a byte of a stream; None for no limit.
        force: whether to upload again what an earlier run has uploaded; its asset stays.
        method: `tus`, or `direct` for one PUT of all bytes.
    """

    wait: bool = True
    verify: Verify = "size"
    on_mismatch: OnMismatch = "raise"
    on_progress: Callable[[Progress], None] | None = None
    ready_timeout: float = READY_TIMEOUT
    reprocess: int = 0
    ignore_mtime: bool = False
    probe: Probe | None = None
    max_length: int | None = None
    source_timeout: float | None = None
    force: bool = False
    method: Method = "tus"

    def __post_init__(self) -> None:
        if self.verify not in ("size", "hash", None):
            raise ConfigurationError(f"verify is {self.verify!r}; wanted 'size', 'hash' or None")
        if self.on_mismatch not in ("raise", "reupload"):
            raise ConfigurationError(
                f"on_mismatch is {self.on_mismatch!r}; wanted 'raise' or 'reupload'"
            )
        if self.method not in ("tus", "direct"):
            raise ConfigurationError(f"method is {self.method!r}; wanted 'tus' or 'direct'")
        if not self.ready_timeout > 0:
            raise ConfigurationError("ready_timeout must be above 0 seconds")
        if self.reprocess < 0:
            raise ConfigurationError(f"reprocess is {self.reprocess}; wanted 0 or more times")
        _check_limits(self.max_length, self.source_timeout)

    @property
    def is_direct(self) -> bool:
        """Whether all bytes are sent in one PUT."""
        return self.method == "direct"

    async def probe_source(
        self, source: SourceLike, opened: Source, *, record: Record | None
    ) -> None:
        """Check a source before its upload, unless it is a stream, which can be read only once.

        What an earlier run has uploaded, as `record` says, isn't checked.

        Raises:
            SourceUnsupported: the pipeline would refuse it.
        """
        if self.probe is None or opened.is_stream or is_accepted(record):
            return
        if isinstance(source, str | os.PathLike):
            await probe_path(self.probe, os.fspath(source))
        else:
            await probe_open(self.probe, opened.name, opened.length, opened.read_into)

    def may_reprocess(self, error: LivepeerError) -> bool:
        """Whether the server may be asked to process an asset again after this error."""
        is_enabled = self.wait and self.reprocess > 0
        return is_enabled and isinstance(error, AssetFailed) and error.is_retryable


def _check_limits(max_length: Any, source_timeout: Any) -> None:
    if max_length is not None and (type(max_length) is not int or max_length < 1):
        raise ConfigurationError(
            f"max_length is {max_length!r}; wanted a number of bytes above 0, or None"
        )
    is_number = isinstance(source_timeout, int | float) and source_timeout is not True
    if source_timeout is not None and not (is_number and source_timeout > 0):
        raise ConfigurationError(
            f"source_timeout is {source_timeout!r}; wanted seconds above 0, or None"
        )


def _mask_fields(new_asset: NewAssetLike) -> NewAssetLike:
    """Mask the values of a mapping but its name; a `NewAsset` has a repr without secrets."""
    if not isinstance(new_asset, Mapping):
        return new_asset
    shown = {"name": new_asset["name"]} if "name" in new_asset else {}
    return mask_values(new_asset) | shown


@redacted(source=show_source, key=show_source, new_asset=_mask_fields)
class UploadJob(Struct, frozen=True):
    """One source for `upload_many`, with the asset to create.

    Attributes:
        source: as for `AsyncLivepeer.upload`, like the other attributes.
        new_asset: fields or name of the asset.
        length: bytes of a stream.
        key: name of the upload in the journal.
    """

    source: SourceLike
    new_asset: NewAssetLike | None = None
    length: int | None = None
    key: str | None = None


class ResumedJob(UploadJob, frozen=True, kw_only=True):
    """The job of an upload that an earlier run began; its source and asset may not be known.

    Attributes:
        access: playback policy and encryption, as in `Record`.
        missing: as in `Lease`.
        recorded: stands for the source if the server has all bytes; None to open `source`.
    """

    access: str
    missing: str
    recorded: Source | None = None


class ResumeArguments(TypedDict, total=False):
    """The optional arguments of `AsyncLivepeer.resume_upload`, which `upload` documents."""

    wait: bool
    verify: Verify
    on_mismatch: OnMismatch
    on_progress: Callable[[Progress], None] | None
    ready_timeout: float
    length: int | None
    ignore_mtime: bool
    probe: Probe | bool
    method: Method
    max_length: int | None
    source_timeout: float | None


class UploadArguments(ResumeArguments, total=False):
    """The optional arguments of `AsyncLivepeer.upload`, which documents them."""

    key: str | None


def as_job(
    source: SourceLike,
    new_asset: NewAssetLike | None = None,
    *,
    length: int | None = None,
    key: str | None = None,
    probe: Probe | bool = False,
    source_timeout: float | None = SOURCE_TIMEOUT,
    **options: Any,
) -> tuple[UploadJob, UploadOptions]:
    """Return the job and the options that the arguments of `AsyncLivepeer.upload` describe.

    Raises:
        ConfigurationError: an option is invalid.
    """
    job = UploadJob(source, new_asset, length, key)
    return job, UploadOptions(probe=as_probe(probe), source_timeout=source_timeout, **options)


def check_job(job: UploadJob) -> None:
    """Check the length and the key of a job.

    Raises:
        ConfigurationError: one of them is invalid.
    """
    key: object = job.key
    if key is not None and (not isinstance(key, str) or not key):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"the key is {key!r}; wanted a non-empty str, or None")
    if isinstance(key, str) and "\0" in key:
        raise ConfigurationError(f"the key {key[:80]!r} contains a NUL character; wanted none")
    check_length(job.length, source_name(job.source, default=given_name(job.new_asset)))


@redacted(source=show_source)
class UploadResult(Struct, Generic[AssetT_co, ErrorT_co], frozen=True, kw_only=True):
    """The result of one upload: an asset, or an `error`.

    Type checkers know that `asset` is an `Asset` if `error is None`.

    Attributes:
        source: the source as it was passed.
        asset: the latest state of the asset. With an error: the asset that it concerns, or None.
        error: why the upload failed; None if it succeeded.
        verified: the comparison that was made; None without verification.
        sha256: SHA-256 of the bytes read, in hex; None unless `verify` is `hash`.
        length: bytes of the source.
        seconds: duration of the upload.
        attempts: tus or direct uploads that were needed; above 1 after a restart, 0 if an earlier
            run had sent all bytes.
    """

    source: SourceLike
    asset: AssetT_co = cast("Any", None)
    error: ErrorT_co = cast("Any", None)
    verified: Verified | None = None
    sha256: str | None = None
    length: int | None = None
    seconds: float = 0.0
    attempts: int = 0

    def unwrap(self) -> Asset:
        """Return the asset of a successful upload.

        Raises:
            LivepeerError: the upload failed; this is `error`.
        """
        return unwrap(self.asset, self.error)


UploadSuccess = UploadResult[Asset, None]
# What type checkers know of a result: either an asset or an error.
UploadOutcome = UploadSuccess | UploadResult[Asset | Any, LivepeerError]
