"""API responses: decode a body into a typed value, or into the typed error that it stands for.

The server has two dialects: JSON `{"errors": [...]}`, where an entry may itself be JSON, and the
plain text or HTML of a proxy in front of it. No message holds the API key, which a 401 echoes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeVar, cast

import msgspec

from livepeer_async.errors import (
    ApiError,
    BadRequest,
    DecodeError,
    Forbidden,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    ServerError,
    TooManyRequests,
)
from livepeer_async.http.messages import Response
from livepeer_async.models import ErrorBody, Violation
from livepeer_async.redaction import excerpt, redact

T = TypeVar("T")

_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.BAD_REQUEST: BadRequest,
    HTTPStatus.UNAUTHORIZED: NotAuthenticated,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequest,
    HTTPStatus.TOO_MANY_REQUESTS: TooManyRequests,
}
# Sentences of an error that are read; the server gives one.
MOST_ERRORS = 20
# Characters of a content type that are shown.
LONGEST_TYPE = 200
_PATH = re.compile(r"`(\$[^`]*)`")
# A key that isn't ours can be echoed too, where a proxy replaced it.
_ECHOED = re.compile(r"no token .+? found")


@lru_cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    # Lax: JavaScript may write 1234567.0 where an integer is meant.
    return msgspec.json.Decoder(kind, strict=False)


def decode_body(response: Response, kind: type[T], api_key: str | None = None) -> T:
    """Decode the JSON of a successful answer.

    Raises:
        DecodeError: it isn't JSON, or isn't what the call gives; with the path in the document.
    """
    try:
        decoded: T = _decoder(cast("Hashable", kind)).decode(response.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # As text alone: as the cause it would carry a piece of the body, with a token in it.
        said = str(error)
    else:
        return decoded
    found = _PATH.search(said)
    path = found[1] if found else "$"
    secrets = (api_key, *response.secrets)
    content_type = redact(response.headers.get("content-type", "no content type"), *secrets)
    raise DecodeError(
        f"{response.place} answered {response.status} with a body that can't be used at "
        f"{path}: {redact(said, *secrets)}; {content_type[:LONGEST_TYPE]}, it begins with "
        f"{excerpt(response.body, *secrets)!r}",
        path=path,
        request_id=response.request_id,
    )


def error_from_response(response: Response, api_key: str | None = None) -> ApiError:
    """Make the error that an answer stands for."""
    sentences, violations = _read_errors(response, api_key)
    kind = _BY_STATUS.get(response.status, ApiError)
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = ServerError
    method, _, url = response.place.partition(" ")
    if response.is_redirect:
        sentences = ("redirects are not followed; is the base URL right?",)
    return kind(
        status=response.status,
        errors=sentences,
        violations=violations,
        method=method,
        url=url,
        retry_after=response.retry_after,
        request_id=response.request_id,
    )


def _read_errors(
    response: Response, api_key: str | None
) -> tuple[tuple[str, ...], tuple[Violation, ...]]:
    """Read the server's sentences, and what it says of the schema, without the key."""
    secrets = (api_key, *response.secrets)
    try:
        body = _decoder(ErrorBody).decode(response.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        body = ErrorBody()
    if not body.errors:
        text = excerpt(response.body, *secrets)
        return ((_without_key(text, *secrets),) if text else ()), ()
    entries = tuple(_without_key(entry, *secrets) for entry in body.errors[:MOST_ERRORS])
    body = ErrorBody(errors=entries)
    violations = body.violations
    plain = tuple(entry for entry in entries if not entry.startswith("{"))
    return plain + tuple(map(_sentence, violations)) or entries, violations


def _sentence(violation: Violation) -> str:
    where = violation.instance_path.lstrip("/").replace("/", ".")
    message = violation.message or violation.keyword
    details = violation.params or {}
    extra = details.get("additionalProperty")
    allowed: Any = details.get("allowedValues")
    if extra:
        message = f"{message} ({extra!r})"
    if isinstance(allowed, list):
        words = ", ".join(str(word) for word in cast("list[object]", allowed))
        message = f"{message} ({words})"
    return f"{where}: {message}" if where else message


def _without_key(sentence: str, *secrets: str | None) -> str:
    return _ECHOED.sub("no token *** found", redact(sentence, *secrets))
