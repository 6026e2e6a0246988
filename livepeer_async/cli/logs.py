"""Log output of the command line."""

from __future__ import annotations

import logging


def configure_logging() -> None:
    """Print only warnings about proxies: the display shows retries already."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("Warning: %(message)s"))
    handler.addFilter(logging.Filter("livepeer_async.http.proxies"))
    # Each client of a command logs the same warning.
    printed: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message, number = record.getMessage(), len(printed)
        printed.add(message)
        return len(printed) > number

    handler.addFilter(is_new)
    log = logging.getLogger("livepeer_async")
    log.addHandler(handler)
    log.propagate = False
    # A second Ctrl-C leaves tasks unfinished, and the event loop would log their tracebacks.
    logging.getLogger("asyncio").addHandler(logging.NullHandler())


def log_requests(handler: logging.Handler) -> None:
    """Log requests and retries."""
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("livepeer_async")
    # Warnings about proxies have a handler already, which formats them as such.
    log.handlers = [handler]
    log.setLevel(logging.DEBUG)
    log.propagate = False
