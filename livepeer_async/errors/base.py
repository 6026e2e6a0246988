"""The base class of all errors, and the error for invalid arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer_async.redaction import limit_text

if TYPE_CHECKING:
    from collections.abc import Callable


class LivepeerError(Exception):
    """Base class of all errors of this package.

    Attributes:
        request_id: the `X-Request-ID` of the failed request, if a request failed.
        advice: what the caller can do; "" if the message says it all.
        upload_url: the upload URL to resume from, on a `TusError` and on errors of `TusClient`;
            `None` if nothing can be resumed. It is a bearer secret and not in the message.
        can_resume: whether the upload is kept: `resume_upload`, or the same call with the same
            key and journal, goes on without sending everything again, or else another client from
            `upload_url`. False for all calls but uploads.
    """

    request_id: str | None = None
    advice: str = ""
    upload_url: str | None = None
    can_resume: bool = False

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


class ClusterError(LivepeerError):
    """A cluster can't run rows: its scheduler is gone, or a worker can't be used."""


class ClientClosed(ConfigurationError):
    """The client was closed before or during the call; of an upload, `asset_id` is its asset."""

    asset_id: str | None = None
