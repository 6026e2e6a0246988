"""`GET /api/asset` and `GET /api/task`: filters, order, cursors and the Link header.

The cursor is an offset into a list that may change meanwhile, as the real server's is.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from livepeer_async.sandbox.documents import Asset, describe_asset, describe_task
from livepeer_async.sandbox.middleware import user_of
from livepeer_async.sandbox.payloads import parse_json
from livepeer_async.sandbox.responses import JsonObject, StudioError, answer_json
from livepeer_async.sandbox.state import Studio

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
DEFAULT_ORDER = "updatedAt-true,createdAt-true"

Read = Callable[[JsonObject], Any]

ASSET_FIELDS: Mapping[str, Read] = {
    "id": lambda row: row["id"],
    "name": lambda row: row.get("name"),
    "createdAt": lambda row: row["createdAt"],
    "updatedAt": lambda row: row["status"]["updatedAt"],
    "userId": lambda row: row["userId"],
    "projectId": lambda row: row["projectId"],
    "playbackId": lambda row: row["playbackId"],
    "phase": lambda row: row["status"]["phase"],
    "size": lambda row: row.get("size"),
    "creatorId": lambda row: row.get("creatorId", {}).get("value"),
    "sourceUrl": lambda row: row["source"].get("url"),
    "cid": lambda row: row.get("storage", {}).get("ipfs", {}).get("cid"),
}

TASK_FIELDS: Mapping[str, Read] = {
    "id": lambda row: row["id"],
    "type": lambda row: row["type"],
    "createdAt": lambda row: row["createdAt"],
    "updatedAt": lambda row: row["status"]["updatedAt"],
    "userId": lambda row: row["userId"],
    "inputAssetId": lambda row: row.get("inputAssetId"),
    "outputAssetId": lambda row: row.get("outputAssetId"),
}

# Query parameters that filter assets by themselves.
ASSET_QUERY = ("phase", "playbackId", "sourceUrl", "cid")

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "gt": lambda value, limit: value > limit,
    "gte": lambda value, limit: value >= limit,
    "lt": lambda value, limit: value < limit,
    "lte": lambda value, limit: value <= limit,
}


class ListRoutes:
    """The two lists."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._rows: dict[str, tuple[tuple[object, ...], JsonObject]] = {}

    async def list_assets(self, request: Request) -> Response:
        """Serve `GET /api/asset`."""
        user, studio = user_of(request), self._studio
        now = studio.now()
        rows = [
            self._describe(asset, now)
            for asset in list(studio.assets.values())
            if asset.user == user and not asset.is_deleted
        ]
        for name in ASSET_QUERY:
            wanted = request.query_params.getlist(name)
            if wanted:
                rows = [row for row in rows if [ASSET_FIELDS[name](row)] == wanted]
        return _answer_page(request, rows, ASSET_FIELDS)

    def _describe(self, asset: Asset, now: float) -> JsonObject:
        """Describe an asset, anew only where it has changed: a list goes through all there are."""
        version = asset.status(now), asset.touched_at, asset.source is None
        known, row = self._rows.get(asset.id, ((), {}))
        if known != version:
            row = describe_asset(asset, now, origin=self._studio.origin)
            self._rows[asset.id] = version, row
        return row

    async def list_tasks(self, request: Request) -> Response:
        """Serve `GET /api/task`; the last page still has a Link, to `undefined`."""
        user, studio = user_of(request), self._studio
        now = studio.now()
        rows = [describe_task(t, now) for t in list(studio.tasks.values()) if t.user == user]
        return _answer_page(request, rows, TASK_FIELDS, is_always_linked=True)


def _answer_page(
    request: Request,
    rows: list[JsonObject],
    fields: Mapping[str, Read],
    *,
    is_always_linked: bool = False,
) -> Response:
    query = request.query_params
    rows = _filter(rows, query.get("filters"), fields)
    rows = _sort(rows, query.get("order") or DEFAULT_ORDER, fields)
    total, limit = len(rows), _read_limit(query.get("limit", ""))
    rows, next_cursor = _cut_page(rows, query.get("cursor", ""), limit)
    headers: dict[str, str] = {}
    if rows and query.get("count"):
        headers["x-total-count"] = str(total)
    if rows and (next_cursor != "undefined" or is_always_linked):
        headers["link"] = _make_link(request, next_cursor)
    return answer_json(request, rows, headers=headers)


