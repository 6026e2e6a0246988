import pytest

from livepeer_async.api import arguments
from livepeer_async.api.arguments import (
    as_import,
    as_new_asset,
    as_new_webhook,
    as_patch,
    as_webhook_patch,
    given_name,
)
from livepeer_async.errors import ConfigurationError
from livepeer_async.models import (
    AssetPatch,
    CreatorId,
    Encryption,
    NewAsset,
    NewAssetFromUrl,
    NewIpfs,
    NewStorage,
    NewWebhook,
    PlaybackPolicy,
    PolicyType,
    TranscodeProfile,
    WebhookPatch,
)

URL = "https://files.example/2024/A%20talk.mp4?signature=secret"
JWT = PlaybackPolicy(type="jwt")
WEBHOOK = {"type": "webhook", "webhook_id": "w1", "webhook_context": {"some_key": 1}}
POLICY = PlaybackPolicy(type="webhook", webhook_id="w1", webhook_context={"some_key": 1})


@pytest.mark.parametrize(
    "value",
    [
        NewAsset("a", creator_id="user-7"),
        NewAsset("a", playback_policy=None, profiles=[TranscodeProfile(bitrate=500)]),
        NewAsset("a", storage=NewStorage(ipfs=NewIpfs()), encryption=Encryption(encrypted_key="k")),
        NewAsset("a", playback_policy=PlaybackPolicy(type=PolicyType.JWT)),
    ],
)
def test_struct_is_used_as_it_is(value):
    assert as_new_asset(value) is value


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("a", NewAsset("a")),
        ({"name": "a"}, NewAsset("a")),
        ({"name": "a", "playbackPolicy": {"type": "jwt"}}, NewAsset("a", playback_policy=JWT)),
        ({"name": "a", "playback_policy": JWT}, NewAsset("a", playback_policy=JWT)),
        ({"name": "a", "playback_policy": None}, NewAsset("a", playback_policy=None)),
        ({"name": "a", "playback_policy": WEBHOOK}, NewAsset("a", playback_policy=POLICY)),
        (NewAsset("a", playback_policy=WEBHOOK), NewAsset("a", playback_policy=POLICY)),
        (NewAsset("a", creator_id={"value": "u"}), NewAsset("a", creator_id=CreatorId(value="u"))),
        (
            NewAsset("a", profiles=({"fps_den": 1, "bitrate": 500},)),
            NewAsset("a", profiles=[TranscodeProfile(fps_den=1, bitrate=500)]),
        ),
    ],
)
def test_mapping_stands_for_its_struct_at_every_depth(value, wanted):
    assert as_new_asset(value) == wanted


def test_default_name_is_used_if_there_is_no_name():
    assert as_new_asset(None, default_name="d") == NewAsset("d")
    assert as_new_asset({"c2pa": True}, default_name="d") == NewAsset("d", c2pa=True)
    assert as_new_asset({"name": "a"}, default_name="d") == NewAsset("a")


INVALID = {
    "number": (7, "new_asset is a int; wanted a NewAsset, a mapping of its fields, or a name"),
    "nothing": (None, "new_asset is a NoneType"),
    "other Struct": (AssetPatch(name="a"), "new_asset is a AssetPatch"),
    "no name": ({"c2pa": True}, "new_asset: object missing required field name"),
    "wrong type": (NewAsset(name=5), "new_asset: name: expected str, got int"),
    "text as a policy": (
        NewAsset("a", playback_policy="public"),
        "new_asset: playbackPolicy: expected object",
    ),
    "refused null": (NewAsset("a", creator_id=None), "new_asset: creatorId: expected"),
    "unknown field": ({"name": "a", "playbackPolcy": None}, "did you mean playbackPolicy?"),
    "unknown field inside": (
        {"name": "a", "playback_policy": {"webhook": "w"}},
        r"unknown field 'playbackPolicy\.webhook'; did you mean webhookId",
    ),
    "unknown field in a list": (
        {"name": "a", "profiles": [{"bitrate": 500}, {"widht": 1}]},
        r"unknown field 'profiles\[1\]\.widht'; did you mean width",
    ),
    "field that isn't text": ({"name": "a", 7: 1}, "unknown field '7'"),
    "both names": (
        {"name": "a", "static_mp4": True, "staticMp4": False},
        "staticMp4 is given twice; wanted once",
    ),
    "no JSON": (
        NewAsset("a", playback_policy=PlaybackPolicy(webhook_context={"a": object()})),
        "new_asset can't be written as JSON",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_argument_names_its_field(case):
    value, message = INVALID[case]
    with pytest.raises(ConfigurationError, match=message):
        as_new_asset(value)


def test_message_about_an_unknown_name_is_short_and_secret_free():
    message = arguments.unknown_name("field", "z" * 1000, ["a"])
    assert len(message) < 120
    assert "secret" not in arguments.unknown_name("field", URL, ["a"])


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "A talk.mp4"),
        ("https://files.example/shows/", "shows"),
        ("https://files.example", "files.example"),
        ("ipfs://bafybeig/talk.mp4", "talk.mp4"),
        ("", "untitled"),
        ("https://[", "untitled"),
    ],
)
def test_import_is_named_after_its_url(url, name):
    assert as_import(url, None) == NewAssetFromUrl(name, url=url)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("a", NewAssetFromUrl("a", url=URL)),
        (NewAsset("a", playback_policy=JWT), NewAssetFromUrl("a", url=URL, playback_policy=JWT)),
        (NewAssetFromUrl("a", url=URL), NewAssetFromUrl("a", url=URL)),
        ({"playback_policy": JWT}, NewAssetFromUrl("A talk.mp4", url=URL, playback_policy=JWT)),
        ({"name": "a", "url": URL}, NewAssetFromUrl("a", url=URL)),
    ],
)
def test_import_takes_what_an_upload_takes(value, wanted):
    assert as_import(URL, value) == wanted


