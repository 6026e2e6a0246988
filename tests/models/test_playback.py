import json

import pytest

from livepeer_async.models import Asset, DvrPlayback, PlaybackInfo, PlaybackType, SignatureType
from support.samples import decode

LIVE = {
    "type": "live",
    "meta": {
        "live": 1.0,
        "source": [{"url": "https://host.example/index.m3u8"}],
        "dvrPlayback": [{"hrn": "HLS (TS)", "error": "not yet"}],
        "attestation": {
            "id": "a1",
            "primaryType": "VideoAttestation",
            "domain": {"name": "Verifiable Video", "version": "1"},
            "message": {
                "video": "v",
                "attestations": [{"role": "creator", "address": "0x1"}],
                "signer": "0x2",
                "timestamp": 1587667174725.0,
            },
            "signature": "0x3",
            "createdAt": 1587667174725,
            "signatureType": "eip712",
            "storage": {
                "ipfs": {"cid": "bafy1", "updatedAt": 1587667174725},
                "status": {"phase": "ready", "tasks": {"last": "t1"}},
            },
        },
    },
}


def test_live_playback_has_dvr_and_attestation():
    info: PlaybackInfo = decode(json.dumps(LIVE), PlaybackInfo)
    assert info.type == PlaybackType.LIVE
    assert info.meta.live == 1
    assert info.meta.dvr_playback == (DvrPlayback(hrn="HLS (TS)", error="not yet"),)
    attestation = info.meta.attestation
    assert attestation is not None
    assert attestation.signature_type == SignatureType.EIP712
    assert attestation.message is not None
    assert type(attestation.message.timestamp) is int
    assert attestation.message.attestations is not None
    assert attestation.message.attestations[0].role == "creator"
    assert attestation.storage is not None
    assert attestation.storage.ipfs is not None
    assert attestation.storage.ipfs.cid == "bafy1"


def test_incomplete_attestation_decodes():
    text = '{"meta": {"source": [{"url": "u"}], "attestation": {"signature": "0x3"}}}'
    meta = decode(text, PlaybackInfo).meta
    assert meta.source[0].url == "u"
    assert meta.attestation.message is None


def test_playback_without_policy_has_none():
    assert decode('{"meta": {"source": []}}', PlaybackInfo).meta.playback_policy is None


def test_public_asset_has_a_player():
    player = "https://lvpr.tv/?v=a%2Fb"
    assert decode('{"id": "1", "playbackId": "a/b"}', Asset).player_url == player
    public = '{"id": "1", "playbackId": "a/b", "playbackPolicy": {"type": "public"}}'
    assert decode(public, Asset).player_url == player


@pytest.mark.parametrize("policy", [{"type": "jwt"}, {"type": "webhook"}, {"type": "new"}, {}])
def test_private_asset_has_no_player(policy):
    text = json.dumps({"id": "1", "playbackId": "p1", "playbackPolicy": policy})
    assert decode(text, Asset).player_url is None
    assert decode('{"id": "1"}', Asset).player_url is None
