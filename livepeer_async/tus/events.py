"""Events: the meaning of a server's response.

`requests` reads a response into an event, from which `protocol` derives the next state.
"""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.redaction import redact_upload_url, redacted


@redacted(upload_url=redact_upload_url)
class Created(Struct, frozen=True):
    """The upload exists at `upload_url` and holds `offset` bytes, sent with the creation."""

    upload_url: str
    offset: int


class OffsetKnown(Struct, frozen=True):
    """The server holds `offset` bytes; `length` is `None` while it is deferred."""

    offset: int
    length: int | None


class ChunkAccepted(Struct, frozen=True):
    """The server accepted the chunk and now holds `offset` bytes."""

    offset: int


class Terminated(Struct, frozen=True):
    """The server deleted the upload, or doesn't know it."""


@redacted()
class Interrupted(Struct, frozen=True, kw_only=True):
    """A transient failure: no response, an unusable one, or 408, 409, 423, 425, 429 or 5xx.

    Attributes:
        reason: what happened, without secrets.
        retry_after: seconds that the server asked to wait.
        is_busy: whether the server asked for less load (429, 503).
        untouched: whether the server certainly didn't process the request.
        request_id: the `X-Request-ID` of the request.
    """

    reason: str
    retry_after: float | None = None
    is_busy: bool = False
    untouched: bool = False
    request_id: str | None = None


@redacted()
class ChunkTooLarge(Struct, frozen=True):
    """413: the server, or a proxy in front of it, accepts only smaller chunks."""

    reason: str
    request_id: str | None = None


@redacted()
class Gone(Struct, frozen=True):
    """404 or 410: the server doesn't know the upload; or its offset can't be right."""

    reason: str


@redacted()
class Refused(Struct, frozen=True, kw_only=True):
    """Any other error status: the same request would be refused again."""

    reason: str
    status: int
    request_id: str | None = None


Event = (
    Created
    | OffsetKnown
    | ChunkAccepted
    | Terminated
    | Interrupted
    | ChunkTooLarge
    | Gone
    | Refused
)
