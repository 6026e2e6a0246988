"""The schemas of request bodies, and JSON Schema checks worded as ajv 8 words them.

Only the first finding is reported. Keywords are tried in ajv's order: type, enum, pattern, oneOf,
items, required, additionalProperties, properties. Other keywords are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import msgspec

from livepeer_async.sandbox.webhooks import EVENTS

Schema = dict[str, Any]
Finding = dict[str, Any]


def _object(*required: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _enum(*values: str) -> Schema:
    return {"type": "string", "enum": values}


STRING: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
ANY_OBJECT: Schema = {"type": "object"}

PLAYBACK_POLICY: Schema = {
    **_object(
        "type",
        type=_enum("public", "jwt", "webhook", "lit_signing_condition"),
        webhookId=STRING,
        webhookContext=ANY_OBJECT,
        refreshInterval=NUMBER,
        allowedOrigins={"type": "array", "items": STRING},
    ),
    "type": ["object", "null"],
}

CREATOR_ID: Schema = {
    "oneOf": [_object("type", "value", type=_enum("unverified"), value=STRING), STRING]
}

IPFS_SPEC = _object(nftMetadataTemplate=_enum("file", "player"), nftMetadata=ANY_OBJECT)
STORAGE = _object(ipfs={"oneOf": [_object(spec={"oneOf": [NULL, IPFS_SPEC]}), BOOLEAN, NULL]})

PROFILE = _object(
    "bitrate",
    width=INTEGER,
    name=STRING,
    height=INTEGER,
    bitrate=INTEGER,
    quality=INTEGER,
    fps=INTEGER,
    fpsDen=INTEGER,
    gop=STRING,
    profile=_enum("H264Baseline", "H264Main", "H264High", "H264ConstrainedHigh"),
    encoder=_enum("H.264", "HEVC", "VP8", "VP9"),
)

# Without a type: the server accepts an array.
NEW_ASSET: Schema = {
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": STRING,
        "staticMp4": BOOLEAN,
        "playbackPolicy": PLAYBACK_POLICY,
        "creatorId": CREATOR_ID,
        "storage": STORAGE,
        "objectStoreId": STRING,
        "catalystPipelineStrategy": STRING,
        "encryption": _object("encryptedKey", encryptedKey=STRING),
        "c2pa": BOOLEAN,
        "profiles": {"type": ["array", "null"], "items": PROFILE},
        "targetSegmentSizeSecs": NUMBER,
    },
}

NEW_ASSET_FROM_URL: Schema = {
    **NEW_ASSET,
    "required": ["name", "url"],
    "properties": {
        **NEW_ASSET["properties"],
        "url": {"type": "string", "pattern": "^(https?|ipfs|ar)://"},
    },
}

ASSET_PATCH = _object(
    name=STRING, creatorId=CREATOR_ID, playbackPolicy=PLAYBACK_POLICY, storage=STORAGE
)

_WEBHOOK_FIELDS: dict[str, Schema] = {
    "name": STRING,
    "url": {"type": "string", "pattern": "^http(s)?://"},
    "events": {"type": "array", "items": _enum(*EVENTS)},
    "sharedSecret": STRING,
    "streamId": STRING,
}

# Fields that the server sets itself are accepted, and ignored.
WEBHOOK = _object(
    "name",
    "url",
    id=STRING,
    kind=STRING,
    userId=STRING,
    projectId=STRING,
    createdAt=NUMBER,
    status=ANY_OBJECT,
    **_WEBHOOK_FIELDS,
)

WEBHOOK_PATCH = _object(**_WEBHOOK_FIELDS)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
}


def validate(value: Any, schema: Schema) -> list[str]:
    """Return the findings: none, one, or those of all branches of a oneOf.

    Each is a JSON object as a string, as in the `errors` of a response.
    """
    findings = _check(value, schema, "", "#")
    return [msgspec.json.encode(finding).decode() for finding in findings]


def _check(value: Any, schema: Schema, at: str, rule: str) -> list[Finding]:
    """Check a value at an instance path against the schema at a schema path."""
    return (
        _check_type(value, schema, at, rule)
        or _check_value(value, schema, at, rule)
        or _check_one_of(value, schema, at, rule)
        or _check_items(value, schema, at, rule)
        or _check_fields(value, schema, at, rule)
    )


def _check_type(value: Any, schema: Schema, at: str, rule: str) -> list[Finding]:
    wanted = schema.get("type", [])
    names = [wanted] if isinstance(wanted, str) else wanted
    if not names or any(_TYPES[name](value) for name in names):
        return []
    return _fail(at, rule, "type", {"type": wanted}, f"must be {','.join(names)}")


def _check_value(value: Any, schema: Schema, at: str, rule: str) -> list[Finding]:
    allowed, pattern = schema.get("enum"), schema.get("pattern")
    if allowed is not None and value not in allowed:
        message = "must be equal to one of the allowed values"
        return _fail(at, rule, "enum", {"allowedValues": allowed}, message)
    if pattern is not None and not re.search(pattern, value):
        message = f'must match pattern "{pattern}"'
        return _fail(at, rule, "pattern", {"pattern": pattern}, message)
    return []


def _check_one_of(value: Any, schema: Schema, at: str, rule: str) -> list[Finding]:
    branches = schema.get("oneOf", [])
    results = [_check(value, branch, at, f"{rule}/oneOf/{n}") for n, branch in enumerate(branches)]
    passing = [number for number, findings in enumerate(results) if not findings]
    if not branches or len(passing) == 1:
        return []
    params = {"passingSchemas": passing or None}
    message = "must match exactly one schema in oneOf"
    return [*chain(*results), *_fail(at, rule, "oneOf", params, message)]


def _check_items(value: Any, schema: Schema, at: str, rule: str) -> list[Finding]:
    if "items" not in schema or not isinstance(value, list):
        return []
    elements: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - any JSON array
    results = (
        _check(element, schema["items"], f"{at}/{number}", f"{rule}/items")
        for number, element in enumerate(elements)
    )
    return _first(results)


def _check_fields(value: Any, schema: Schema, at: str, rule: str) -> list[Finding]:
    if not isinstance(value, dict):
        return []
    fields: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType] - any JSON object
    properties: dict[str, Schema] = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in fields:
            message = f"must have required property '{name}'"
            return _fail(at, rule, "required", {"missingProperty": name}, message)
    for name in fields:
        if name not in properties and schema.get("additionalProperties") is False:
            message = "must NOT have additional properties"
            params = {"additionalProperty": name}
            return _fail(at, rule, "additionalProperties", params, message)
    results = (
        _check(fields[name], inner, f"{at}/{name}", f"{rule}/properties/{name}")
        for name, inner in properties.items()
        if name in fields
    )
    return _first(results)


def _first(results: Iterable[list[Finding]]) -> list[Finding]:
    for findings in results:
        if findings:
            return findings
    return []


def _fail(at: str, rule: str, keyword: str, params: Finding, message: str) -> list[Finding]:
    finding = {
        "instancePath": at,
        "schemaPath": f"{rule}/{keyword}",
        "keyword": keyword,
        "params": params,
        "message": message,
    }
    return [finding]
