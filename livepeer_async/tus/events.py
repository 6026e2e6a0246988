"""What a server's response meant, as values.

`requests` reads a response into an event, `protocol` changes its state by it.
"""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.redaction import redact_upload_url, redacted


@redacted(upload_url=redact_upload_url)
class Created(Struct, frozen=True):
    """The upload exists at `upload_url`; `offset` bytes that came with the creation are held."""

    upload_url: str
    offset: int


class OffsetKnown(Struct, frozen=True):
    """The server holds `offset` bytes; `length` is `None` where it is still deferred."""

    offset: int
    length: int | None


class ChunkAccepted(Struct, frozen=True):
    """The chunk was taken and the server now holds `offset` bytes."""

    offset: int


class Terminated(Struct, frozen=True):
    """The server has thrown the upload away, or never had it."""


class Interrupted(Struct, frozen=True, kw_only=True):
    """Something came between; what the server holds is in doubt.

    Attributes:
        reason: what happened, without secrets.
        retry_after: seconds that the server asked to wait.
        is_busy: whether the server asked for less load (429, 503).
        untouched: whether it is certain that the server did nothing with the request.
        request_id: the `X-Request-ID` of the request.
    """

    reason: str
    retry_after: float | None = None
    is_busy: bool = False
    untouched: bool = False
    request_id: str | None = None


class ChunkTooLarge(Struct, frozen=True):
    """413: the server, or a proxy before it, takes smaller chunks only."""

    reason: str


class Gone(Struct, frozen=True):
    """The server doesn't know the upload (404, 410)."""

    reason: str


class Refused(Struct, frozen=True, kw_only=True):
    """A final answer: the same request would be refused again."""

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
