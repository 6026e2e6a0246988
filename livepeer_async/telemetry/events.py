"""Log events: their names, levels and facts, and the function that logs them."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from livepeer_async.telemetry.subjects import current_subject

LOGGER = logging.getLogger("livepeer_async")


class LogEvent(NamedTuple):
    """A kind of log record.

    Attributes:
        name: the stable name, `event_name` of the record.
        level: the level of the record.
        facts: the other attributes of the record, besides `asset_id`, `key` and `source`.
        logger: logs it.
    """

    name: str
    level: int
    facts: tuple[str, ...]
    logger: logging.Logger = LOGGER


_RETRY = ("attempt", "attempts", "delay", "livepeer_request_id", "reason", "status_code")
_END = ("attempts", "length", "seconds")

UPLOAD_STARTED = LogEvent("upload.started", logging.INFO, ("length", "previous_asset_id"))
UPLOAD_RESUMED = LogEvent("upload.resumed", logging.INFO, ("length", "previous_asset_id"))
UPLOAD_FOUND = LogEvent("upload.found", logging.INFO, ("length",))
UPLOAD_TRANSFERRED = LogEvent("upload.transferred", logging.INFO, _END)
UPLOAD_SUCCEEDED = LogEvent("upload.succeeded", logging.INFO, (*_END, "phase", "verified"))
UPLOAD_STOPPED = LogEvent("upload.stopped", logging.INFO, _END)
UPLOAD_ABORTED = LogEvent("upload.aborted", logging.INFO, _END)
UPLOAD_CANCELLED = LogEvent("upload.cancelled", logging.INFO, _END)
UPLOAD_FAILED = LogEvent("upload.failed", logging.WARNING, (*_END, "error", "reason"))
UPLOAD_WAITING = LogEvent("upload.waiting", logging.INFO, ("reason", "seconds"))
UPLOAD_RESTARTED = LogEvent("upload.restarted", logging.WARNING, _RETRY)
UPLOAD_RETRY = LogEvent("upload.retry", logging.WARNING, ("offset", *_RETRY))
CHUNK_SENT = LogEvent(
    "chunk.sent", logging.DEBUG, ("bytes", "command", "offset", "seconds", "status_code")
)
RESPONSE_RECEIVED = LogEvent(
    "response.received", logging.DEBUG, ("livepeer_request_id", "place", "seconds", "status_code")
)
REQUEST_RETRY = LogEvent("request.retry", logging.WARNING, _RETRY)
RESPONSE_LOST = LogEvent("response.lost", logging.WARNING, ("asset_ids", "asset_name", "reason"))
POLL_RETRY = LogEvent("poll.retry", logging.WARNING, ("assets", *_RETRY))
DOWNLOAD_RETRY = LogEvent("download.retry", logging.WARNING, ("offset", *_RETRY))
PROCESSING_RETRY = LogEvent("processing.retry", logging.WARNING, _RETRY)
ASSET_DELETED = LogEvent("asset.deleted", logging.INFO, ())
ASSET_NOT_DELETED = LogEvent("asset.not_deleted", logging.WARNING, ("reason",))
REQUESTS_PAUSED = LogEvent("requests.paused", logging.WARNING, ("delay", "pauses"))
REQUESTS_RESUMED = LogEvent("requests.resumed", logging.INFO, ("pauses",))
SOURCE_REPEATED = LogEvent("source.repeated", logging.INFO, ())
SOURCE_NOT_PROBED = LogEvent("source.not_probed", logging.DEBUG, ("error",))
JOURNAL_NOT_WRITTEN = LogEvent("journal.not_written", logging.WARNING, ("reason",))
JOURNAL_UNREADABLE = LogEvent("journal.unreadable", logging.WARNING, ("path", "reason"))
RESPONSE_FAILED = LogEvent("response.failed", logging.ERROR, ("error", "reason", "status_code"))
# The command line prints the events of these two loggers.
DESCRIPTORS_EXHAUSTED = LogEvent(
    "descriptors.exhausted", logging.WARNING, (), LOGGER.getChild("http.descriptors")
)
PROXY_ENTRY_IGNORED = LogEvent(
    "proxy.entry_ignored", logging.WARNING, ("entry",), LOGGER.getChild("http.proxies")
)

EVENTS: tuple[LogEvent, ...] = tuple(it for it in globals().values() if isinstance(it, LogEvent))

# What the value of an extra may be: any formatter can encode it as JSON.
Fact = str | int | float | bool | tuple[str, ...] | None


def log_event(
    event: LogEvent,
    message: str,
    *args: object,
    exc_info: Any = None,
    **facts: Fact,
) -> None:
    """Log an event with its facts as attributes of the record.

    The upload that the current task runs adds its asset and its key to the facts, and to the
    message. With `asset_id` or `source` in `facts`, the message names these already.

    Args:
        event: the event.
        message: the message, in the syntax of `%`.
        args: the arguments of the message.
        exc_info: an exception whose traceback is logged.
        facts: the facts of the event.
    """
    logger = event.logger
    if not logger.isEnabledFor(event.level):
        return
    subject = current_subject()
    named = {"asset_id", "source"} & facts.keys()
    extra: dict[str, Fact] = {
        "event_name": event.name,
        **(subject.facts if subject else {"asset_id": None, "key": None, "source": None}),
        **facts,
    }
    if subject is not None and (shown := subject.describe(without_asset=bool(named))):
        message, args = f"{message} (%s)", (*args, shown)
    try:
        logger.log(event.level, message, *args, exc_info=exc_info, extra=extra, stacklevel=2)
    except KeyError:
        # A record factory of the application sets an attribute of this name itself.
        own = {f"livepeer_{name}": fact for name, fact in extra.items()}
        logger.log(event.level, message, *args, exc_info=exc_info, extra=own, stacklevel=2)
