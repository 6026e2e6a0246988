"""The schemas of the requests that carry a JSON body, from the server's OpenAPI description.

`lit_signing_condition`, `objectStoreId` and `catalystPipelineStrategy` are the server's own and
stand in no published schema; the recorded answers show them.
"""

from typing import Any

Schema = dict[str, Any]

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
