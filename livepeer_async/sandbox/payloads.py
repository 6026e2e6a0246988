"""JSON bodies: read as Express reads them, checked against a schema, normalised as the API does."""

import re
from typing import Any

import msgspec
from starlette.requests import Request

from livepeer_async.sandbox.responses import ApiError, JsonObject
from livepeer_async.sandbox.tus_headers import is_base64
from livepeer_async.sandbox.validation import Schema, validate

# The limit of Express's body parser: '100kb'.
MAX_BODY = 100 * 1024


async def read_payload(request: Request, schema: Schema) -> Any:
    """Read, parse and check a body; one of another type than JSON counts as `{}`.

    Raises:
        ApiError: 413, 400 or 422.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    document: Any = {}
    if content_type == "application/json":
        document = parse_body(await read_body(request))
    findings = validate(document, schema)
    if findings:
        raise ApiError(422, *findings)
    return document


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: the text is not JSON; the message is Node's.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(_format_syntax_error(text, str(error))) from error


def normalise(payload: Any) -> JsonObject:
    """Return the fields of a checked payload as the server stores them.

    Raises:
        ApiError: the payload is refused for a reason that no schema can express.
    """
    if not isinstance(payload, dict):
        return {"source": {"type": "directUpload"}}
    given: JsonObject = payload  # pyright: ignore[reportUnknownVariableType] - its keys are strings
    _check_constraints(given)
    fields: JsonObject = {"name": given["name"], "source": _make_source(given)}
    if given.get("profiles") is not None:
        fields["profiles"] = given["profiles"]
    if "playbackPolicy" in given:
        fields["playbackPolicy"] = given["playbackPolicy"]
    return {**fields, **normalise_shared(given)}


def normalise_shared(given: JsonObject) -> JsonObject:
    """Normalise the fields that creations and changes share: creatorId and storage."""
    fields: JsonObject = {}
    if "creatorId" in given:
        creator = given["creatorId"]
        is_plain = isinstance(creator, str)
        fields["creatorId"] = {"type": "unverified", "value": creator} if is_plain else creator
    if "ipfs" in given.get("storage", {}):
        fields["storage"] = {"ipfs": _normalise_ipfs(given["storage"]["ipfs"])}
    return fields


def _normalise_ipfs(ipfs: Any) -> Any:
    if isinstance(ipfs, dict):
        return ipfs or {"spec": {}}  # pyright: ignore[reportUnknownVariableType] - a JSON object
    return {"spec": {} if ipfs else None}


def _make_source(given: JsonObject) -> JsonObject:
    source: JsonObject = {"type": "directUpload"}
    if "url" in given:
        source = {"type": "url", "url": given["url"]}
    if "encryption" in given:
        key = given["encryption"]["encryptedKey"]
        source["encryption"] = {"encryptedKey": key, "key": "***"}
    return source


def _check_constraints(given: JsonObject) -> None:
    """Refuse values that the schema allows but the server does not."""
    if given.get("profiles") == []:
        raise ApiError(400, "assets must have at least one profile")
    _check_policy(given.get("playbackPolicy"))
    if "objectStoreId" in given:
        raise ApiError(500, "Internal server error: Error")
    if "encryption" in given:
        if not given.get("playbackPolicy"):
            raise ApiError(400, "a playbackPolicy is required when using encryption")
        if not is_base64(given["encryption"]["encryptedKey"]):
            raise ApiError(422, "encryptedKey must be valid base64")


def _check_policy(policy: JsonObject | None) -> None:
    if policy is None:
        return
    if policy["type"] == "lit_signing_condition":
        raise ApiError(403, "user is not a subject of experiment: lit-signing-condition")
    if policy["type"] == "webhook":
        if "webhookId" not in policy:
            raise ApiError(500, "Internal server error: Error")
        raise ApiError(400, f"webhook {policy['webhookId']} not found")


async def read_body(request: Request) -> bytes:
    """Read a body.

    Raises:
        ApiError: 413, it is too long.
    """
    body = bytearray()
    if int(request.headers.get("content-length", "0")) > MAX_BODY:
        raise ApiError(413, "request entity too large")
    async for block in request.stream():
        body += block
        if len(body) > MAX_BODY:
            raise ApiError(413, "request entity too large")
    return bytes(body)


def parse_body(body: bytes) -> Any:
    """Parse a body as Express does in strict mode: an object, an array, or nothing."""
    text = body.decode(errors="replace")
    first = text.lstrip()[:1]
    if not first:
        return {}
    if first not in "{[":
        raise ApiError(400, f"Unexpected token '{first}', \"#\" is not valid JSON")
    try:
        return parse_json(text)
    except ValueError as error:
        raise ApiError(400, str(error)) from error


def _format_syntax_error(text: str, reason: str) -> str:
    match = re.search(r"\(byte (\d+)\)", reason)
    position = int(match.group(1)) if match else len(text)
    if position >= len(text.encode()) or "truncated" in reason:
        return "Unexpected end of JSON input"
    token = text.encode()[position:].decode(errors="replace")[0]
    return f"Unexpected token '{token}', \"{text}\" is not valid JSON"
