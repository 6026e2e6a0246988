"""API requests as values: each `Call` pairs a request with the decoder of its response.

Source: Livepeer Studio OpenAPI, paths /asset, /task, /playback and /webhook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from livepeer_async.api.calls import Account, Call, Page
from livepeer_async.api.responses import decode_body, error_from_response
from livepeer_async.api.urls import resolve_url
from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import ConfigurationError
from livepeer_async.http.messages import Request, Response, filter_headers, merge_headers
from livepeer_async.models import (
    Asset,
    AssetPatch,
    ImportTicket,
    NewAsset,
    NewAssetFromUrl,
    NewWebhook,
    PlaybackInfo,
    Task,
    UploadTicket,
    Webhook,
    WebhookPatch,
)

T = TypeVar("T")
FilterValue = str | int | float | bool | Mapping[str, int | float]

# The server returns 20 rows by default and at most 1,000.
PAGE_SIZE = 100
# Oldest first: new rows are added at the end and shift no page. By default the server orders by the
# time of the last change; a row that moves is then listed twice, and its neighbour is skipped.
STABLE_ORDER = "createdAt-false"
# No asset has this ID.
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
# Source: SERVER.md, 42. A path that the server doesn't know has another message.
_ASSET_NOT_FOUND = b"asset not found"
_NEXT_LINK = deferred_pattern(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?")


class PollResult(Struct, frozen=True):
    """The result of a poll: the asset, `None` if unchanged, and the ETag for the next poll."""

    asset: Asset | None
    etag: str | None


class NewestAssets(Struct, frozen=True):
    """The newest assets, and the server's time of the response in seconds since 1970."""

    assets: tuple[Asset, ...]
    server_time: float | None


def raw(
    account: Account,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Call[Response]:
    """Build a request for any path of the API; it decodes to the response itself.

    Raises:
        ConfigurationError: `path` is a URL of another origin, or leaves the base URL.
    """
    url = resolve_url(account.base_url, path)
    request = _request(account, method.upper(), url, params=params, json=json, headers=headers)
    return Call(request, lambda response: response, is_repeatable=method.upper() == "GET")


def request_upload(account: Account, new_asset: NewAsset) -> Call[UploadTicket]:
    """Request an upload. Repeating the call creates a second asset."""
    request = _request(account, "POST", "/asset/request-upload", json=new_asset)
    return Call(request, _decoder(account, UploadTicket), is_repeatable=False)


def upload_from_url(account: Account, new_asset: NewAssetFromUrl) -> Call[ImportTicket]:
    """Have the server fetch a URL. Repeating the call creates a second asset."""
    request = _request(account, "POST", "/asset/upload/url", json=new_asset)
    return Call(request, _decoder(account, ImportTicket), is_repeatable=False)


def get_asset(account: Account, asset_id: str, *, details: bool = False) -> Call[Asset]:
    """Get an asset; `details` includes its tracks."""
    params = {"details": "true"} if details else None
    request = _request(account, "GET", f"/asset/{_id(asset_id)}", params=params)
    return Call(request, _decoder(account, Asset))


def poll_asset(account: Account, asset_id: str, etag: str | None) -> Call[PollResult]:
    """Get an asset unless it still matches `etag`."""
    # A header can't hold an ETag outside ASCII.
    headers = {"If-None-Match": etag} if etag and etag.isascii() else None
    request = _request(account, "GET", f"/asset/{_id(asset_id)}", headers=headers)

    def decode(response: Response) -> PollResult:
        if response.status == HTTPStatus.NOT_MODIFIED:
            return PollResult(None, etag)
        return PollResult(_decoder(account, Asset)(response), response.single("etag"))

    return Call(request, decode)


def check_key(account: Account) -> Call[None]:
    """Look at an asset that doesn't exist: checks the server and the key.

    A restricted key may look at assets, but not list them. Messages show the base URL: no user has
    heard of the asset.
    """
    request = _request(account, "GET", f"/asset/{UNKNOWN_ID}")
    request = msgspec.structs.replace(request, alias=account.base_url)

    def decode(response: Response) -> None:
        if response.status == HTTPStatus.NOT_FOUND and _ASSET_NOT_FOUND in response.body.lower():
            return
        _decoder(account, Asset)(response)

    return Call(request, decode)


def check_permission(account: Account, path: str) -> Call[None]:
    """Send a request without a body, which creates nothing: checks whether the key may send it.

    The server checks the key first and then the body, and responds with 422.
    """
    request = _request(account, "POST", path, json={})

    def decode(response: Response) -> None:
        if response.status not in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST}:
            _check_status(account, response)

    return Call(request, decode)


