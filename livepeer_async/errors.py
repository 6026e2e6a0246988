"""Errors: every exception that this package raises on purpose, in one tree.

Catch `LivepeerError` for all of them, a branch for a kind of failure, a leaf for one cause:

    LivepeerError
    ├── ConfigurationError        the call can't work as written (also a ValueError)
    │   └── KeyTaken              the key belongs to a different asset; .asset_id
    ├── SourceError               the source of the bytes; .source
    │   ├── SourceNotReadable     missing, no permission, not binary; .is_directory
    │   ├── SourceEmpty           no bytes
    │   ├── SourceTooLarge        longer than the server accepts; .length, .limit
    │   ├── SourceUnsupported     refused by the pipeline (`probe`); .rules, .command
    │   ├── SourceChanged         modified or replaced during the upload; .asset_id
    │   └── SourceNotReplayable   a stream can't repeat bytes that were dropped
    ├── NetworkError              no usable response
    │   ├── ConnectFailed         no connection, so nothing was sent
    │   ├── ConnectionBroken      closed, or not HTTP, after something was sent
    │   └── TimedOut              no block accepted, or no response, within the time limit
    ├── AmbiguousRequest          the response to a non-idempotent request was lost; .asset_ids
    ├── ApiError                  an error status of Livepeer's API; .status, .errors
    │   ├── BadRequest            400
    │   ├── NotAuthenticated      401
    │   ├── Forbidden             403
    │   ├── NotFound              404
    │   ├── InvalidRequest        422; .violations
    │   ├── TooManyRequests       429; .retry_after
    │   └── ServerError           5xx
    ├── DecodeError               a response that can't be decoded; .path
    ├── TusError                  the upload; .asset_id, .upload_url
    │   ├── IllegalMove           the upload's state doesn't allow the call
    │   ├── ProtocolError         the server's response violates tus 1.0
    │   ├── UploadRefused         a final error status to a tus request; .status
    │   ├── UploadGone            the upload URL can't be used any more
    │   ├── UploadStopped         `Upload.stop` ended the upload
    │   └── RetriesExhausted      too many failed attempts without progress; .attempts
    ├── AssetError                the asset; .asset_id
    │   ├── AssetFailed           the server couldn't process it; .error_message, .is_retryable
    │   ├── AssetDeleted          it was deleted during the wait
    │   └── AssetTimeout          not ready within the time limit (also a TimeoutError)
    ├── IntegrityError            size or hash differ from the bytes read; .wanted, .found
    ├── TooManyOpenFiles          no file descriptor is free (`ulimit -n`); .limit
    └── JournalError              the journal can't be opened, read or written; .path
        └── UploadInUse           another process or task owns the upload of this key; .key

A message says what was found, what was wanted and where. Facts are attributes; `advice` says what
to do and follows the message after a semicolon. No message or repr contains an API key, a token,
an upload URL or the query of a URL. All errors can be pickled and copied.

# What to do

- `is_transient(error)` is true: repeat the call later. With a journal, the same upload resumes.
  Network errors and statuses have already been retried, as `RetryPolicy` says.
- `AmbiguousRequest`: look at `asset_ids` first, because a second call may create a second asset.
- `SourceError`: fix the source. An unreadable, empty, too large or unsupported file is rejected
  before any request. `SourceChanged`: upload again once the file is whole, or use another key.
- `AssetFailed` with `is_retryable`: `assets.retry(asset_id)`; `AssetTimeout`: `assets.wait` again.
- `IntegrityError`: delete the asset and upload again, or pass `on_mismatch="reupload"`.
- `UploadStopped`, any `TusError` with an `upload_url`: resume from there.
- `JournalError`: nothing is lost. The file is locked, damaged, read-only or of a newer version or
  another account, or the disk is full. Any other: change the call, the key or the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer_async.redaction import limit_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer_async.models import Violation

# The request was too slow, conflicted with another, met a lock, or came too early or too often.
_TRANSIENT_STATUSES = frozenset({408, 409, 423, 425, 429})
_MIN_SERVER_ERROR = 500


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later.

    True for network errors, API errors with a status of `is_transient_status`, undecodable
    responses (most come from a proxy), exhausted retries, an upload in use, and a lack of file
    descriptors. False for `AmbiguousRequest`: repeated, it may create a second asset.
    """
    if isinstance(error, ApiError):
        return is_transient_status(error.status)
    kinds = NetworkError | DecodeError | RetriesExhausted | UploadInUse | TooManyOpenFiles
    return isinstance(error, kinds)


