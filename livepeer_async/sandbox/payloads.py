"""JSON bodies: read as Express reads them, checked against a schema, normalised as Studio does."""

import base64
import binascii
import re
from typing import Any

import msgspec
from starlette.requests import Request

from livepeer_async.sandbox.responses import JsonObject, StudioError
from livepeer_async.sandbox.validation import Schema, validate

# Of Express' body parser: '100kb'.
MAX_BODY = 100 * 1024


async def read_payload(request: Request, schema: Schema) -> Any:
    """Read, parse and check a body; one of another type than JSON counts as `{}`.

    Raises:
        StudioError: 413, 400 or 422, with the server's sentence.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    document: Any = {}
    if content_type == "application/json":
        document = _parse(await _read(request))
    findings = validate(document, schema)
    if findings:
        raise StudioError(422, *findings)
    return document


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: In Node's words.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(_word_syntax_error(text, str(error))) from error


def normalise(payload: Any) -> JsonObject:
    """Return the fields that the server keeps of a checked payload, as it keeps them.

    Raises:
        StudioError: For what no schema can tell.
    """
    if not isinstance(payload, dict):
        return {"source": {"type": "directUpload"}}
    given: JsonObject = payload  # pyright: ignore[reportUnknownVariableType] - its keys are strings
    _refuse_impossible(given)
    fields: JsonObject = {"name": given["name"]}
    fields["source"] = _make_source(given)
    if given.get("profiles") is not None:
        fields["profiles"] = given["profiles"]
    if "playbackPolicy" in given:
        fields["playbackPolicy"] = given["playbackPolicy"]
    fields.update(normalise_shared(given))
    return fields


def normalise_shared(given: JsonObject) -> JsonObject:
    """Normalise what a creation and a change have in common: creatorId and storage."""
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


def _refuse_impossible(given: JsonObject) -> None:
    """Refuse what the schema lets through."""
    if given.get("profiles") == []:
        raise StudioError(400, "assets must have at least one profile")
    _refuse_policy(given.get("playbackPolicy"))
    if "objectStoreId" in given:
        raise StudioError(500, "Internal server error: Error")
    if "encryption" in given:
        if not given.get("playbackPolicy"):
            raise StudioError(400, "a playbackPolicy is required when using encryption")
        if not _is_base64(given["encryption"]["encryptedKey"]):
            raise StudioError(422, "encryptedKey must be valid base64")


def _refuse_policy(policy: JsonObject | None) -> None:
    if policy is None:
        return
    if policy["type"] == "lit_signing_condition":
        raise StudioError(403, "user is not a subject of experiment: lit-signing-condition")
    if policy["type"] == "webhook":
        if "webhookId" not in policy:
            raise StudioError(500, "Internal server error: Error")
        raise StudioError(400, f"webhook {policy['webhookId']} not found")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True


async def _read(request: Request) -> bytes:
    body = bytearray()
    if int(request.headers.get("content-length", "0")) > MAX_BODY:
        raise StudioError(413, "request entity too large")
    async for block in request.stream():
        body += block
        if len(body) > MAX_BODY:
            raise StudioError(413, "request entity too large")
    return bytes(body)


def _parse(body: bytes) -> Any:
    """Parse a body as Express does in its strict mode: an object or an array, or nothing."""
    text = body.decode(errors="replace")
    first = text.lstrip()[:1]
    if not first:
        return {}
    if first not in "{[":
        raise StudioError(400, f"Unexpected token '{first}', \"#\" is not valid JSON")
    try:
        return parse_json(text)
    except ValueError as error:
        raise StudioError(400, str(error)) from error


def _word_syntax_error(text: str, found: str) -> str:
    match = re.search(r"\(byte (\d+)\)", found)
    position = int(match.group(1)) if match else len(text)
    if position >= len(text.encode()) or "truncated" in found:
        return "Unexpected end of JSON input"
    token = text.encode()[position:].decode(errors="replace")[0]
    return f"Unexpected token '{token}', \"{text}\" is not valid JSON"
