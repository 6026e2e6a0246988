"""Logging filter that removes secrets from the HTTP libraries' log records.

The libraries log whole URLs and response headers. The filter redacts queries, tokens, upload URLs
and the secrets of the current request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager

from livepeer_async.deferred import deferred_pattern
from livepeer_async.http.messages import Request
from livepeer_async.redaction import redact, redact_upload_url
from livepeer_async.redaction.credentials import REDACTED
from livepeer_async.telemetry.hooks import SENT_REQUEST

# Loggers of httpx and httpx2, which have one per module, and of hpack, which encodes headers if the
# user's own client speaks HTTP/2.
_LOGGERS = (
    *("httpx", "httpx2", "hpack.hpack", "hpack.table"),
    *(
        f"httpcore{version}.{module}"
        for version in ("", "2")
        for module in ("connection", "http11", "http2", "proxy", "socks")
    ),
)
# Headers with an upload URL or a cookie, in the format of these loggers.
_PRIVATE_HEADER = deferred_pattern(
    r"(?i)(b'(?:(?P<location>(?:content-)?location)|link|set-cookie)'(?:, |=)b(['\"]))"
    r"(?P<value>(?:\\.|(?!\3)[^\\])*)"
)


class _RedactingFilter(logging.Filter):
    """Redacts the message: httpx logs whole URLs, `?token=` included, at INFO (httpx#2760)."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Collected now, because most requests log nothing; the response may echo them.
        request, others = SENT_REQUEST.get() or (None, ())
        secrets = (*request.secrets, *others) if request else ()
        text = _PRIVATE_HEADER.sub(_redact_header, record.getMessage())
        record.msg, record.args = redact(text, *secrets), ()
        return True


_FILTER = _RedactingFilter()


def install_log_filter() -> None:
    """Add the filter to the libraries' loggers, once for the process."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


@contextmanager
def redact_logs(request: Request, *others: str) -> Generator[None, None, None]:
    """Redact the request's secrets, and others, in all log records of the block.

    The block must not contain a `yield`.
    """
    token = SENT_REQUEST.set((request, others))
    try:
        yield
    finally:
        SENT_REQUEST.reset(token)


def _redact_header(header: re.Match[str]) -> str:
    return header[1] + (redact_upload_url(header["value"]) if header["location"] else REDACTED)
