"""A logging filter that keeps secrets out of the HTTP libraries' log records.

They log whole URLs and response headers. Queries, tokens, upload URLs and the secrets of the
current request are removed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from livepeer_async.http.messages import Request
from livepeer_async.redaction import REDACTED, redact, redact_upload_url

# Of httpx and of its fork, where each part has a logger of its own, and of what packs headers for
# HTTP/2, which a client that is handed in may speak.
_LOGGERS = (
    *("httpx", "httpx2", "hpack.hpack", "hpack.table"),
    *(
        f"httpcore{fork}.{room}"
        for fork in ("", "2")
        for room in ("connection", "http11", "http2", "proxy", "socks")
    ),
)
# Where an upload is, and what a server wants to know its clients by, as the loggers write headers.
_PRIVATE_HEADER = re.compile(
    r"(?i)(b'(?:(?P<place>(?:content-)?location)|link|set-cookie)'(?:, |=)b(['\"]))"
    r"(?P<value>(?:\\.|(?!\3)[^\\])*)"
)
# Whose secrets an answer may echo into what is logged of it.
_SENDING: ContextVar[tuple[Request, tuple[str, ...]] | None] = ContextVar("_SENDING", default=None)


class _RedactingFilter(logging.Filter):
    """httpx logs whole URLs, `?token=` included, at INFO (encode/httpx#2760)."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = _PRIVATE_HEADER.sub(_hide_header, record.getMessage())
        record.msg, record.args = redact(text, *_secrets()), ()
        return True


_REDACTING = _RedactingFilter()


def keep_secrets_out_of_logs() -> None:
    """Let the libraries' loggers show no secrets, from here on; again has no further effect."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_REDACTING)


@contextmanager
def sending(request: Request, *secrets: str) -> Generator[None, None, None]:
    """Keep secrets out of logs within the block, which must not hold a `yield`.

    Args:
        request: the one that is sent.
        secrets: what is sent beside it, as to a proxy.
    """
    token = _SENDING.set((request, secrets))
    try:
        yield
    finally:
        _SENDING.reset(token)


def _secrets() -> tuple[str, ...]:
    sent = _SENDING.get()
    return (*sent[0].secrets, *sent[1]) if sent else ()


def _hide_header(header: re.Match[str]) -> str:
    return header[1] + (redact_upload_url(header["value"]) if header["place"] else REDACTED)
