"""The options and the result of one upload."""

from __future__ import annotations

from collections.abc import (
    Callable,
)
from typing import Literal

from msgspec import Struct

from livepeer_async.errors import ConfigurationError, LivepeerError
from livepeer_async.models import Asset
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.redaction import redacted, show_source
from livepeer_async.scheduling.slots import Slot
from livepeer_async.sources.source import SourceLike
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.verify import Verified

Verify = Literal["size", "hash"] | None


OnMismatch = Literal["raise", "reupload"]


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


@redacted(source=show_source)
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
