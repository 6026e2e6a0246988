"""Every error that this package raises, in one tree.

    LivepeerError
    ├── ConfigurationError        the call can't work as it is written (also a ValueError)
    │   └── KeyTaken              the key's asset isn't what is wanted today; .asset_id
    ├── SourceError               the bytes to upload; .source names them
    │   ├── SourceNotReadable     missing, a directory, no permission, not binary
    │   ├── SourceEmpty           no bytes: the server would accept them and store nothing
    │   ├── SourceTooLarge        longer than the server takes
    │   ├── SourceChanged         it shrank, grew or was replaced; .asset_id
    │   └── SourceNotReplayable   a stream was asked for bytes that it no longer holds
    ├── NetworkError              no usable answer came
    │   ├── ConnectFailed         no connection: nothing was sent, repeating is safe
    │   ├── ConnectionBroken      cut, or not HTTP, after something was sent
    │   └── TimedOut              no block was accepted, or no answer came, in time
    ├── AmbiguousRequest          a request that must not be repeated blindly got no answer;
    │                             .asset_ids names what it may have made
    ├── ApiError                  Livepeer answered with an error; .status, .errors
    │   ├── BadRequest            400
    │   ├── NotAuthenticated      401
    │   ├── Forbidden             403
    │   ├── NotFound              404
    │   ├── InvalidRequest        422, with .violations
    │   ├── TooManyRequests       429, with .retry_after
    │   └── ServerError           5xx
    ├── DecodeError               an answer that can't be used; .path names the place in it
    ├── TusError                  the upload itself
    │   ├── IllegalMove           you did it: the state of the upload forbids the call
    │   ├── ProtocolError         they did it: an answer that tus 1.0 doesn't allow
    │   ├── UploadRefused         a final answer to a tus request; .status
    │   ├── UploadGone            the upload URL is of no more use
    │   ├── UploadStopped         Upload.stop ended it; what is there can be resumed
    │   └── RetriesExhausted      too many setbacks since the offset last moved
    ├── AssetError                what became of the asset; .asset_id
    │   ├── AssetFailed           the server couldn't make it ready; .is_retryable
    │   ├── AssetDeleted          somebody deleted it
    │   └── AssetTimeout          it isn't ready yet (also a TimeoutError)
    ├── IntegrityError            the asset's size or hash isn't that of the bytes that were read
    └── JournalError              the journal can't be opened, read or written; .path
        └── UploadInUse           the key's upload is being carried by somebody else

Messages say what was found, what was wanted and where; after a semicolon may follow the `advice` to
whoever wrote the call. They carry no API key, no token and no query of a URL; the facts stand as
attributes beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer_async.models import Violation


class LivepeerError(Exception):
    """Root of the tree: catch it to catch all that this package raises on purpose.

    Attributes:
        request_id: the `X-Request-ID` that the failed request carried, where there was one.
        advice: what the caller's program can do about it; "" where the message says it all.
        upload_url: where a later attempt can resume, on errors of `TusClient` and on `TusError`;
            `None` where nothing can be resumed. It is a bearer secret, and in no message.
    """

    request_id: str | None = None
    advice: str = ""
    upload_url: str | None = None

    def __init__(self, message: str, *, request_id: str | None = None, advice: str = "") -> None:
        super().__init__(message)
        self.request_id = request_id
        if advice:
            self.advice = advice

    def __reduce__(self) -> tuple[Callable[..., LivepeerError], tuple[object, ...]]:
        """Let it be copied, and go to another process, with all that it knows."""
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
    """An argument, an environment variable or a combination of them that can't work."""


class KeyTaken(ConfigurationError):
    """Under the key stands an asset that isn't what is wanted today, and may be in use.

    Attributes:
        asset_id: the asset's ID.
    """

    def __init__(self, message: str, *, asset_id: str, advice: str) -> None:
        super().__init__(message, advice=advice)
        self.asset_id = asset_id


class SourceError(LivepeerError):
    """Something is wrong with the bytes to upload.

    Attributes:
        source: the path or the name of the source.
    """

    def __init__(self, message: str, *, source: str) -> None:
        super().__init__(message)
        self.source = source


class SourceNotReadable(SourceError):
    """The source is missing, is a directory, isn't binary or may not be read."""


class SourceEmpty(SourceError):
    """The source has no bytes; Livepeer would take it and store no object."""


class SourceTooLarge(SourceError):
    """The source is longer than the server takes.

    Attributes:
        length: bytes of the source.
        limit: bytes that the server takes.
    """

    def __init__(self, message: str, *, source: str, length: int, limit: int) -> None:
        super().__init__(message, source=source)
        self.length = length
        self.limit = limit


class SourceChanged(SourceError):
    """The source isn't what it was when the upload began: a mixture must not be stored.

    Attributes:
        asset_id: the asset that was made of it before, where its upload had ended; it stays.
    """

    def __init__(self, message: str, *, source: str, asset_id: str | None = None) -> None:
        super().__init__(message, source=source)
        self.asset_id = asset_id
        if asset_id is not None:
            self.advice = "give another key, or let the journal forget this one"


