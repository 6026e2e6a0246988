"""`GET /api/asset`, `/api/task` and `/api/webhook`: filters, order, cursors and the Link header.

As on the server, a cursor is an offset into a list that may change between two pages.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from livepeer_async.sandbox.documents import Asset, describe_asset, describe_task
from livepeer_async.sandbox.middleware import require_user
from livepeer_async.sandbox.payloads import parse_json
from livepeer_async.sandbox.responses import ApiError, JsonObject, make_json_response
from livepeer_async.sandbox.state import ServerState

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
DEFAULT_ORDER = "updatedAt-true,createdAt-true"

# Paths of fields that are not at the top of a document.
PATHS = {
    "updatedAt": "status.updatedAt",
    "phase": "status.phase",
    "creatorId": "creatorId.value",
    "sourceUrl": "source.url",
    "cid": "storage.ipfs.cid",
}
# Fields to filter and order by.
COMMON_FIELDS = frozenset({"id", "createdAt", "updatedAt", "userId"})
ASSET_FIELDS = COMMON_FIELDS.union(PATHS, ["name", "projectId", "playbackId", "size"])
TASK_FIELDS = COMMON_FIELDS.union(["type", "inputAssetId", "outputAssetId"])
WEBHOOK_FIELDS = frozenset({"id", "name", "url", "createdAt", "userId", "projectId"})
# Query parameters that filter assets by themselves.
ASSET_QUERY = ("phase", "playbackId", "sourceUrl", "cid")

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class ListRoutes:
    """The lists of assets, tasks and webhooks."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._documents: dict[str, tuple[tuple[object, ...], JsonObject]] = {}

    async def list_assets(self, request: Request) -> Response:
        """Serve `GET /api/asset`."""
        user, now = require_user(request), self._state.now()
        rows = [
            self._describe(asset, now)
            for asset in list(self._state.assets.values())
            if asset.user == user and not asset.is_deleted
        ]
        for name in ASSET_QUERY:
            wanted = request.query_params.getlist(name)
            if wanted:
                rows = [row for row in rows if [_get(row, name)] == wanted]
        return _make_page(request, rows, ASSET_FIELDS)

    async def list_tasks(self, request: Request) -> Response:
        """Serve `GET /api/task`; the last page still has a Link, to `undefined`."""
        user, now = require_user(request), self._state.now()
        tasks = list(self._state.tasks.values())
        rows = [describe_task(task, now) for task in tasks if task.user == user]
        return _make_page(request, rows, TASK_FIELDS, is_always_linked=True)

    async def list_webhooks(self, request: Request) -> Response:
        """Serve `GET /api/webhook`; the last page has a Link to `undefined`, as that of tasks."""
        user = require_user(request)
        webhooks = list(self._state.deliveries.webhooks.values())
        rows = [it.describe() for it in webhooks if it.user == user and not it.is_deleted]
        return _make_page(request, rows, WEBHOOK_FIELDS, is_always_linked=True)

    def _describe(self, asset: Asset, now: float) -> JsonObject:
        """Describe an asset; cached, because each request describes all assets."""
        version = asset.status(now), asset.modified_at, asset.source is None
        known, document = self._documents.get(asset.id, ((), {}))
        if known != version:
            document = describe_asset(asset, now, origin=self._state.origin)
            self._documents[asset.id] = version, document
        return document


def _make_page(
    request: Request,
    rows: list[JsonObject],
    fields: frozenset[str],
    *,
    is_always_linked: bool = False,
) -> Response:
    query = request.query_params
    rows = _filter(rows, query.get("filters"), fields)
    rows = _sort(rows, query.get("order") or DEFAULT_ORDER, fields)
    total, limit = len(rows), _parse_limit(query.get("limit", ""))
    rows, next_cursor = _cut_page(rows, query.get("cursor", ""), limit)
    headers: dict[str, str] = {}
    if rows and query.get("count"):
        headers["x-total-count"] = str(total)
    if rows and (next_cursor != "undefined" or is_always_linked):
        headers["link"] = _make_link(request, next_cursor)
    return make_json_response(request, rows, headers=headers)


