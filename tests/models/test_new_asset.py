import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from livepeer_async.models import (
    AssetPatch,
    CreatorId,
    Encryption,
    IpfsSpec,
    NewAsset,
    NewAssetFromUrl,
    NewIpfs,
    NewStorage,
    PlaybackPolicy,
    PolicyType,
    TranscodeProfile,
)

PROFILE = TranscodeProfile(
    name="360p",
    width=640,
    height=360,
    bitrate=800000,
    fps=30,
    fps_den=1,
    quality=23,
    gop="2.0",
    profile="H264Baseline",
    encoder="H.264",
)


def sent(request: Any) -> Any:
    return json.loads(msgspec.json.encode(request))


def test_only_the_name_is_required():
    assert sent(NewAsset("talk.mp4")) == {"name": "talk.mp4"}
    assert NewAsset("talk.mp4") == NewAsset(name="talk.mp4")


def test_other_fields_are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        NewAsset("talk.mp4", True)  # type: ignore[call-arg]  # noqa: FBT003 - refused
    with pytest.raises(TypeError, match="positional"):
        NewAssetFromUrl("talk.mp4", "https://origin.example/talk.mp4")  # type: ignore[call-arg]


def test_request_is_immutable():
    with pytest.raises(AttributeError):
        NewAsset("talk.mp4").name = "x"  # type: ignore[misc]


def test_full_request_matches_the_recorded_one():
    request = NewAsset(
        "full.mp4",
        static_mp4=True,
        playback_policy=PlaybackPolicy(type=PolicyType.PUBLIC),
        creator_id=CreatorId(value="creator-1"),
        storage=NewStorage(ipfs=True),
        profiles=[PROFILE],
        target_segment_size_secs=6,
        c2pa=False,
    )
    # Transcript 1.2.
    assert sent(request) == {
        "name": "full.mp4",
        "staticMp4": True,
        "playbackPolicy": {"type": "public"},
        "creatorId": {"type": "unverified", "value": "creator-1"},
        "storage": {"ipfs": True},
        "profiles": [
            {
                "name": "360p",
                "width": 640,
                "height": 360,
                "bitrate": 800000,
                "fps": 30,
                "fpsDen": 1,
                "quality": 23,
                "gop": "2.0",
                "profile": "H264Baseline",
                "encoder": "H.264",
            }
        ],
        "targetSegmentSizeSecs": 6,
        "c2pa": False,
    }


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (NewAsset("a", playback_policy=None), {"name": "a", "playbackPolicy": None}),
        (NewAsset("a", profiles=None), {"name": "a", "profiles": None}),
        (NewAsset("a", creator_id="c"), {"name": "a", "creatorId": "c"}),
        (NewAsset("a", profiles=()), {"name": "a", "profiles": []}),
        (NewAsset("a", storage=NewStorage()), {"name": "a", "storage": {}}),
        (NewAsset("a", storage=NewStorage(ipfs=None)), {"name": "a", "storage": {"ipfs": None}}),
        (NewAsset("a", storage=NewStorage(ipfs=False)), {"name": "a", "storage": {"ipfs": False}}),
        (
            NewAsset("a", storage=NewStorage(ipfs=NewIpfs())),
            {"name": "a", "storage": {"ipfs": {}}},
        ),
        (
            NewAsset("a", storage=NewStorage(ipfs=NewIpfs(spec=None))),
            {"name": "a", "storage": {"ipfs": {"spec": None}}},
        ),
        (
            NewAsset("a", storage=NewStorage(ipfs=NewIpfs(spec=IpfsSpec(nft_metadata={"a": 1})))),
            {"name": "a", "storage": {"ipfs": {"spec": {"nftMetadata": {"a": 1}}}}},
        ),
        (
            NewAsset(
                "a",
                encryption=Encryption(encrypted_key="aGVsbG8="),
                playback_policy=PlaybackPolicy(type="jwt"),
            ),
            {
                "name": "a",
                "encryption": {"encryptedKey": "aGVsbG8="},
                "playbackPolicy": {"type": "jwt"},
            },
        ),
        (AssetPatch(), {}),
        (AssetPatch(name="b"), {"name": "b"}),
        (AssetPatch(playback_policy=None), {"playbackPolicy": None}),
        (AssetPatch(creator_id="c"), {"creatorId": "c"}),
        (AssetPatch(storage=NewStorage(ipfs=True)), {"storage": {"ipfs": True}}),
    ],
)
def test_unset_is_not_sent_and_none_is_null(request_, body):
    assert sent(request_) == body
    assert sent(msgspec.json.decode(msgspec.json.encode(request_), type=type(request_))) == body


def test_unset_and_none_survive_a_round_trip():
    request = NewAsset("a", playback_policy=None, storage=NewStorage(ipfs=None))
    again = msgspec.json.decode(msgspec.json.encode(request), type=NewAsset)
    assert again == request
    assert again.profiles is UNSET


@pytest.mark.parametrize("profiles", [[PROFILE], (PROFILE,)])
def test_profiles_may_be_a_list_or_a_tuple(profiles):
    assert len(sent(NewAsset("a", profiles=profiles))["profiles"]) == 1


def test_profile_encodes_only_set_fields():
    assert sent(TranscodeProfile(bitrate=1000)) == {"bitrate": 1000}


def test_creator_id_always_sends_its_type():
    assert sent(CreatorId(value="c")) == {"type": "unverified", "value": "c"}


def test_import_has_the_values_of_the_upload_and_a_url():
    new_asset = NewAsset(
        "talk.mp4", creator_id="c", playback_policy=None, c2pa=True, profiles=[PROFILE]
    )
    request = NewAssetFromUrl.from_new_asset(new_asset, url="ipfs://bafy1")
    assert sent(request) == sent(new_asset) | {"url": "ipfs://bafy1"}


def test_import_has_every_field_of_the_upload():
    assert set(NewAssetFromUrl.__struct_fields__) == {*NewAsset.__struct_fields__, "url"}