@pytest.mark.parametrize("value", [NewAssetFromUrl("a", url="b"), {"name": "a", "url": "b"}])
def test_other_url_in_the_fields_is_rejected(value):
    with pytest.raises(ConfigurationError, match=r"has another one, .*wanted one URL") as caught:
        as_import(URL, value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a", "a"),
        (NewAsset("a"), "a"),
        ({"name": "a"}, "a"),
        ({"name": 7}, None),
        ({}, None),
        (None, None),
        ("a" * 1000, "a" * 60),
    ],
)
def test_name_is_found_in_any_argument(value, name):
    assert given_name(value) == name


def test_import_of_no_text_is_rejected():
    with pytest.raises(ConfigurationError, match="url is a int"):
        as_import(7, None)


def test_patch_is_a_struct_or_a_mapping():
    patch = AssetPatch(playback_policy=None)
    assert as_patch(patch) is patch
    assert as_patch({"playback_policy": None}) == patch
    assert as_patch({"creatorId": "u"}) == AssetPatch(creator_id="u")
    for value in ("a", NewAsset("a"), None):
        with pytest.raises(ConfigurationError, match="wanted an AssetPatch, or a mapping"):
            as_patch(value)
    with pytest.raises(ConfigurationError, match="patch: unknown field 'nam'"):
        as_patch({"nam": "a"})


NEW_WEBHOOK = NewWebhook(name="app", url="https://a.example", events=["asset.ready"])


def test_webhook_is_a_struct_or_a_mapping():
    assert as_new_webhook(NEW_WEBHOOK) is NEW_WEBHOOK
    fields = {"name": "app", "url": "https://a.example", "events": ["asset.ready"]}
    assert as_new_webhook(fields) == NEW_WEBHOOK
    assert as_new_webhook({**fields, "sharedSecret": "s"}).shared_secret == "s"
    assert as_webhook_patch({"shared_secret": "s"}) == WebhookPatch(shared_secret="s")
    assert as_webhook_patch(NEW_WEBHOOK) == WebhookPatch(**fields)
    assert as_webhook_patch(WebhookPatch()) == WebhookPatch()


@pytest.mark.parametrize("value", ["app", None, 5, ["a"]])
def test_other_webhook_is_refused(value):
    with pytest.raises(ConfigurationError, match=r"NewWebhook, or a mapping of its fields$"):
        as_new_webhook(value)
    with pytest.raises(ConfigurationError, match=r"WebhookPatch, or a mapping of its fields$"):
        as_webhook_patch(value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"events": None}, "events: expected"),
        ({"events": "asset.ready"}, "events: expected"),
        ({"secret": "s3cret"}, "unknown field 'secret'; did you mean sharedSecret"),
        ({"shared_secret": ["s3cret"]}, "sharedSecret: expected"),
    ],
)
def test_wrong_field_of_a_webhook_is_named(fields, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        as_new_webhook({"name": "app", "url": "u", "events": [], **fields})
    assert "s3cret" not in str(caught.value)


def test_missing_field_of_a_webhook_is_named():
    with pytest.raises(ConfigurationError, match="missing required field events"):
        as_new_webhook({"name": "app", "url": "u"})
