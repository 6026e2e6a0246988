"""The schemas of request bodies, and JSON Schema checks worded as ajv 8 words them.

Only the first finding is reported. Keywords are tried in ajv's order: type, then numbers and
strings, enum, oneOf, then arrays, then objects with `required` before `additionalProperties` before
the properties.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

PLAYBACK_POLICY: Schema = {
    "type": ["object", "null"],
    "additionalProperties": False,
    "required": ["type"],
    "properties": {
        "type": {
            "type": "string",
            "enum": ["public", "jwt", "webhook", "lit_signing_condition"],
        },
        "webhookId": {"type": "string"},
        "webhookContext": {"type": "object"},
        "refreshInterval": {"type": "number"},
        "allowedOrigins": {"type": "array", "items": {"type": "string"}},
    },
}

CREATOR_ID: Schema = {
    "oneOf": [
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["type", "value"],
            "properties": {
                "type": {"type": "string", "enum": ["unverified"]},
                "value": {"type": "string"},
            },
        },
        {"type": "string"},
    ]
}

IPFS_SPEC: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "nftMetadataTemplate": {"type": "string", "enum": ["file", "player"]},
        "nftMetadata": {"type": "object"},
    },
}

STORAGE: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "ipfs": {
            "oneOf": [
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"spec": {"oneOf": [{"type": "null"}, IPFS_SPEC]}},
                },
                {"type": "boolean"},
                {"type": "null"},
            ]
        }
    },
}

PROFILE: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["bitrate"],
    "properties": {
        "width": {"type": "integer", "minimum": 128},
        "name": {"type": "string", "minLength": 1, "maxLength": 500},
        "height": {"type": "integer", "minimum": 128},
        "bitrate": {"type": "integer", "minimum": 400},
        "quality": {"type": "integer", "minimum": 0, "maximum": 44},
        "fps": {"type": "integer", "minimum": 0},
        "fpsDen": {"type": "integer", "minimum": 1},
        "gop": {"type": "string"},
        "profile": {
            "type": "string",
            "enum": ["H264Baseline", "H264Main", "H264High", "H264ConstrainedHigh"],
        },
        "encoder": {"type": "string", "enum": ["H.264", "HEVC", "VP8", "VP9"]},
    },
}

NEW_ASSET: Schema = {
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "staticMp4": {"type": "boolean"},
        "playbackPolicy": PLAYBACK_POLICY,
        "creatorId": CREATOR_ID,
        "storage": STORAGE,
        "objectStoreId": {"type": "string"},
        "catalystPipelineStrategy": {"type": "string"},
        "encryption": {
            "type": "object",
            "additionalProperties": False,
            "required": ["encryptedKey"],
            "properties": {"encryptedKey": {"type": "string"}},
        },
        "c2pa": {"type": "boolean"},
        "profiles": {"type": ["array", "null"], "items": PROFILE},
        "targetSegmentSizeSecs": {"type": "number"},
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

ASSET_PATCH: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "creatorId": CREATOR_ID,
        "playbackPolicy": PLAYBACK_POLICY,
        "storage": STORAGE,
    },
}


Schema = dict[str, Any]
Finding = dict[str, Any]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_NAMES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
}

# Keyword: how a number or a length is compared with the limit, and how ajv writes that.
_LIMITS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "minimum": (lambda value, limit: value >= limit, ">="),
    "maximum": (lambda value, limit: value <= limit, "<="),
}
_LENGTHS: dict[str, tuple[Callable[[int, int], bool], str]] = {
    "minLength": (lambda length, limit: length >= limit, "fewer"),
    "maxLength": (lambda length, limit: length <= limit, "more"),
}


def validate(value: Any, schema: Schema) -> list[str]:
    """Return what is wrong: nothing, one finding, or all branches of a oneOf.

    Each is a JSON object as a string, the way Studio puts it into `errors`.
    """
    findings = _check(value, schema, "", "#")
    return [msgspec.json.encode(finding).decode() for finding in findings]


def _check(value: Any, schema: Schema, where: str, rule: str) -> list[Finding]:
    for keyword_check in (_check_type, _check_scalar, _check_one_of, _check_array, _check_object):
        for findings in keyword_check(value, schema, where, rule):
            if findings:
                return findings
    return []


def _check_type(value: Any, schema: Schema, where: str, rule: str) -> Iterator[list[Finding]]:
    wanted = schema.get("type")
    if wanted is None:
        return
    names = [wanted] if isinstance(wanted, str) else wanted
    if not any(_NAMES[name](value) for name in names):
        message = f"must be {','.join(names)}"
        yield [_find(where, f"{rule}/type", "type", {"type": wanted}, message)]


def _check_scalar(value: Any, schema: Schema, where: str, rule: str) -> Iterator[list[Finding]]:
    for keyword, (is_within, sign) in _LIMITS.items():
        limit = schema.get(keyword)
        if limit is not None and _is_number(value) and not is_within(value, limit):
            params = {"comparison": sign, "limit": limit}
            yield [_find(where, f"{rule}/{keyword}", keyword, params, f"must be {sign} {limit}")]
    for keyword, (is_fine, word) in _LENGTHS.items():
        limit = schema.get(keyword)
        if limit is not None and isinstance(value, str) and not is_fine(len(value), limit):
            message = f"must NOT have {word} than {limit} characters"
            yield [_find(where, f"{rule}/{keyword}", keyword, {"limit": limit}, message)]
    pattern = schema.get("pattern")
    if pattern is not None and isinstance(value, str) and not re.search(pattern, value):
        message = f'must match pattern "{pattern}"'
        yield [_find(where, f"{rule}/pattern", "pattern", {"pattern": pattern}, message)]
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        message = "must be equal to one of the allowed values"
        yield [_find(where, f"{rule}/enum", "enum", {"allowedValues": allowed}, message)]


def _check_one_of(value: Any, schema: Schema, where: str, rule: str) -> Iterator[list[Finding]]:
    branches = schema.get("oneOf")
    if branches is None:
        return
    found = [
        _check(value, branch, where, f"{rule}/oneOf/{number}")
        for number, branch in enumerate(branches)
    ]
    passing = [number for number, findings in enumerate(found) if not findings]
    if len(passing) != 1:
        params = {"passingSchemas": passing or None}
        message = "must match exactly one schema in oneOf"
        last = _find(where, f"{rule}/oneOf", "oneOf", params, message)
        yield [*(finding for findings in found for finding in findings), last]


def _check_array(value: Any, schema: Schema, where: str, rule: str) -> Iterator[list[Finding]]:
    if isinstance(value, list) and "items" in schema:
        elements: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - any JSON array
        for number, element in enumerate(elements):
            yield _check(element, schema["items"], f"{where}/{number}", f"{rule}/items")


def _check_object(value: Any, schema: Schema, where: str, rule: str) -> Iterator[list[Finding]]:
    if not isinstance(value, dict):
        return
    fields: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType] - any JSON object
    properties: dict[str, Schema] = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in fields:
            message = f"must have required property '{name}'"
            params = {"missingProperty": name}
            yield [_find(where, f"{rule}/required", "required", params, message)]
    if schema.get("additionalProperties") is False:
        yield [_refuse_field(name, where, rule) for name in fields if name not in properties][:1]
    for name, inner in properties.items():
        if name in fields:
            yield _check(fields[name], inner, f"{where}/{name}", f"{rule}/properties/{name}")


def _refuse_field(name: str, where: str, rule: str) -> Finding:
    params = {"additionalProperty": name}
    message = "must NOT have additional properties"
    return _find(where, f"{rule}/additionalProperties", "additionalProperties", params, message)


def _find(where: str, rule: str, keyword: str, params: Finding, message: str) -> Finding:
    return {
        "instancePath": where,
        "schemaPath": rule,
        "keyword": keyword,
        "params": params,
        "message": message,
    }