def list_assets(account: Account, **query: Any) -> Call[Page[Asset]]:
    """Get a page of assets; `query` has the arguments of `_list`."""
    return _list(account, "/asset", Asset, **query)


def list_changes(
    account: Account, since: int | None, *, limit: int, cursor: str | None = None
) -> Call[Page[Asset]]:
    """Get the assets that changed since a time in milliseconds since 1970, latest first."""
    filters = None if since is None else {"updatedAt": {"gte": since}}
    query = {"order": "updatedAt-true", "limit": limit, "cursor": cursor}
    return list_assets(account, filters=filters, **query)


def find_newest(account: Account, name: str, phase: str | None) -> Call[NewestAssets]:
    """Get the newest assets with a name, in one phase or in any."""
    params = {"phase": phase} if phase else None
    call = list_assets(account, filters={"name": name}, order="createdAt-true", params=params)

    def decode(response: Response) -> NewestAssets:
        return NewestAssets(call.decode(response).items, response.date)

    return Call(call.request, decode)


def list_tasks(account: Account, **query: Any) -> Call[Page[Task]]:
    """Get a page of tasks; `query` has the arguments of `_list`."""
    return _list(account, "/task", Task, **query)


def find_task(account: Account, asset_id: str) -> Call[Task | None]:
    """Get the newest task that makes an asset; `None` if there is none."""
    query = {"filters": {"outputAssetId": asset_id}, "order": "createdAt-true", "limit": 1}
    call = list_tasks(account, **query)
    return Call(call.request, lambda response: next(iter(call.decode(response).items), None))


def list_task_changes(
    account: Account, since: int, *, limit: int, cursor: str | None = None
) -> Call[Page[Task]]:
    """Get the tasks that changed since a time in milliseconds since 1970, latest first."""
    filters: dict[str, FilterValue] = {"updatedAt": {"gte": since}}
    query = {"order": "updatedAt-true", "limit": limit, "cursor": cursor}
    return list_tasks(account, filters=filters, **query)


def update_asset(account: Account, asset_id: str, patch: AssetPatch) -> Call[Asset]:
    """Update a ready asset."""
    request = _request(account, "PATCH", f"/asset/{_id(asset_id)}", json=patch)
    return Call(request, _decoder(account, Asset))


def delete_asset(account: Account, asset_id: str) -> Call[None]:
    """Delete an asset; a second deletion counts as success."""
    request = _request(account, "DELETE", f"/asset/{_id(asset_id)}")

    def decode(response: Response) -> None:
        if b"already deleted" not in response.body:
            _check_status(account, response)

    return Call(request, decode)


def retry_asset(account: Account, asset_id: str) -> Call[None]:
    """Restart the task of a failed asset. A repeated call fails: the asset is being processed."""
    request = _request(account, "POST", f"/asset/{_id(asset_id)}/retry")
    return Call(request, partial(_check_status, account), is_repeatable=False)


def get_task(account: Account, task_id: str) -> Call[Task]:
    """Get a task."""
    return Call(_request(account, "GET", f"/task/{_id(task_id)}"), _decoder(account, Task))


def get_playback(account: Account, playback_id: str) -> Call[PlaybackInfo]:
    """Get the playback information; the server needs no key, but caches less with one."""
    request = _request(account, "GET", f"/playback/{_id(playback_id)}")
    return Call(request, _decoder(account, PlaybackInfo))


