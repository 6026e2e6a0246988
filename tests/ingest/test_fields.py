"""Fields of a row."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.ingest.fields import read_row
from livepeer_async.ingest.lines import parse_object
from livepeer_async.ingest.rows import Row, RowError
from livepeer_async.models import CreatorId, NewAsset, NewStorage, PlaybackPolicy, TranscodeProfile
from support.strategies import any_text

URL = "https://files.example/a/talk%20one.mp4?sig=s3cret"


def read(**fields):
    return read_row(fields, name_file=lambda path: f"<{path}>", manifest="m", line=3)


def test_path_alone_has_no_new_asset():
    row = Row(source="a.mp4", is_url=False, key="a.mp4", manifest="m", line=3)
    assert read(path="a.mp4") == read(source="a.mp4") == row
    assert row.location == "m:3"


def test_url_alone_gives_key_and_name():
    row = read(url=URL)
    assert row == read(source=URL)
    assert (row.is_url, row.source, row.key) == (True, URL, URL)
    assert row.new_asset == NewAsset("talk one.mp4")


def test_repr_hides_the_query_of_a_url():
    assert "s3cret" not in repr(read(url=URL))
    assert "talk" in repr(read(url=URL))


def test_key_is_kept():
    assert read(path="a.mp4", key="job 1") == Row(
        source="a.mp4", is_url=False, key="job 1", manifest="m", line=3
    )


def test_fields_in_camel_case_and_snake_case():
    wanted = NewAsset("<a.mp4>", static_mp4=True, creator_id="u", target_segment_size_secs=2)
    camel = read(path="a.mp4", staticMp4=True, creatorId="u", targetSegmentSizeSecs=2)
    snake = read(path="a.mp4", static_mp4=True, creator_id="u", target_segment_size_secs=2)
    assert camel.new_asset == snake.new_asset == wanted


def test_objects_become_structs():
    row = read(
        path="a.mp4",
        name="A",
        playbackPolicy={"type": "webhook", "webhookId": "w", "webhookContext": {"any": [1]}},
        creatorId={"value": "u"},
        storage={"ipfs": True},
        profiles=[{"bitrate": 1000, "name": "720p"}],
    )
    assert row.new_asset == NewAsset(
        "A",
        playback_policy=PlaybackPolicy(
            type="webhook", webhook_id="w", webhook_context={"any": [1]}
        ),
        creator_id=CreatorId(value="u"),
        storage=NewStorage(ipfs=True),
        profiles=[TranscodeProfile(bitrate=1000, name="720p")],
    )


def test_null_is_kept_as_none():
    assert read(path="a.mp4", playbackPolicy=None).new_asset.playback_policy is None


BAD = {
    "no source": ({"key": "k"}, "names nothing to upload; wanted one of path, url and source"),
    "two sources": ({"path": "a", "url": URL}, "names path and url; wanted one of"),
    "unknown field": ({"path": "a", "playbackPolcy": {}}, "did you mean playbackPolicy?"),
    "field without similar names": (
        {"path": "a", "zzz": 1},
        "unknown field 'zzz'; known are path, url, source",
    ),
    "two unknown fields": (
        {"file": "a", "titel": 1},
        r"unknown fields 'file' \(did you mean path\?\), 'titel'",
    ),
    "huge field": ({"path": "a", "z" * 10_000: 1}, "unknown field 'z{60}…'"),
    "field by two names": ({"path": "a", "staticMp4": True, "static_mp4": True}, "twice"),
    "empty path": ({"path": ""}, "path is empty"),
    "path of a number": ({"path": 7}, "path is a number; wanted text"),
    "path of null": ({"path": None}, "path is null; wanted text"),
    "key of an object": ({"path": "a", "key": {}}, "key is an object; wanted text"),
    "empty key": ({"path": "a", "key": ""}, "key is empty"),
    "NUL in the path": ({"path": "a\0b"}, "path contains a NUL byte"),
    "NUL in the key": ({"path": "a", "key": "a\0b"}, "key contains a NUL byte"),
    "URL as path": ({"path": URL}, "path is the URL https://files.example/a/talk%20one.mp4;"),
    "unusable URL as path": (
        {"path": "ftp://x/y.mp4"},
        "path is the URL ftp://x/y.mp4; wanted a path, or an http or https URL in url",
    ),
    "path as url": ({"url": "a.mp4"}, "url has no scheme; wanted an http or https URL"),
    "another scheme": ({"source": "s3://b/a.mp4"}, "source has the scheme s3; wanted an http"),
    "no host": ({"url": "https:///a.mp4"}, "url has no host, or an invalid port; wanted"),
    "space in the URL": ({"url": "https://h/a b"}, "url contains a space; wanted an http or"),
    "bad port": ({"url": "https://h:99999/a"}, "wanted an http"),
    "half an IPv6 address": ({"url": "https://[::1/a"}, "wanted an http"),
    "text instead of a boolean": (
        {"path": "a", "staticMp4": "yes"},
        "staticMp4: expected bool, got str",
    ),
    "null that the server rejects": ({"path": "a", "c2pa": None}, "c2pa: expected bool, got null"),
    "nested type": (
        {"path": "a", "profiles": [{"bitrate": "1"}]},
        r"profiles\[0\].bitrate: expected int, got str",
    ),
    "missing nested field": (
        {"path": "a", "profiles": [{}]},
        r"profiles\[0\]: object missing required",
    ),
    "unknown nested field": (
        {"path": "a", "playbackPolicy": {"type": "webhook", "webhookID": "w"}},
        "unknown field 'playbackPolicy.webhookID'; did you mean webhookId",
    ),
    "unknown field in a list": (
        {"path": "a", "profiles": [{"bitrate": 1}, {"bitrate": 1, "widht": 9}]},
        r"unknown field 'profiles\[1\].widht'; did you mean width",
    ),
    "unknown field, deep": (
        {"path": "a", "storage": {"ipfs": {"spec": {"nftMetadat": {}}}}},
        "unknown field 'storage.ipfs.spec.nftMetadat'",
    ),
}


@pytest.mark.parametrize("row", BAD)
def test_bad_row_has_a_message(row):
    fields, message = BAD[row]
    with pytest.raises(RowError, match=message) as caught:
        read(**fields)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | any_text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(any_text(max_size=3), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["path", "url", "source", "key", "name", "storage", "profiles", "creatorId"]
)


@given(st.dictionaries(NAMES | any_text(max_size=4), JSON))
def test_any_object_is_a_row_or_an_error(fields):
    try:
        row = read(**fields)
    except RowError as error:
        assert str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert row.source
        assert row.key


NEW_ASSETS = st.builds(
    NewAsset,
    any_text(),
    static_mp4=st.booleans(),
    creator_id=any_text() | st.builds(CreatorId, value=any_text()),
    playback_policy=st.none() | st.builds(PlaybackPolicy, type=any_text(), webhook_id=any_text()),
    profiles=st.lists(st.builds(TranscodeProfile, bitrate=st.integers(1, 9), name=any_text())),
)


@given(NEW_ASSETS)
def test_json_round_trip(new_asset):
    line = msgspec.json.encode({"path": "a", **msgspec.to_builtins(new_asset)})
    assert read(**parse_object(line.decode())).new_asset == new_asset
