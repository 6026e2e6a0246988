"""Errors of received webhooks."""

from __future__ import annotations

from livepeer_async.errors.base import LivepeerError


class WebhookError(LivepeerError):
    """A request to the application's webhook URL isn't an event of Livepeer; respond with 4xx."""


class SignatureMissing(WebhookError):
    """The request has no signature, or one that can't be read."""

    advice = (
        "events are signed if the webhook has a shared secret: set it with "
        "livepeer.webhooks.update(webhook_id, {'shared_secret': ...}) or in Livepeer Studio under "
        "Developers, Webhooks"
    )


class SignatureMismatch(WebhookError):
    """The body was signed with another secret, or was changed afterwards."""

    advice = (
        "pass the raw body, before parsing, and the shared secret of this webhook; for a day after "
        "a change of the secret, the old one too"
    )


class EventTooOld(WebhookError):
    """The event was signed `age` seconds ago, more than the tolerance; below 0 in the future.

    It is a replay, or a clock is wrong: the server renews the time with each try.
    """

    advice = "compare the clock of this machine with the time"

    def __init__(self, message: str, *, age: float) -> None:
        super().__init__(message)
        self.age = age


class AccessControlCall(WebhookError):
    """The request is a `playback.accessControl` call: it asks whether a playback is allowed.

    The status of the response decides, so this is an error and not an event: 2xx would allow the
    playback. Its signature is right.
    """

    advice = "give the webhook for playback.accessControl a URL of its own"