def create_webhook(account: Account, new_webhook: NewWebhook) -> Call[Webhook]:
    """Create a webhook. Repeating the call creates a second one."""
    request = _request(account, "POST", "/webhook", json=new_webhook)
    return Call(request, _decoder(account, Webhook), is_repeatable=False)


def list_webhooks(account: Account, **query: Any) -> Call[Page[Webhook]]:
    """Get a page of webhooks; `query` has the arguments of `_list`."""
    return _list(account, "/webhook", Webhook, **query)


def get_webhook(account: Account, webhook_id: str) -> Call[Webhook]:
    """Get a webhook."""
    path = f"/webhook/{_id(webhook_id)}"
    return Call(_request(account, "GET", path), _decoder(account, Webhook))


def update_webhook(account: Account, webhook_id: str, patch: WebhookPatch) -> Call[None]:
    """Update a webhook. PUT, which the schema has instead, drops each field that isn't sent."""
    request = _request(account, "PATCH", f"/webhook/{_id(webhook_id)}", json=patch)
    return Call(request, partial(_check_status, account))


def delete_webhook(account: Account, webhook_id: str) -> Call[None]:
    """Delete a webhook."""
    request = _request(account, "DELETE", f"/webhook/{_id(webhook_id)}")
    return Call(request, partial(_check_status, account))


def _list(  # noqa: PLR0913 - the parameters that the server accepts
    account: Account,
    path: str,
    kind: type[T],
    *,
    limit: int = PAGE_SIZE,
    order: str | None = None,
    filters: Mapping[str, FilterValue] | None = None,
    params: Mapping[str, str] | None = None,
    cursor: str | None = None,
) -> Call[Page[T]]:
    query: dict[str, Any] = {"limit": limit, **(params or {})}
    if order:
        query["order"] = order
    if filters:
        rows = [{"id": name, "value": value} for name, value in filters.items()]
        # The server decodes this parameter twice.
        query["filters"] = msgspec.json.encode(rows).decode().replace("%", "%25")
    if cursor:
        query["cursor"] = cursor
    # mypy rejects a variable as a type; msgspec accepts it.
    decode_items = _decoder(account, tuple[kind, ...])  # type: ignore[valid-type]

    def decode(response: Response) -> Page[T]:
        items = decode_items(response)
        return Page(items, _next_cursor(response) if items else None)

    return Call(_request(account, "GET", path, params=query), decode)


def _next_cursor(response: Response) -> str | None:
    """Read the cursor from `Link`; its URL isn't used: behind TLS its scheme is http."""
    match = _NEXT_LINK.search(response.headers.get("link", ""))
    if match is None:
        return None
    cursor = parse_qs(urlsplit(match[1]).query).get("cursor", [""])[-1]
    # The last page of /task links to `cursor=undefined`.
    return None if cursor in {"", "undefined"} else cursor


def _request(
    account: Account,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Request:
    url = f"{account.base_url}{path}" if path.startswith("/") else path
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote)
    defaults = {"Authorization": f"Bearer {account.api_key}", "Accept": "application/json"}
    kind = {} if json is None else {"Content-Type": "application/json"}
    return Request(
        method=method,
        url=url,
        headers=merge_headers(defaults, filter_headers(headers), kind),
        content=b"" if json is None else _encode(json),
    )


def _encode(json: Any) -> bytes:
    try:
        return msgspec.json.encode(json)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the request can't be written as JSON: {error}") from error


def _decoder(account: Account, kind: type[T]) -> Callable[[Response], T]:
    def decode(response: Response) -> T:
        _check_status(account, response)
        return decode_body(response, kind, account.api_key)

    return decode


def _check_status(account: Account, response: Response) -> None:
    if not response.is_success:
        raise error_from_response(response, account.api_key)


def _id(value: Any) -> str:
    if not isinstance(value, str) or not (value and value.isascii() and value.isprintable()):
        raise ConfigurationError(
            f"the ID is {str(value)[:60]!r}; wanted the ID that the server returned"
        )
    return quote(value, safe="")
