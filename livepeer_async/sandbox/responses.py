"""The two dialects of the server: JSON with a weak ETag, and tus' plain text without a type."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

JsonObject = dict[str, Any]

JSON_TYPE = "application/json; charset=utf-8"


class StudioError(Exception):
    """An answer of Studio's own: `{"errors":[…]}`.

    Attributes:
        status: The HTTP status.
        messages: The sentences, or one ajv object as a JSON string each.
    """

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__(status, *messages)
        self.status = status
        self.messages = messages


class TusError(Exception):
    """An answer of the tus server inside Studio: plain text that ends in a newline."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def answer_json(
    request: Request,
    document: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer a document as Express does: compact, with a weak ETag, 304 where that is known."""
    body = msgspec.json.encode(document)
    tag = make_etag(body)
    extra = {**(headers or {}), "etag": tag}
    if status == 200 and request.method in ("GET", "HEAD") and _is_known(request, tag):  # noqa: PLR2004 - an HTTP status
        return Response(status_code=304, headers=extra)
    return Response(body, status_code=status, headers=extra, media_type=JSON_TYPE)


def answer_error(request: Request, error: StudioError) -> Response:
    """Answer an error in Studio's dialect."""
    return answer_json(request, {"errors": error.messages}, status=error.status)


def make_etag(body: bytes) -> str:
    """Make the tag of Express: the length in hexadecimal and 27 characters of the SHA-1."""
    digest = hashlib.sha1(body, usedforsecurity=False).digest()
    return f'W/"{len(body):x}-{base64.b64encode(digest).decode()[:27]}"'


def sort_fields(document: JsonObject) -> JsonObject:
    """Order keys as PostgreSQL's jsonb does, shorter ones first: what comes from the database."""
    names = sorted(document, key=lambda name: (len(name.encode()), name))
    return {name: _sort_value(document[name]) for name in names}


def _sort_value(value: Any) -> Any:
    if isinstance(value, dict):
        return sort_fields(value)  # pyright: ignore[reportUnknownArgumentType] - any JSON object
    if isinstance(value, list):
        elements: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - any JSON array
        return [_sort_value(element) for element in elements]
    return value


def _is_known(request: Request, tag: str) -> bool:
    known = request.headers.get("if-none-match", "")
    return known == "*" or tag.removeprefix("W/") in [
        candidate.strip().removeprefix("W/") for candidate in known.split(",")
    ]
