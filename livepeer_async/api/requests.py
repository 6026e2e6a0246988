"""API requests: each is built from plain arguments and knows how to decode its response.

A `Call` pairs a request with its `decode`, which returns a typed value or raises a typed error.
Nothing here sends, waits or retries.

Source: Livepeer Studio OpenAPI, paths /asset, /task and /playback.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from livepeer_async.api.responses import decode_body, error_from_response
from livepeer_async.errors import ApiError, ConfigurationError, is_transient
from livepeer_async.http.messages import Request, Response, filter_headers, merge_headers
from livepeer_async.models import (
    Asset,
    AssetPatch,
    ImportTicket,
    NewAsset,
    NewAssetFromUrl,
    PlaybackInfo,
    Task,
    UploadTicket,
)
from livepeer_async.redaction import redact_url, redacted

T = TypeVar("T")
FilterValue = str | int | float | bool | Mapping[str, int | float]

# The server gives 20 rows where no limit is named, and 1,000 at the most.
PAGE_SIZE = 100
# Oldest first: new rows then come at the end and shift nothing. By default the server orders by
# the time of change, where a row that moves is seen twice and its neighbour never.
STABLE_ORDER = "createdAt-false"
_NEXT_LINK = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?")


@redacted("base_url", base_url=redact_url)
class Account(Struct, frozen=True, kw_only=True):
    """Where the API is and who asks.

    Attributes:
        base_url: without a slash at the end, as "https://livepeer.studio/api".
        api_key: a bearer secret.
    """

    base_url: str
    api_key: str

    @property
    def fingerprint(self) -> str:
        """Tell the account from others, without a way back to its key."""
        return hashlib.sha256(f"{self.base_url}\n{self.api_key}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, how to read its answer, and whether repeating it does no harm."""

    request: Request
    decode: Callable[[Response], T]
    is_repeatable: bool = True


class Page(Struct, Generic[T], frozen=True):
    """One page of a list; `cursor` leads to the next, `None` after the last."""

    items: tuple[T, ...]
    cursor: str | None


class PollResult(Struct, frozen=True):
    """What a poll saw: the asset, or `None` where it is as it was; `etag` for the next poll."""

    asset: Asset | None
    etag: str | None


class NewestAssets(Struct, frozen=True):
    """The newest assets, and the server's time when it listed them, in seconds since 1970."""

    assets: tuple[Asset, ...]
    server_time: float | None


def check_account(base_url: str, api_key: str) -> Account:
    """Make an account of what the user gave.

    Raises:
        ConfigurationError: a key or a URL that can't work; the key isn't shown.
    """
    key = api_key.strip()
    if not key:
        raise ConfigurationError(
            "no API key: set LIVEPEER_API_KEY, or pass api_key=; keys are made at "
            "https://livepeer.studio (for a trial without a key, use the sandbox)"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"the API key has {len(key)} characters, some of them spaces, line breaks or not "
            "ASCII; wanted the key alone on one line"
        )
    if not _is_http_url(base_url):
        raise ConfigurationError(
            f"the base URL is {redact_url(base_url)!r}; wanted http:// or https:// and a host, "
            "as https://livepeer.studio/api"
        )
    return Account(base_url=base_url.rstrip("/"), api_key=key)


