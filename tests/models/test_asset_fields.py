import json

import msgspec
import pytest

from livepeer_async.models import Asset, PlaybackPolicy, PolicyType
from support.samples import decode


def test_public_policy_is_public():
    assert PlaybackPolicy(type=PolicyType.PUBLIC).is_public
    assert decode('{"type": "public"}', PlaybackPolicy).is_public


@pytest.mark.parametrize(
    "kind", ["jwt", "webhook", "lit_signing_condition", "vault", "Public", " public", ""]
)
def test_other_policy_keeps_its_type_and_is_not_public(kind):
    asset = decode(json.dumps({"id": "a", "playbackPolicy": {"type": kind}}), Asset)
    assert asset.playback_policy.type == kind
    assert not asset.playback_policy.is_public


@pytest.mark.parametrize("policy", ["{}", '{"type": null}', '{"webhookId": "w"}'])
def test_policy_without_a_type_is_neither_public_nor_unset(policy):
    asset = decode(f'{{"id": "a", "playbackPolicy": {policy}}}', Asset)
    assert asset.playback_policy is not None
    assert asset.playback_policy.type is None
    assert not asset.playback_policy.is_public


def test_policy_encodes_only_set_fields():
    policy = PlaybackPolicy(type=PolicyType.WEBHOOK, webhook_id="w", webhook_context={})
    assert json.loads(msgspec.json.encode(policy)) == {
        "type": "webhook",
        "webhookId": "w",
        "webhookContext": {},
    }
