"""API responses: decoders of values and errors.

Error bodies are JSON `{"errors": [...]}`, where an entry may itself be JSON, or the plain text or
HTML of a proxy, whose markup is omitted. No message contains the API key, which a 401 echoes.
"""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar, cast

import msgspec

from livepeer_async.deferred import deferred_pattern
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
from livepeer_async.models.json_repair import decode_leniently
from livepeer_async.redaction import excerpt, hides_variables, redact
from livepeer_async.redaction.credentials import REDACTED

T = TypeVar("T")

_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.BAD_REQUEST: BadRequest,
    HTTPStatus.UNAUTHORIZED: NotAuthenticated,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidRequest,
    HTTPStatus.TOO_MANY_REQUESTS: TooManyRequests,
}
_UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
# Entries of an error body that are read; the server sends one.
MAX_ERRORS = 20
# Characters of a content type that a message shows.
MAX_TYPE_LENGTH = 200
_PATH = deferred_pattern(r"`(\$[^`]*)`")
# Fields that the server returns although they are secrets.
_SECRET_FIELD = deferred_pattern(rb'("(?:sharedSecret|encryptedKey)"\s*:\s*")(?:[^"\\]|\\.)*+')
# A proxy may replace the key; the response then echoes an unknown one.
_ECHOED_KEY = deferred_pattern(r"no token .+? found")


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    # Lax: JavaScript may write 1234567.0 for an integer.
    return msgspec.json.Decoder(kind, strict=False)


def decode_body(response: Response, kind: type[T], api_key: str | None = None) -> T:
    """Decode the JSON body of a successful response.

    Raises:
        DecodeError: the body isn't JSON, or not of this type. `path` is the position in it.
    """
    hashable: Any = kind  # as mypy doesn't know; `cast` would be a call
    decoder: msgspec.json.Decoder[T] = _decoder(hashable)
    try:
        # Nearly all bodies: a call of `decode_leniently` would take as long as two more fields.
        return decoder.decode(response.body)
    except _UNDECODABLE:
        pass
    try:
        return _decode_repaired(decoder, response, api_key)
    finally:
        # The traceback of an error has the variables of this function.
        del response, api_key


@hides_variables
def _decode_repaired(
    decoder: msgspec.json.Decoder[T], response: Response, api_key: str | None
) -> T:
    try:
        return decode_leniently(decoder.decode, response.body)
    except _UNDECODABLE as error:
        # Only the message is kept: the exception's attributes hold a part of the body, which may
        # contain a token.
        reason = str(error)
    found = _PATH.search(reason)
    path = found[1] if found else "$"
    secrets = (api_key, *response.secrets)
    body = _SECRET_FIELD.sub(rf"\1{REDACTED}".encode(), response.body)
    content_type = redact(response.headers.get("content-type", "no content type"), *secrets)
    raise DecodeError(
        f"{response.place} returned {response.status} with a body that can't be decoded at "
        f"{path}: {redact(reason, *secrets)}; {content_type[:MAX_TYPE_LENGTH]}, the body begins "
        f"with {excerpt(body, *secrets)!r}",
        path=path,
        request_id=response.request_id,
    )


def error_from_response(response: Response, api_key: str | None = None) -> ApiError:
    """Return the typed error for an error response."""
    messages, violations = _read_errors(response, api_key)
    kind = _BY_STATUS.get(response.status, ApiError)
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = ServerError
    method, _, url = response.place.partition(" ")
    if response.is_redirect:
        messages = ("redirects are not followed; is the base URL right?",)
    return kind(
        status=response.status,
        errors=messages,
        violations=violations,
        method=method,
        url=url,
        retry_after=response.retry_after,
        request_id=response.request_id,
    )


def _read_errors(
    response: Response, api_key: str | None
) -> tuple[tuple[str, ...], tuple[Violation, ...]]:
    """Return the error messages and schema violations of a body, without the API key."""
    secrets = (api_key, *response.secrets)
    try:
        body = decode_leniently(_decoder(ErrorBody).decode, response.body)
    except _UNDECODABLE:
        body = ErrorBody()
    if not body.errors:
        text = response.explain(api_key)
        return ((_without_key(text, *secrets),) if text else ()), ()
    entries = tuple(_without_key(entry, *secrets) for entry in body.errors[:MAX_ERRORS])
    body = ErrorBody(errors=entries)
    violations = body.violations
    plain = tuple(entry for entry in entries if not entry.startswith("{"))
    return plain + tuple(map(_describe, violations)) or entries, violations


def _describe(violation: Violation) -> str:
    field = violation.instance_path.lstrip("/").replace("/", ".")
    message = violation.message or violation.keyword
    details = violation.params or {}
    unknown = details.get("additionalProperty")
    allowed: Any = details.get("allowedValues")
    if unknown:
        message = f"{message} ({unknown!r})"
    if isinstance(allowed, list):
        values = ", ".join(str(value) for value in cast("list[object]", allowed))
        message = f"{message} ({values})"
    return f"{field}: {message}" if field else message


def _without_key(text: str, *secrets: str | None) -> str:
    return _ECHOED_KEY.sub("no token *** found", redact(text, *secrets))
