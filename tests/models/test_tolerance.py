"""Responses decode with missing, null, unknown and differently written values."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async import models
from livepeer_async.models import Asset, AssetPhase, PlaybackInfo, Task, UploadTicket
from models.full_asset import FULL_ASSET, REQUIRED
from support.samples import INDEX, decode, read_text
from support.strategies import any_text

Path = tuple[str, ...]

# Any JSON under names that the API doesn't use.
UNKNOWN_KEYS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    any_text(min_size=1, max_size=3).map(lambda text: f"x-{text}"),
    st.sampled_from([None, True, -1, 2**70, 0.5, "", "é\0", [], {}, [[{"id": None}]]]),
    max_size=2,
)


@st.composite
def mutated(draw: st.DrawFn, value: Any = FULL_ASSET, path: Path = ()) -> Any:
    """Draw the value with keys dropped, set to null or added; required keys stay."""
    if isinstance(value, list):
        return [draw(mutated(item, path)) for item in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, item in value.items():
        inner = (*path, key)
        action = "keep" if inner in REQUIRED else draw(st.sampled_from(["keep", "drop", "null"]))
        if action != "drop":
            kept[key] = draw(mutated(item, inner)) if action == "keep" else None
    return kept | draw(UNKNOWN_KEYS)


@given(mutated())
def test_asset_decodes_if_it_has_an_id(document):
    assert decode(json.dumps(document), Asset).id == FULL_ASSET["id"]


@given(st.sets(st.sampled_from(sorted(FULL_ASSET.keys() - {"id"}))))
def test_missing_fields_are_none(dropped):
    document = {key: value for key, value in FULL_ASSET.items() if key not in dropped}
    asset = decode(json.dumps(document), Asset)
    absent = {
        wire_name
        for wire_name, name in zip(
            Asset.__struct_encode_fields__, Asset.__struct_fields__, strict=True
        )
        if getattr(asset, name) == ("" if name == "playback_id" else None)
    }
    assert absent == dropped


def test_full_asset_fills_every_field():
    assert json.loads(msgspec.json.encode(decode(json.dumps(FULL_ASSET), Asset))) == FULL_ASSET
    assert FULL_ASSET.keys() == set(Asset.__struct_encode_fields__)


def test_asset_with_only_an_id_decodes():
    asset = decode('{"id": "a"}', Asset)
    assert asset == Asset(id="a")
    assert asset.phase is None


def paths_in(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path to every key of a document, except inside lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from paths_in(item, (*path, key))


@pytest.mark.parametrize("place", sorted(set(paths_in(FULL_ASSET)) - REQUIRED))
def test_null_is_none(place):
    document = json.loads(json.dumps(FULL_ASSET))
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = None
    assert decode(json.dumps(document), Asset).id == FULL_ASSET["id"]


@pytest.mark.parametrize(
    ("document", "struct", "path"),
    [
        ({"name": "x"}, Asset, "missing required field `id`"),
        ({"id": None}, Asset, "$.id"),
        ({"id": "a", "status": {}}, Asset, "$.status"),
        ({"id": "a", "size": "big"}, Asset, "$.size"),
        ({"id": "a", "size": 1.5}, Asset, "$.size"),
        ({"id": "a", "profiles": [{"name": "x"}]}, Asset, "$.profiles[0]"),
        ({"tusEndpoint": "https://a/b"}, UploadTicket, "missing required field `asset`"),
        ({"asset": {"id": "a"}}, UploadTicket, "missing required field `tusEndpoint`"),
        ({"type": "upload"}, Task, "missing required field `id`"),
        ({"type": "vod"}, PlaybackInfo, "missing required field `meta`"),
        ({"type": "vod", "meta": {"source": [{"hrn": "MP4"}]}}, PlaybackInfo, "$.meta.source[0]"),
    ],
)
def test_decode_error_names_the_path(document, struct, path):
    with pytest.raises(msgspec.ValidationError) as raised:
        decode(json.dumps(document), struct)
    assert path in str(raised.value)


def test_ticket_needs_no_direct_url_or_task():
    ticket = decode('{"tusEndpoint": "https://a/b", "asset": {"id": "a"}}', UploadTicket)
    assert (ticket.url, ticket.task) == (None, None)


def test_unknown_values_stay_strings():
    status = decode('{"id": "a", "status": {"phase": "sleeping"}}', Asset).status
    assert status.phase == "sleeping"
    assert status.phase not in list(AssetPhase)
    source = decode('{"id": "a", "source": {"type": "telepathy", "mind": 7}}', Asset).source
    assert source.type == "telepathy"


def test_known_values_equal_their_member():
    status = decode('{"id": "a", "status": {"phase": "ready"}}', Asset).status
    assert status.phase == AssetPhase.READY
    assert status.phase in {AssetPhase.READY, AssetPhase.FAILED}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1234567", 1234567),
        ("1234567.0", 1234567),
        ("1.5e3", 1500),
        ("0.0", 0),
        ("32212254720.0", 32212254720),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_bytes_and_milliseconds_are_int(text, value):
    asset = decode(f'{{"id": "a", "size": {text}, "createdAt": {text}}}', Asset)
    assert (asset.size, asset.created_at) == (value, value)
    assert (type(asset.size), type(asset.created_at)) == (int, int)


@pytest.mark.parametrize("text", ["0", "1", "0.37", "1e0"])
def test_progress_is_float(text):
    status = decode(f'{{"phase": "processing", "progress": {text}}}', models.AssetStatus)
    assert type(status.progress) is float


@pytest.mark.parametrize(("text", "value"), [('"2.0"', "2.0"), ("2", 2), ("0.5", 0.5)])
def test_gop_may_be_a_string_or_a_number(text, value):
    profile = decode(f'{{"bitrate": 1000, "gop": {text}}}', models.TranscodeProfile)
    assert profile.gop == value


@pytest.mark.parametrize("name", ["null", "true", "12", ""])
def test_lax_decoding_keeps_strings(name):
    assert decode(json.dumps({"id": "a", "name": name}), Asset).name == name


@pytest.mark.parametrize("name", [name for name in INDEX if not name.startswith("error_")])
def test_samples_decode_with_unknown_fields(name):
    struct = INDEX[name]["struct"]
    text = json.dumps(with_unknown_fields(json.loads(read_text(name))))
    if struct.startswith("list["):
        decode(text, list[getattr(models, struct[5:-1])])  # type: ignore[misc]
    else:
        decode(text, getattr(models, struct))


def with_unknown_fields(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {key: with_unknown_fields(item) for key, item in value.items()}
        return inner | {"inTenYears": {"deep": [1, None]}}
    return [with_unknown_fields(item) for item in value] if isinstance(value, list) else value