def is_transient_status(status: int) -> bool:
    """Whether the same request may succeed later: 408, 409, 423, 425, 429 and 5xx."""
    return status in _TRANSIENT_STATUSES or status >= _MIN_SERVER_ERROR


class LivepeerError(Exception):
    """Base class of all errors of this package.

    Attributes:
        request_id: the `X-Request-ID` of the failed request, if a request failed.
        advice: what the caller can do; "" if the message says it all.
        upload_url: the upload URL to resume from, on a `TusError` and on errors of `TusClient`;
            `None` if nothing can be resumed. It is a bearer secret and not in the message.
    """

    request_id: str | None = None
    advice: str = ""
    upload_url: str | None = None

    def __init__(self, message: str, *, request_id: str | None = None, advice: str = "") -> None:
        super().__init__(limit_text(message))
        self.request_id = request_id
        if advice:
            self.advice = advice

    def __reduce__(self) -> tuple[Callable[..., LivepeerError], tuple[object, ...]]:
        """Support `copy` and `pickle` with all attributes."""
        return _rebuild, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        message = "; ".join(filter(None, [super().__str__(), self.advice]))
        return f"{message} [request {self.request_id}]" if self.request_id else message


def _rebuild(
    kind: type[LivepeerError], args: tuple[object, ...], facts: dict[str, object]
) -> LivepeerError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class ConfigurationError(LivepeerError, ValueError):
    """An argument, an environment variable, or a combination of them, is invalid."""


class KeyTaken(ConfigurationError):
    """The journal has `asset_id` under the key, with other access rights or from another URL.

    Use `assets.update`, another key, or `livepeer.journal.forget(key)`.
    """

    def __init__(self, message: str, *, asset_id: str, advice: str) -> None:
        super().__init__(message, advice=advice)
        self.asset_id = asset_id


class SourceError(LivepeerError):
    """The bytes of `source`, a path, a name or a URL without query, can't be used."""

    def __init__(self, message: str, *, source: str) -> None:
        super().__init__(message)
        self.source = source


class SourceNotReadable(SourceError):
    """The source is missing, isn't binary, can't be read, or is a directory (`is_directory`)."""

    def __init__(self, message: str, *, source: str, is_directory: bool = False) -> None:
        super().__init__(message, source=source)
        self.is_directory = is_directory


class SourceEmpty(SourceError):
    """The source has no bytes; Livepeer would accept it and store no object."""


class SourceTooLarge(SourceError):
    """The source has `length` bytes, and the server accepts at most `limit`."""

    def __init__(self, message: str, *, source: str, length: int, limit: int) -> None:
        super().__init__(message, source=source)
        self.length, self.limit = length, limit


class SourceUnsupported(SourceError):
    """Livepeer's pipeline refuses `found` and accepts `wanted`; see `AsyncLivepeer.upload(probe=)`.

    `rules` are the names of the broken rules, `rule` is the first, and `command` is the ffmpeg
    command that converts the file, or "" if none does. Nothing was sent.
    """

    def __init__(
        self, *, source: str, rules: tuple[str, ...], found: str, wanted: str, command: str
    ) -> None:
        message = f"{source!r} has {found}, which Livepeer refuses; wanted {wanted}"
        super().__init__(message, source=source)
        self.rules, self.rule, self.command = rules, rules[0], command
        self.found, self.wanted = found, wanted
        self.advice = f"convert it: {command}" if command else "check that it is a whole video"