def _get(row: JsonObject, field: str) -> Any:
    value: Any = row
    for name in PATHS.get(field, field).split("."):
        value = value.get(name, {})
    return None if value == {} else value


def _parse_limit(text: str) -> int:
    limit = int(text) if re.fullmatch(r"\d+", text, re.ASCII) else 0
    return min(limit, MAX_LIMIT) or DEFAULT_LIMIT


def _cut_page(rows: list[JsonObject], cursor: str, limit: int) -> tuple[list[JsonObject], str]:
    """Return a page and the cursor of the next one: `undefined` unless the page is full."""
    skipped = 0
    if cursor.startswith("skip"):
        if not cursor[4:].isdecimal():
            raise ApiError(500, "Internal server error: error")
        skipped = int(cursor[4:])
    elif cursor:
        rows = sorted((row for row in rows if row["id"] > cursor), key=lambda row: str(row["id"]))
    page = rows[skipped : skipped + limit]
    return page, f"skip{skipped + limit}" if len(page) == limit else "undefined"


def _make_link(request: Request, cursor: str) -> str:
    """Make the Link header from Host; its scheme is always `http`, as the server's."""
    query = dict(parse_qsl(request.url.query, keep_blank_values=True))
    query["cursor"] = cursor
    host = request.headers.get("host", "")
    return f'<http://{host}{request.url.path}?{urlencode(query, quote_via=quote)}>; rel="next"'


def _sort(rows: list[JsonObject], order: str, fields: frozenset[str]) -> list[JsonObject]:
    """Sort by pairs of field and `true` for descending; invalid pairs are ignored."""
    for pair in reversed(order.split(",")):
        name, _, descending = pair.partition("-")
        if name in fields and descending in ("true", "false"):
            is_descending = descending == "true"
            rows = sorted(rows, key=lambda row: _sort_key(_get(row, name)), reverse=is_descending)
    return rows


def _sort_key(value: Any) -> tuple[int, Any]:
    return (0, "") if value is None else (1, value)


def _filter(rows: list[JsonObject], text: str | None, fields: frozenset[str]) -> list[JsonObject]:
    if not text:
        return rows
    for name, wanted in _parse_filters(text, fields):
        rows = [row for row in rows if _matches(name, _get(row, name), wanted)]
    return rows


def _parse_filters(text: str, fields: frozenset[str]) -> list[tuple[str, Any]]:
    """Parse `filters`, which the server percent-decodes a second time."""
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        raise _filter_error("URIError: URI malformed")
    try:
        parsed = parse_json(unquote(text))
    except ValueError as error:
        raise _filter_error(f"SyntaxError: {error}") from error
    if not isinstance(parsed, list):
        raise _filter_error("Error: must be an array")
    entries: list[JsonObject] = parsed  # pyright: ignore[reportUnknownVariableType] - any JSON array
    return [_parse_filter(entry, fields) for entry in entries]


def _parse_filter(entry: JsonObject, fields: frozenset[str]) -> tuple[str, Any]:
    name = str(entry.get("id"))
    wanted: Any = entry.get("value")
    if name not in fields:
        raise _filter_error(f'Error: unknown field: "{name}"')
    if wanted is None:
        raise _filter_error(f'Error: missing filter value for id "{name}"')
    if isinstance(wanted, dict):
        limits: JsonObject = wanted  # pyright: ignore[reportUnknownVariableType] - a JSON object
        for comparison in limits:
            if comparison not in COMPARISONS:
                raise _filter_error(f'Error: unknown comparison: "{comparison}"')
    return name, entry["value"]


def _filter_error(reason: str) -> ApiError:
    return ApiError(400, f"error parsing filters: {reason}")


def _matches(name: str, value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        limits: dict[str, float] = wanted  # pyright: ignore[reportUnknownVariableType] - checked before
        return value is not None and all(COMPARISONS[k](value, v) for k, v in limits.items())
    if name == "name":
        return str(wanted).lower() in str(value or "").lower()
    return bool(value == wanted)
