"""`Webhook`, a subscription to events, and the requests that create or change one."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from livepeer_async.models.model import Model
from livepeer_async.models.values import EventNameValue
from livepeer_async.redaction import mask, redact, redact_url, redacted


@redacted(error=redact, response=mask)
class WebhookFailure(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The last failed delivery of a webhook. The repr doesn't show the response.

    Attributes:
        timestamp: milliseconds since 1970.
        error: reason, if there was no response.
        response: body of the response, in base64.
        status_code: status of the response.

    Source: schema `webhook`, `status.lastFailure`.
    """

    timestamp: int | None = None
    error: str | None = None
    response: str | None = None
    status_code: int | None = None


class WebhookStatus(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The last deliveries of a webhook.

    Attributes:
        last_triggered_at: milliseconds since 1970.
        last_failure: the last failed delivery; it stays after a success.

    Source: schema `webhook`, `status`.
    """

    last_triggered_at: int | None = None
    last_failure: WebhookFailure | None = None


@redacted(url=redact_url, shared_secret=mask)
class Webhook(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A subscription of a project to events. The repr doesn't show the shared secret.

    Attributes:
        id: the only required field.
        name: any string.
        url: URL that events are sent to.
        events: names of the events, see `EventName`.
        shared_secret: key of the signatures; without one, events aren't signed, and
            `webhooks.unwrap` refuses them. The schema calls it write-only, but the server returns
            it.
        created_at: milliseconds since 1970.
        project_id: project whose events are sent.
        stream_id: a stream; the server sends the events of all.
        status: the last deliveries.
        user_id: owner; deprecated by the API.
        kind: `webhook`; deprecated by the API.

    Source: schema `webhook`.
    """

    id: str
    name: str | None = None
    url: str | None = None
    events: tuple[EventNameValue, ...] | None = None
    shared_secret: str | None = None
    created_at: int | None = None
    project_id: str | None = None
    stream_id: str | None = None
    status: WebhookStatus | None = None
    user_id: str | None = None
    kind: str | None = None


@redacted(url=redact_url, shared_secret=mask)
class NewWebhook(Model, frozen=True, kw_only=True, rename="camel"):
    """Request for a webhook. The repr doesn't show the shared secret.

    Attributes:
        name: any string.
        url: URL that events are sent to, with the scheme `http` or `https`. The server sends none
            to private addresses.
        events: names of the events, see `EventName`. For uploads: `asset.ready`, `asset.failed`,
            `asset.deleted`, and `task.updated`, which says that an upload is complete.
        shared_secret: key of the signatures. Without one, events aren't signed.
        stream_id: a stream of the account; the server sends the events of all.

    Source: schema `webhook`.
    """

    name: str
    url: str
    events: Sequence[EventNameValue]
    shared_secret: str | UnsetType = UNSET
    stream_id: str | UnsetType = UNSET


@redacted(url=redact_url, shared_secret=mask)
class WebhookPatch(Model, frozen=True, kw_only=True, rename="camel"):
    """Update of a webhook; fields as in `NewWebhook`. UNSET changes nothing.

    Source: schema `webhook-patch-payload` of Livepeer Studio.
    """

    name: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    events: Sequence[EventNameValue] | UnsetType = UNSET
    shared_secret: str | UnsetType = UNSET
    stream_id: str | UnsetType = UNSET
