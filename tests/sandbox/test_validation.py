"""Findings in the words of ajv that no recorded response shows."""

import json

import pytest

from livepeer_async.sandbox.validation import NEW_ASSET, validate


def check(value, schema):
    return [
        (found["instancePath"], found["keyword"], found["message"])
        for found in map(json.loads, validate(value, schema))
    ]


def profile(**fields):
    return {"name": "a", "profiles": [{"bitrate": 400}, {"bitrate": 1000, **fields}]}


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        (profile(fps=1.5), ("/profiles/1/fps", "type", "must be integer")),
        (profile(fps=True), ("/profiles/1/fps", "type", "must be integer")),
        ({"name": "a", "profiles": "x"}, ("/profiles", "type", "must be array,null")),
        ({"name": "a", "playbackPolicy": 1}, ("/playbackPolicy", "type", "must be object,null")),
        (
            {"name": "a", "playbackPolicy": {"type": "jwt", "allowedOrigins": [1]}},
            ("/playbackPolicy/allowedOrigins/0", "type", "must be string"),
        ),
    ],
)
def test_one_finding_is_reported(value, finding):
    assert check(value, NEW_ASSET) == [finding]


@pytest.mark.parametrize(
    "value",
    [
        {"name": "a"},
        [],
        profile(fps=30.0, profile="H264Main"),
        {"name": "a", "targetSegmentSizeSecs": 2.5},
        {"name": "a", "storage": {"ipfs": {"spec": None}}},
        {"name": "a", "storage": {"ipfs": {"spec": {"nftMetadataTemplate": "player"}}}},
    ],
)
def test_valid_payload_has_no_findings(value):
    assert check(value, NEW_ASSET) == []


def test_passing_branches_are_named():
    schema = {"oneOf": [{"type": "string"}, {"enum": ["x"]}, {"type": "null"}]}
    last = json.loads(validate("x", schema)[-1])
    assert last["params"] == {"passingSchemas": [0, 1]}
