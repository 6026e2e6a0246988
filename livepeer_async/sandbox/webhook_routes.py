"""The routes of webhooks, except their list."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from livepeer_async.sandbox.documents import to_milliseconds
from livepeer_async.sandbox.middleware import require_user
from livepeer_async.sandbox.payloads import read_payload
from livepeer_async.sandbox.responses import ApiError, JsonObject, make_json_response
from livepeer_async.sandbox.state import ServerState
from livepeer_async.sandbox.validation import WEBHOOK, WEBHOOK_PATCH
from livepeer_async.sandbox.webhooks import Webhook

# The API's names of the fields that a client may change.
CHANGEABLE = {
    "name": "name",
    "url": "url",
    "events": "events",
    "sharedSecret": "shared_secret",
    "streamId": "stream_id",
}


class WebhookRoutes:
    """`/api/webhook` and `/api/webhook/{id}`."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def create(self, request: Request) -> Response:
        """Serve `POST /api/webhook`."""
        user = require_user(request)
        fields = _read_fields(await read_payload(request, WEBHOOK))
        webhook = Webhook(
            id=str(uuid.uuid4()),
            user=user,
            created_at=to_milliseconds(self._state.now()),
            **fields,
        )
        self._state.deliveries.webhooks[webhook.id] = webhook
        return make_json_response(request, webhook.describe(), status=201)

    async def get(self, request: Request) -> Response:
        """Serve `GET /api/webhook/{id}`."""
        return make_json_response(request, self._find(request).describe())

    async def replace(self, request: Request) -> Response:
        """Serve `PUT /api/webhook/{id}`; the ID in the body counts, and absent fields are lost."""
        require_user(request)
        given: JsonObject = await read_payload(request, WEBHOOK)
        webhook = self._find(request, given.get("id"))
        fields = _read_fields(given)
        for name in CHANGEABLE.values():
            setattr(webhook, name, fields.get(name))
        webhook.status, webhook.is_trusted = None, False
        return make_json_response(request, {"id": webhook.id})

    async def update(self, request: Request) -> Response:
        """Serve `PATCH /api/webhook/{id}`; absent fields stay."""
        require_user(request)
        given: JsonObject = await read_payload(request, WEBHOOK_PATCH)
        if request.path_params["id"] not in self._state.deliveries.webhooks:
            raise ApiError(404, "webhook not found")
        webhook = self._find(request)
        if given.get("streamId"):
            raise ApiError(404, "stream not found")
        for name, value in given.items():
            setattr(webhook, CHANGEABLE[name], value)
        webhook.is_trusted = webhook.is_trusted and "url" not in given
        return Response(status_code=204)

    async def delete(self, request: Request) -> Response:
        """Serve `DELETE /api/webhook/{id}`; retries of earlier events go on."""
        self._find(request).is_deleted = True
        return Response(status_code=204)

    def _find(self, request: Request, webhook_id: object = None) -> Webhook:
        user = require_user(request)
        webhook = self._state.deliveries.webhooks.get(
            str(webhook_id) if request.method == "PUT" else request.path_params["id"]
        )
        if webhook is None or webhook.is_deleted or webhook.user != user:
            raise ApiError(404, "not found")
        return webhook


def _read_fields(given: JsonObject) -> dict[str, Any]:
    """Return the fields of a checked payload.

    Raises:
        ApiError: 422 for a reason that the schema can't express.
    """
    url = str(given["url"])
    if not urlsplit(url).hostname:
        raise ApiError(422, f"bad url: {url}")
    if "events" not in given:
        raise ApiError(422, 'must provide "events" field with subscriptions')
    return {CHANGEABLE[name]: given[name] for name in CHANGEABLE if name in given}
