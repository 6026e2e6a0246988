"""Receives events: checks the signature and the age, then decodes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

from livepeer_async.errors import ConfigurationError, EventTooOld, SignatureMismatch
from livepeer_async.redaction import hides_variables
from livepeer_async.webhooks.decoding import decode_envelope, decode_event
from livepeer_async.webhooks.events import WebhookEvent
from livepeer_async.webhooks.signature import (
    HEADER,
    Secret,
    as_body,
    as_secrets,
    check_signature,
    read_signature,
)

# Seconds between the signature of a delivery and its check; each try has a new signature.
TOLERANCE = 300.0

Headers = Mapping[Any, Any] | Iterable[tuple[Any, Any]]


@hides_variables
def unwrap(
    body: bytes,
    headers: Headers,
    secrets: Secret | Iterable[Secret],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> WebhookEvent:
    """Check and decode a request to the application's webhook URL.

    Args:
        body: the raw body of the request, before parsing.
        headers: the headers of the request, or a WSGI environment; the case of names is ignored.
        secrets: the shared secret of the webhook, or several, each of which is accepted. Events may
            arrive with an old secret for a day after it was changed.
        tolerance: seconds that the signature may be old, or in the future.
        now: the time in seconds since 1970; by default the clock's.

    Returns:
        The event, such as an `AssetEvent`; a `WebhookEvent` if its name has no class of its own.

    Raises:
        SignatureMissing: there is no signature, or it can't be read.
        SignatureMismatch: the body isn't what was signed with one of the secrets.
        EventTooOld: it was signed longer ago than `tolerance`.
        AccessControlCall: the request asks whether a playback is allowed.
        DecodeError: the body is signed, but isn't an event.
        ConfigurationError: an argument is wrong: there is no secret, or the body isn't bytes.
    """
    if not isinstance(cast("object", tolerance), int | float) or not tolerance >= 0:
        raise ConfigurationError(f"tolerance is {tolerance!r}; wanted seconds, 0 or more")
    keys, raw = as_secrets(secrets), as_body(body)
    del secrets
    signature = read_signature(headers)
    check_signature(raw, signature, keys)
    envelope = decode_envelope(raw)
    if envelope.timestamp != signature.timestamp:
        raise SignatureMismatch(f"t in the {HEADER} header isn't the timestamp in the signed body")
    age = (time.time() if now is None else now) - signature.timestamp / 1000
    if abs(age) > tolerance:
        when = f"{age:.0f} s ago" if age > 0 else f"{-age:.0f} s in the future"
        raise EventTooOld(f"the event was signed {when}; wanted {tolerance:g} s or less", age=age)
    return decode_event(envelope)