def raw(  # noqa: PLR0913 - what an HTTP request consists of
    account: Account,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Call[Response]:
    """Build a request to any path of the API; the answer is handed on as it is."""
    request = _request(account, method.upper(), path, params=params, json=json, headers=headers)
    return Call(request, lambda response: response, is_repeatable=method.upper() == "GET")


def request_upload(account: Account, new_asset: NewAsset) -> Call[UploadTicket]:
    """Ask for an upload. Two equal requests make two assets, so it isn't repeatable."""
    request = _request(account, "POST", "/asset/request-upload", json=new_asset)
    return Call(request, _decoder(account, UploadTicket), is_repeatable=False)


def upload_from_url(account: Account, new_asset: NewAssetFromUrl) -> Call[ImportTicket]:
    """Ask the server to fetch a URL by itself. Two requests make two assets."""
    request = _request(account, "POST", "/asset/upload/url", json=new_asset)
    return Call(request, _decoder(account, ImportTicket), is_repeatable=False)


def get_asset(account: Account, asset_id: str, *, details: bool = False) -> Call[Asset]:
    """Fetch an asset; with `details` its tracks too."""
    params = {"details": "true"} if details else None
    request = _request(account, "GET", f"/asset/{_id(asset_id)}", params=params)
    return Call(request, _decoder(account, Asset))


def poll_asset(account: Account, asset_id: str, etag: str | None) -> Call[PollResult]:
    """Fetch an asset unless it is as it was at `etag`."""
    # One that isn't ASCII can't be sent back.
    headers = {"If-None-Match": etag} if etag and etag.isascii() else None
    request = _request(account, "GET", f"/asset/{_id(asset_id)}", headers=headers)

    def decode(response: Response) -> PollResult:
        if response.status == HTTPStatus.NOT_MODIFIED:
            return PollResult(None, etag)
        return PollResult(_decoder(account, Asset)(response), response.headers.get("etag"))

    return Call(request, decode)


def list_assets(account: Account, **query: Any) -> Call[Page[Asset]]:
    """Fetch a page of assets; `query` as in `_list`."""
    return _list(account, "/asset", Asset, **query)


def list_changes(
    account: Account, since: int | None, *, limit: int, cursor: str | None = None
) -> Call[Page[Asset]]:
    """Fetch the assets that changed last, `since` so many milliseconds since 1970, newest first."""
    filters = None if since is None else {"updatedAt": {"gte": since}}
    query = {"order": "updatedAt-true", "limit": limit, "cursor": cursor}
    return list_assets(account, filters=filters, **query)


def find_newest(account: Account, name: str, phase: str | None) -> Call[NewestAssets]:
    """Fetch the newest assets of a name that are in a phase, or in any."""
    params = {"phase": phase} if phase else None
    call = list_assets(account, filters={"name": name}, order="createdAt-true", params=params)

    def decode(response: Response) -> NewestAssets:
        return NewestAssets(call.decode(response).items, response.date)

    return Call(call.request, decode)


def list_tasks(account: Account, **query: Any) -> Call[Page[Task]]:
    """Fetch a page of tasks; `query` as in `_list`."""
    return _list(account, "/task", Task, **query)


def update_asset(account: Account, asset_id: str, patch: AssetPatch) -> Call[Asset]:
    """Change a ready asset; doing it twice changes nothing more."""
    request = _request(account, "PATCH", f"/asset/{_id(asset_id)}", json=patch)
    return Call(request, _decoder(account, Asset))


def delete_asset(account: Account, asset_id: str) -> Call[None]:
    """Delete an asset; one that is deleted already is as good as deleted."""
    request = _request(account, "DELETE", f"/asset/{_id(asset_id)}")

    def decode(response: Response) -> None:
        if not response.is_success and b"already deleted" not in response.body:
            raise error_from_response(response, account.api_key)

    return Call(request, decode)


def retry_asset(account: Account, asset_id: str) -> Call[None]:
    """Have a failed asset's task run again; a second request finds it not failed any more."""
    request = _request(account, "POST", f"/asset/{_id(asset_id)}/retry")

    def decode(response: Response) -> None:
        if not response.is_success:
            raise error_from_response(response, account.api_key)

    return Call(request, decode, is_repeatable=False)


def get_task(account: Account, task_id: str) -> Call[Task]:
    """Fetch a task."""
    return Call(_request(account, "GET", f"/task/{_id(task_id)}"), _decoder(account, Task))


def get_playback(account: Account, playback_id: str) -> Call[PlaybackInfo]:
    """Fetch what players need; the server wants no key, but gives fresher answers with one."""
    request = _request(account, "GET", f"/playback/{_id(playback_id)}")
    return Call(request, _decoder(account, PlaybackInfo))


def is_safe_to_repeat(call: Call[Any], error: ApiError) -> bool:
    """Say whether a call may be sent again after the server answered with this error."""
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE and error.retry_after is not None:
        return True
    return call.is_repeatable and is_transient(error)


def _list(  # noqa: PLR0913 - the parameters that the server knows
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
        # The server decodes this parameter twice, so a percent sign is encoded once more.
        query["filters"] = msgspec.json.encode(rows).decode().replace("%", "%25")
    if cursor:
        query["cursor"] = cursor
    # mypy takes no variable for a type, msgspec does.
    decode_items = _decoder(account, tuple[kind, ...])  # type: ignore[valid-type]

    def decode(response: Response) -> Page[T]:
        items = decode_items(response)
        return Page(items, _next_cursor(response) if items else None)

    return Call(_request(account, "GET", path, params=query), decode)


def _next_cursor(response: Response) -> str | None:
    """Take the cursor out of `Link`; its URL isn't followed, for it says http behind TLS."""
    match = _NEXT_LINK.search(response.headers.get("link", ""))
    if match is None:
        return None
    cursor = parse_qs(urlsplit(match[1]).query).get("cursor", [""])[-1]
    # The last page of /task links to `cursor=undefined`.
    return None if cursor in {"", "undefined"} else cursor


def _request(  # noqa: PLR0913 - what an HTTP request consists of
    account: Account,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Request:
    url = f"{account.base_url}/{path.lstrip('/')}"
    if params:
        url += ("&" if "?" in path else "?") + urlencode(params, quote_via=quote)
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
        if not response.is_success:
            raise error_from_response(response, account.api_key)
        return decode_body(response, kind, account.api_key)

    return decode


def _id(value: Any) -> str:
    if not isinstance(value, str) or not (value and value.isascii() and value.isprintable()):
        raise ConfigurationError(
            f"the ID is {str(value)[:60]!r}; wanted the server's own, as it gave it"
        )
    return quote(value, safe="")


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_port, host = parts.port != 0, parts.hostname or ""
        if host.isascii():
            # Raises for what no resolver takes, such as a label of 64 letters.
            host.encode("idna")
    except ValueError:
        return False
    is_text = url.isprintable() and " " not in url
    return is_port and is_text and parts.scheme in {"http", "https"} and bool(host)


def as_new_asset(value: object) -> NewAsset:
    """Take a plain name for a `NewAsset`.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(value, NewAsset):
        return value
    if isinstance(value, str):
        return NewAsset(value)
    raise ConfigurationError(f"new_asset is a {type(value).__name__}; wanted a NewAsset or a name")