class SourceChanged(SourceError):
    """The source, or only its times (`is_touched`), changed since an upload; `asset_id` stays."""

    def __init__(self, message: str, *, source: str, asset_id: str | None = None) -> None:
        super().__init__(message, source=source)
        self.asset_id, self.is_touched = asset_id, False
        if asset_id is not None:
            self.advice = "use another key, or remove this one from the journal"


class SourceNotReplayable(SourceError):
    """A stream has to repeat bytes that are no longer in memory; pass a file or bytes instead."""


class NetworkError(LivepeerError):
    """No usable response; `__cause__` is the HTTP library's error."""


class ConnectFailed(NetworkError):
    """No connection could be opened, so the server has received nothing."""


class ConnectionBroken(NetworkError):
    """The connection was closed, or the response wasn't HTTP, after something was sent."""


class TimedOut(NetworkError):
    """No block was accepted, or no response arrived, within the time limit."""


class AmbiguousRequest(LivepeerError):
    """A non-idempotent request was sent and its response was lost.

    `asset_ids` are assets that it may have created, if the client could list them. Another request
    for the same name, at the same time, may have created them instead.
    """

    asset_ids: tuple[str, ...] = ()
    advice = "check what was created before repeating the call"


class ApiError(LivepeerError):
    """Livepeer's API responded with a status of 400 or above, or with a redirect.

    Attributes:
        status: the HTTP status.
        errors: the server's messages, without the API key.
        method: the HTTP method.
        url: the URL without its query.
        violations: how the request violates the API's schema, if the server says so.
        retry_after: seconds that the server asks to wait, if it does.
    """

    def __init__(
        self,
        *,
        status: int,
        errors: tuple[str, ...],
        method: str,
        url: str,
        violations: tuple[Violation, ...] = (),
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        said = "; ".join(errors) or "no explanation"
        super().__init__(f"{status} from {method} {url}: {said}", request_id=request_id)
        self.status, self.errors, self.violations = status, errors, violations
        self.method, self.url, self.retry_after = method, url, retry_after


class BadRequest(ApiError):
    """400: the server can't process the request."""


class NotAuthenticated(ApiError):
    """401: the API key is missing, wrong or revoked."""


class Forbidden(ApiError):
    """403: the API key isn't allowed to do this."""


class NotFound(ApiError):
    """404: this account has no such asset, task or playback ID, or the base URL lacks `/api`."""


class InvalidRequest(ApiError):
    """422: the request violates the schema (see `violations`), or the asset's phase forbids it."""


class TooManyRequests(ApiError):
    """429: the account has reached its limit of unfinished tasks."""


class ServerError(ApiError):
    """5xx: the server failed."""


class DecodeError(LivepeerError):
    """A response can't be decoded at `path`, such as `$.asset.id`; `$` is the whole document."""

    def __init__(self, message: str, *, path: str, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.path = path


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
    """The stored bytes of asset `asset_id` differ from the bytes that were read.

    `wanted` is the length in bytes, or the SHA-256 in hex, of the bytes read, `found` of the other.
    """

    def __init__(self, message: str, *, asset_id: str, wanted: int | str, found: int | str) -> None:
        super().__init__(message)
        self.asset_id, self.wanted, self.found = asset_id, wanted, found


class TooManyOpenFiles(LivepeerError):
    """No file descriptor was free for a while; `limit` is that of the process, if known."""

    limit: int | None = None


class JournalError(LivepeerError):
    """The journal at `path` can't be used, and is unchanged; the message says why."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class UploadInUse(JournalError):
    """Another process, or another task of this process, owns the upload of `key`."""

    advice = "wait for it, or use another key"

    def __init__(self, message: str, *, path: str, key: str) -> None:
        super().__init__(message, path=path)
        self.key = key