def _read_limit(text: str) -> int:
    limit = int(text) if re.fullmatch(r"\d+", text, re.ASCII) else 0
    return min(limit, MAX_LIMIT) or DEFAULT_LIMIT


def _cut_page(rows: list[JsonObject], cursor: str, limit: int) -> tuple[list[JsonObject], str]:
    """Return a page and the cursor of the next, `undefined` behind a page that isn't full."""
    skipped = 0
    if cursor.startswith("skip"):
        if not cursor[4:].isdecimal():
            raise StudioError(500, "Internal server error: error")
        skipped = int(cursor[4:])
    elif cursor:
        rows = sorted((row for row in rows if row["id"] > cursor), key=lambda row: str(row["id"]))
    page = rows[skipped : skipped + limit]
    return page, f"skip{skipped + limit}" if len(page) == limit else "undefined"


def _make_link(request: Request, cursor: str) -> str:
    """Make the Link header: from Host, `http` whatever the client used."""
    pairs = dict(parse_qsl(request.url.query, keep_blank_values=True))
    pairs["cursor"] = cursor
    host = request.headers.get("host", "")
    query = urlencode(pairs, quote_via=quote)
    return f'<http://{host}{request.url.path}?{query}>; rel="next"'


def _sort(rows: list[JsonObject], order: str, fields: Mapping[str, Read]) -> list[JsonObject]:
    """Sort by `field-descending` pairs; what the server doesn't know it ignores."""
    for part in reversed(order.split(",")):
        name, _, direction = part.partition("-")
        if name in fields and direction in ("true", "false"):
            read = fields[name]
            rows = sorted(rows, key=lambda row: _rank(read(row)), reverse=direction == "true")
    return rows


def _rank(value: Any) -> tuple[int, Any]:
    return (0, "") if value is None else (1, value)


def _filter(
    rows: list[JsonObject], text: str | None, fields: Mapping[str, Read]
) -> list[JsonObject]:
    if not text:
        return rows
    for name, wanted in _read_filters(text, fields):
        read = fields[name]
        rows = [row for row in rows if _matches(name, read(row), wanted)]
    return rows


def _read_filters(text: str, fields: Mapping[str, Read]) -> list[tuple[str, Any]]:
    """Parse `filters`, which the server decodes a second time."""
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        raise _refuse("URIError: URI malformed")
    try:
        parsed = parse_json(unquote(text))
    except ValueError as error:
        raise _refuse(f"SyntaxError: {error}") from error
    if not isinstance(parsed, list):
        raise _refuse("Error: must be an array")
    entries: list[JsonObject] = parsed  # pyright: ignore[reportUnknownVariableType] - any JSON array
    return [_read_filter(entry, fields) for entry in entries]


def _read_filter(entry: JsonObject, fields: Mapping[str, Read]) -> tuple[str, Any]:
    name = str(entry.get("id"))
    wanted: Any = entry.get("value")
    if name not in fields:
        raise _refuse(f'Error: unknown field: "{name}"')
    if wanted is None:
        raise _refuse(f'Error: missing filter value for id "{name}"')
    if isinstance(wanted, dict):
        limits: JsonObject = wanted  # pyright: ignore[reportUnknownVariableType] - a JSON object
        for comparison in limits:
            if comparison not in COMPARISONS:
                raise _refuse(f'Error: unknown comparison: "{comparison}"')
    return name, entry["value"]


def _refuse(reason: str) -> StudioError:
    return StudioError(400, f"error parsing filters: {reason}")


def _matches(name: str, value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        limits: dict[str, float] = wanted  # pyright: ignore[reportUnknownVariableType] - checked before
        return value is not None and all(COMPARISONS[k](value, v) for k, v in limits.items())
    if name == "name":
        return str(wanted).lower() in str(value or "").lower()
    return bool(value == wanted)