class SourceNotReplayable(SourceError):
    """A stream was asked for bytes that came before the chunk that it keeps."""


class NetworkError(LivepeerError):
    """No usable answer came; the reason stands in the message and in `__cause__`."""


class ConnectFailed(NetworkError):
    """No connection could be made, so the server has seen nothing of the request."""


class ConnectionBroken(NetworkError):
    """The connection was cut, or what came back was no HTTP, after something was sent."""


class TimedOut(NetworkError):
    """No block was accepted, or no answer came, within the time allowed."""


class AmbiguousRequest(LivepeerError):
    """A request that may not be repeated blindly was sent and its answer was lost.

    Attributes:
        asset_ids: assets that it may have made, where they were looked for; they may also be
            somebody else's, who used the same name at the same time.
    """

    asset_ids: tuple[str, ...] = ()
    advice = "look what is there before asking again"


class ApiError(LivepeerError):
    """Livepeer's API answered with a status of 400 or above.

    Attributes:
        status: the HTTP status.
        errors: the server's own sentences, with the key taken out.
        method: the HTTP method.
        url: the URL without its query.
    """

    def __init__(  # noqa: PLR0913 - each is a fact that the reader of the error may need
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
        self.status = status
        self.errors = errors
        self.method = method
        self.url = url
        self.violations = violations
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400: the request can't be carried out as it is."""


class NotAuthenticated(ApiError):
    """401: the API key is missing, wrong or revoked."""


class Forbidden(ApiError):
    """403: the key may not do this."""


class NotFound(ApiError):
    """404: no such asset, task or playback ID for this key."""


class InvalidRequest(ApiError):
    """422: the request breaks the schema (see `violations`) or the asset's phase forbids it."""


class TooManyRequests(ApiError):
    """429: the account has as many unfinished tasks as it may have; `retry_after` in seconds."""


class ServerError(ApiError):
    """5xx: the server failed."""


class DecodeError(LivepeerError):
    """An answer came that can't be used.

    Attributes:
        path: the place in the document, as `$.asset.id`; `$` where all of it is unusable.
    """

    def __init__(self, message: str, *, path: str, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.path = path


class TusError(LivepeerError):
    """The upload can't go on.

    Attributes:
        asset_id: the asset that the bytes are for; `None` outside of Livepeer.
    """

    asset_id: str | None = None


class IllegalMove(TusError):
    """The state of the upload forbids the call; nothing was changed."""


class ProtocolError(TusError):
    """The server's answer breaks tus 1.0, or names a place where the bytes must not go."""


class UploadRefused(TusError):
    """A final answer to a tus request.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, *, status: int, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.status = status


class UploadGone(TusError):
    """The upload URL is of no more use: unknown to the server, or its offset can't be believed."""


class UploadStopped(TusError):
    """`Upload.stop` ended it between two requests; what can be resumed stays."""


class RetriesExhausted(TusError):
    """The offset hasn't moved for as many attempts as the retry policy allows.

    Attributes:
        attempts: setbacks since the offset last moved.
    """

    def __init__(self, message: str, *, attempts: int, request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.attempts = attempts


class AssetError(LivepeerError):
    """What became of an asset.

    Attributes:
        asset_id: the asset's ID.
    """

    def __init__(self, message: str, *, asset_id: str) -> None:
        super().__init__(message)
        self.asset_id = asset_id


class AssetFailed(AssetError):
    """The server couldn't make the asset ready.

    Attributes:
        error_message: the server's sentence.
        is_retryable: whether `assets.retry` may help; no second upload is needed for it.
    """

    def __init__(
        self, message: str, *, asset_id: str, error_message: str, is_retryable: bool
    ) -> None:
        super().__init__(message, asset_id=asset_id)
        self.error_message = error_message
        self.is_retryable = is_retryable
        self.advice = "assets.retry may help" if is_retryable else ""


class AssetDeleted(AssetError):
    """The asset was deleted while it was waited for."""


class AssetTimeout(AssetError, TimeoutError):
    """The asset isn't ready within the time allowed; it may still become so."""


class IntegrityError(LivepeerError):
    """The stored object isn't the bytes that were read.

    Attributes:
        asset_id: the asset that holds wrong bytes.
        wanted: what was read: its length in bytes, or its SHA-256 in hex.
        found: the same of what the server stored.
    """

    def __init__(self, message: str, *, asset_id: str, wanted: int | str, found: int | str) -> None:
        super().__init__(message)
        self.asset_id = asset_id
        self.wanted = wanted
        self.found = found


class JournalError(LivepeerError):
    """The journal can't be opened, read or written; what it holds is as it was.

    Attributes:
        path: the journal's file.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class UploadInUse(JournalError):
    """The upload of this key is being carried by another process, or by another task of this one.

    Attributes:
        key: the key of the upload; of a URL without userinfo and query.
    """

    advice = "wait for it, or give another key"

    def __init__(self, message: str, *, path: str, key: str) -> None:
        super().__init__(message, path=path)
        self.key = key
