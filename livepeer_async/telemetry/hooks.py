"""Hooks for OpenTelemetry and Sentry, which read the URLs of requests from the HTTP library."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, cast

from livepeer_async.redaction import redact
from livepeer_async.redaction.credentials import REDACTED

T = TypeVar("T")

# In the path of all URLs of Livepeer's upload host.
_UPLOADS = "/asset/upload/"
# Of Sentry's breadcrumbs and spans, and OpenTelemetry's: the parts of a URL that `redact` drops.
_DROPPED_PARTS = frozenset({"http.query", "http.fragment", "url.query", "url.fragment"})


class SentRequest(Protocol):
    """A request of this package."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The strings that must not be shown."""
        ...


# The request that this task sends, and secrets of others that may be quoted, such as a proxy's.
SENT_REQUEST: ContextVar[tuple[SentRequest, tuple[str, ...]] | None] = ContextVar(
    "SENT_REQUEST", default=None
)


async def redact_request(span: Any, request: Any = None) -> None:
    """Remove secrets from a span of OpenTelemetry's httpx instrumentation.

    Pass it as `async_request_hook` to `HTTPXClientInstrumentor().instrument`, or call it in your
    own hook. The requests of this package lose the queries, tokens and upload IDs of their URLs,
    and so do other requests to Livepeer's upload host. All others stay as they are.

    Args:
        span: the span of the request.
        request: isn't used.
    """
    del request
    sent = SENT_REQUEST.get()
    secrets = _secrets_of_sent()
    attributes: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    for name, value in list(attributes.items()):
        if isinstance(value, str) and (sent is not None or _UPLOADS in value):
            shown = REDACTED if value and name in _DROPPED_PARTS else redact(value, *secrets)
            if shown != value:
                span.set_attribute(name, shown)


def redact_event(event: T, hint: Any = None) -> T:
    """Remove secrets from an event, a breadcrumb, a transaction, a span or a log of Sentry.

    Pass it to `sentry_sdk.init` as `before_breadcrumb`, `before_send` and
    `before_send_transaction`, and as `before_send_span` or `before_send_log` if you use them; or
    call it in your own hooks. It redacts all texts, local variables included, as
    `livepeer_async.redact` does: each URL loses its userinfo, query and fragment.

    Args:
        event: what Sentry passes.
        hint: isn't used.

    Returns:
        A redacted copy.
    """
    del hint
    return cast("T", _redact_value(event, _secrets_of_sent()))


def _secrets_of_sent() -> tuple[str, ...]:
    """Return the secrets of the request that this task sends."""
    sent = SENT_REQUEST.get()
    return () if sent is None else (*sent[0].secrets, *sent[1])


def _redact_value(value: Any, secrets: tuple[str, ...]) -> Any:
    match value:
        case str():
            return "\n".join(redact(line, *secrets) for line in value.split("\n"))
        case dict():
            return {
                name: REDACTED if part and name in _DROPPED_PARTS else _redact_value(part, secrets)
                for name, part in cast("dict[str, Any]", value).items()
            }
        case list() | tuple():
            parts = [_redact_value(part, secrets) for part in cast("list[Any]", value)]
            return parts if isinstance(value, list) else tuple(parts)
        case _:
            return value
