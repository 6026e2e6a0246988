"""Errors of uploads: of tus, of assets, and of the journal."""

from __future__ import annotations

from livepeer_async.errors.base import ConfigurationError, LivepeerError


class TusError(LivepeerError):
    """The upload of the asset `asset_id` (`None` on other tus servers) can't continue."""

    asset_id: str | None = None


class IllegalMove(TusError):
    """The state of the upload doesn't allow the call; nothing changed."""


class ProtocolError(TusError):
    """The server's response violates tus 1.0, or its upload URL must not be used."""


class UploadRefused(TusError):
    """The server refused a tus request with a final HTTP status, `status`."""

    def __init__(self, message: str, *, status: int, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.status = status


class UploadGone(TusError):
    """The server lost the upload, reports an impossible offset, or never completed it."""


class UploadStopped(TusError):
    """`Upload.stop` ended the upload between two requests; it can be resumed."""


class RetriesExhausted(TusError):
    """Since the offset last advanced, more attempts (`attempts`) failed than the policy allows."""

    def __init__(self, message: str, *, attempts: int, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.attempts = attempts


class AssetError(LivepeerError):
    """The asset `asset_id` didn't become ready."""

    def __init__(self, message: str, *, asset_id: str) -> None:
        super().__init__(message)
        self.asset_id = asset_id


class AssetFailed(AssetError):
    """The server couldn't process it: `error_message`. `is_retryable`: `assets.retry` may help."""

    def __init__(
        self, message: str, *, asset_id: str, error_message: str, is_retryable: bool
    ) -> None:
        super().__init__(message, asset_id=asset_id)
        self.error_message, self.is_retryable = error_message, is_retryable
        self.advice = "assets.retry may help" if is_retryable else ""


class AssetDeleted(AssetError):
    """The asset was deleted during the wait."""


class AssetTimeout(AssetError, TimeoutError):
    """The asset isn't ready within the time limit; it may still become ready."""


class IntegrityError(LivepeerError):
    """The stored bytes of asset `asset_id` differ from the bytes that were read or expected.

    `wanted` is their length in bytes, or their SHA-256 in hex, `found` that of the stored bytes.
    """

    def __init__(self, message: str, *, asset_id: str, wanted: int | str, found: int | str) -> None:
        super().__init__(message)
        self.asset_id, self.wanted, self.found = asset_id, wanted, found


class TooManyOpenFiles(LivepeerError):
    """No file descriptor was free for a while; `limit` is that of the process, if known."""

    limit: int | None = None


class JournalError(LivepeerError):
    """The journal at `path` can't be used, and is unchanged; the message says why.

    `asset_id` is the asset of the upload that it ended; `None` before it was created.
    """

    asset_id: str | None = None

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class JournalUnavailable(JournalError):
    """The database of a shared journal doesn't respond, or not for now; a later call goes on."""


class UploadInUse(JournalError):
    """Another process, or another task of this process, owns the upload of `key`.

    `asset_id` is its asset, `None` while it has none. The call has changed nothing: `can_resume` is
    true, because a later one goes on with what the other has sent, or returns its asset.
    """

    advice = "wait for it, or use another key"

    def __init__(self, message: str, *, path: str, key: str, asset_id: str | None = None) -> None:
        super().__init__(message, path=path)
        self.key = key
        self.asset_id = asset_id


class KeyTaken(ConfigurationError):
    """The journal has `asset_id` under the key, with other access rights or from another URL.

    Use `assets.update`, another key, or `livepeer.journal.forget(key)`.
    """

    def __init__(self, message: str, *, asset_id: str, advice: str) -> None:
        super().__init__(message, advice=advice)
        self.asset_id = asset_id
