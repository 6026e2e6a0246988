"""JSON responses as Express sends them: compact, with a weak ETag."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

JsonObject = dict[str, Any]

JSON_TYPE = "application/json; charset=utf-8"


class ApiError(Exception):
    """An error response of the API: `{"errors": [...]}`.

    Attributes:
        status: the HTTP status.
        messages: the entries of `errors`: sentences, or findings of ajv as JSON strings.
    """

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__(status, *messages)
        self.status = status
        self.messages = messages


def make_json_response(
    request: Request,
    document: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Encode a document, or respond with 304 if the client knows its ETag."""
    body = msgspec.json.encode(document)
    tag = make_etag(body)
    headers = {**(headers or {}), "etag": tag}
    if status == 200 and request.method in ("GET", "HEAD") and _has_etag(request, tag):  # noqa: PLR2004 - an HTTP status
        return Response(status_code=304, headers=headers)
    return Response(body, status_code=status, headers=headers, media_type=JSON_TYPE)


def make_error_response(request: Request, error: ApiError) -> Response:
    """Encode an error of the API."""
    return make_json_response(request, {"errors": error.messages}, status=error.status)


def make_etag(body: bytes) -> str:
    """Return the ETag of Express: the length in hexadecimal, 27 characters of the SHA-1."""
    digest = hashlib.sha1(body, usedforsecurity=False).digest()
    return f'W/"{len(body):x}-{base64.b64encode(digest).decode()[:27]}"'


def sort_fields(document: JsonObject) -> JsonObject:
    """Order the keys as PostgreSQL's jsonb does, shorter ones first."""
    names = sorted(document, key=lambda name: (len(name.encode()), name))
    return {name: _sort_value(document[name]) for name in names}


def _sort_value(value: Any) -> Any:
    if isinstance(value, dict):
        return sort_fields(value)  # pyright: ignore[reportUnknownArgumentType] - any JSON object
    if isinstance(value, list):
        elements: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - any JSON array
        return [_sort_value(element) for element in elements]
    return value


def _has_etag(request: Request, tag: str) -> bool:
    known = request.headers.get("if-none-match", "")
    return known == "*" or tag.removeprefix("W/") in [
        candidate.strip().removeprefix("W/") for candidate in known.split(",")
    ]
