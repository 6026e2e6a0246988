"""Errors: every exception that this package raises on purpose, in one tree.

Catch `LivepeerError` for all of them, a branch for a kind of failure, a leaf for one cause:

    LivepeerError
    ├── ConfigurationError        the call can't work as written (also a ValueError)
    │   ├── ClientClosed          the client was closed
    │   └── KeyTaken              the key belongs to a different asset; .asset_id
    ├── ClusterError              the scheduler of `ingest(cluster=)` is gone, or no worker works
    ├── SourceError               the source of the bytes; .source
    │   ├── SourceNotReadable     missing, no permission, not binary; .is_directory
    │   ├── SourceEmpty           no bytes
    │   ├── SourceTooLarge        longer than the server or `max_length` allows; .length, .limit
    │   ├── SourceTimedOut        no byte within `source_timeout` (also a TimeoutError); .received
    │   ├── FormInvalid           a form that can't be passed through; .status
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
    ├── WebhookError              a received request isn't an event of Livepeer
    │   ├── SignatureMissing      no signature
    │   ├── SignatureMismatch     other bytes were signed, or with another secret
    │   ├── EventTooOld           it was signed too long ago; .age
    │   └── AccessControlCall     it asks whether a playback is allowed
    ├── TooManyOpenFiles          no file descriptor is free (`ulimit -n`); .limit
    └── JournalError              the journal can't be opened, read or written; .path
        ├── JournalUnavailable    the database of a shared journal doesn't respond
        └── UploadInUse           another process or task owns the upload of this key; .asset_id

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
- `error.can_resume` is true: the upload is kept. The same call with the same key and journal, or
  `livepeer.resume_upload(key)`, goes on, also in a later process; without a key, `error.upload_url`
  is where to resume from. It is true of `UploadInUse`, whose upload is still running.
- `WebhookError`: respond with a status of 4xx.
- `ClusterError`: run the same ingestion again once the message's cause is gone; it goes on.
- `JournalError`: nothing is lost. The file is locked, damaged, read-only or of a newer version or
  another account, or the disk is full. Any other: change the call, the key or the account.
"""

from livepeer_async.errors.base import (
    ClientClosed,
    ClusterError,
    ConfigurationError,
    LivepeerError,
)
from livepeer_async.errors.requests import (
    AmbiguousRequest,
    ApiError,
    BadRequest,
    ConnectFailed,
    ConnectionBroken,
    DecodeError,
    Forbidden,
    InvalidRequest,
    NetworkError,
    NotAuthenticated,
    NotFound,
    ServerError,
    TimedOut,
    TooManyRequests,
)
from livepeer_async.errors.sources import (
    FormInvalid,
    SourceChanged,
    SourceEmpty,
    SourceError,
    SourceNotReadable,
    SourceNotReplayable,
    SourceTimedOut,
    SourceTooLarge,
    SourceUnsupported,
)
from livepeer_async.errors.transient import (
    is_transient,
    is_transient_status,
)
from livepeer_async.errors.uploads import (
    AssetDeleted,
    AssetError,
    AssetFailed,
    AssetTimeout,
    IllegalMove,
    IntegrityError,
    JournalError,
    JournalUnavailable,
    KeyTaken,
    ProtocolError,
    RetriesExhausted,
    TooManyOpenFiles,
    TusError,
    UploadGone,
    UploadInUse,
    UploadRefused,
    UploadStopped,
)
from livepeer_async.errors.webhooks import (
    AccessControlCall,
    EventTooOld,
    SignatureMismatch,
    SignatureMissing,
    WebhookError,
)

__all__ = [
    "AccessControlCall",
    "AmbiguousRequest",
    "ApiError",
    "AssetDeleted",
    "AssetError",
    "AssetFailed",
    "AssetTimeout",
    "BadRequest",
    "ClientClosed",
    "ClusterError",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectionBroken",
    "DecodeError",
    "EventTooOld",
    "Forbidden",
    "FormInvalid",
    "IllegalMove",
    "IntegrityError",
    "InvalidRequest",
    "JournalError",
    "JournalUnavailable",
    "KeyTaken",
    "LivepeerError",
    "NetworkError",
    "NotAuthenticated",
    "NotFound",
    "ProtocolError",
    "RetriesExhausted",
    "ServerError",
    "SignatureMismatch",
    "SignatureMissing",
    "SourceChanged",
    "SourceEmpty",
    "SourceError",
    "SourceNotReadable",
    "SourceNotReplayable",
    "SourceTimedOut",
    "SourceTooLarge",
    "SourceUnsupported",
    "TimedOut",
    "TooManyOpenFiles",
    "TooManyRequests",
    "TusError",
    "UploadGone",
    "UploadInUse",
    "UploadRefused",
    "UploadStopped",
    "WebhookError",
    "is_transient",
    "is_transient_status",
]
