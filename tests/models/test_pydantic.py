"""Structs as pydantic types: validation, encoding and JSON schemas."""

import dataclasses
import pprint
import re
import subprocess
import sys

import msgspec
import pydantic
import pytest
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder

from livepeer_async import Progress, models
from livepeer_async.models import (
    Asset,
    AssetPatch,
    AssetStatus,
    CreatorId,
    Encryption,
    NewAsset,
    NewAssetFromUrl,
    NewWebhook,
    PlaybackPolicy,
    TranscodeProfile,
    UploadTicket,
)
from livepeer_async.models.model import Model
from livepeer_async.uploads.leftovers import Leftover
from livepeer_async.webhooks import events
from support.web_client import TestClient

SECRET = "secret-e3b0c442"
# Older versions don't notice that a request of three levels has the same schema in both directions.
IS_OLD = tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 13)
INPUT, OUTPUT = ("-Input", "-Output") if IS_OLD else ("", "")
ASSET = Asset(
    id="1", name="talk", status=AssetStatus(phase="ready"), playback_policy=PlaybackPolicy(type="x")
)
STRUCTS = [
    it
    for module in (models, events)
    for it in vars(module).values()
    if isinstance(it, type) and issubclass(it, msgspec.Struct)
]


class Video(pydantic.BaseModel):
    title: str
    asset: NewAsset


app = FastAPI()


@app.post("/assets")
async def create(new_asset: NewAsset) -> NewAsset:
    return new_asset


@app.post("/videos")
async def create_video(video: Video) -> Video:
    return video


@app.patch("/assets")
async def patch(patch: AssetPatch | None = None) -> AssetPatch | None:
    return patch


@app.get("/assets")
async def list_assets() -> list[Asset]:
    return [ASSET]


@app.get("/short", response_model_exclude={"status"})
async def short() -> Asset:
    return ASSET


@app.post("/cached")
async def cached() -> Asset:
    return {"id": "1", "playbackId": None, "status": {"phase": "new"}, "unknown": 1}


@app.get("/plain")
async def plain():
    return {"asset": ASSET, "new": NewAsset("x")}


@app.post("/tickets")
async def ticket() -> UploadTicket | Progress:
    return UploadTicket(tus_endpoint="https://x/?token=1", asset=ASSET)


@pytest.fixture(scope="module")
def browser():
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def components(browser):
    return browser.get("/openapi.json").json()["components"]["schemas"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "x", "playbackPolicy": None},
        {"name": "x", "playbackPolicy": {"type": "a new one"}, "creatorId": "user"},
        {"name": "x", "profiles": [{"bitrate": 400, "gop": 2.0}], "storage": {"ipfs": True}},
        {"name": "x", "storage": {"ipfs": {"spec": {"nftMetadata": {"a": [1]}}}}},
        {"name": "x", "encryption": {"encryptedKey": SECRET}},
    ],
)
def test_body_is_decoded_and_encoded_as_msgspec_does(body, browser):
    wanted = msgspec.json.encode(msgspec.convert(body, NewAsset))
    assert browser.post("/assets", json=body).content == wanted
    video = browser.post("/videos", json={"title": "t", "asset": body})
    assert video.json()["asset"] == msgspec.json.decode(wanted)


def test_fields_may_have_the_names_of_the_struct(browser):
    body = {"name": "x", "playback_policy": {"allowed_origins": ["*"]}}
    assert browser.post("/assets", json=body).json() == {
        "name": "x",
        "playbackPolicy": {"allowedOrigins": ["*"]},
    }


def test_optional_body_may_be_missing(browser):
    assert browser.patch("/assets").json() is None
    assert browser.patch("/assets", json={"name": "y"}).json() == {"name": "y"}


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"missing": ["name"]}),
        ([], {"dict_type": []}),
        ({"name": 5}, {"string_type": ["name"]}),
        ({"name": "x", "playbackPolicy": {"type": 5}}, {"string_type": ["playbackPolicy", "type"]}),
        (
            {"name": "x", "profiles": [{"bitrate": 1}, {"bitrate": "a"}]},
            {"int_parsing": ["profiles", 1, "bitrate"]},
        ),
        ({"name": "x", "playbackpolicy": {"type": "jwt"}}, {"extra_forbidden": ["playbackpolicy"]}),
        (
            {"name": "x", "playbackPolicy": {"typ": "jwt"}},
            {"extra_forbidden": ["playbackPolicy", "typ"]},
        ),
        (
            {"name": "x", "profiles": [{"bitrate": 1, "high": 2}]},
            {"extra_forbidden": ["profiles", 0, "high"]},
        ),
        ({"name": "x", "storage": {"ifps": True}}, {"extra_forbidden": ["storage", "ifps"]}),
        (
            {"name": "x", "creatorId": {"type": "unverified"}},
            {"missing": ["creatorId", "CreatorId", "value"], "string_type": ["creatorId", "str"]},
        ),
    ],
)
def test_wrong_field_is_located(body, errors, browser):
    for path, sent, prefix in (
        ("/assets", body, ["body"]),
        ("/videos", {"title": "t", "asset": body}, ["body", "asset"]),
    ):
        response = browser.post(path, json=sent)
        found = {error["type"]: error["loc"] for error in response.json()["detail"]}
        assert (response.status_code, found) == (
            422,
            {kind: prefix + location for kind, location in errors.items()},
        )


@pytest.mark.parametrize(
    "body",
    [
        {"encryption": {"encryptedKey": SECRET}},
        {"name": "x", "encryption": {"encryptedKey": [SECRET]}},
        {"name": "x", "encryption": SECRET},
        {"name": "x", "encryptionKey": SECRET},
        {"name": "x", "playbackPolicy": {"webhookContext": SECRET}},
        {"name": "x", "creatorId": [SECRET]},
    ],
)
def test_errors_do_not_repeat_secrets(body, browser):
    response = browser.post("/assets", json=body)
    assert response.status_code == 422
    assert SECRET not in response.text
    with pytest.raises(pydantic.ValidationError) as caught:
        Video(title="t", asset=body)
    assert SECRET not in f"{caught.value!r} {caught.value.errors()}"


def test_structs_are_encoded_as_msgspec_does(browser):
    encoded = msgspec.to_builtins(ASSET)
    assert browser.get("/assets").json() == [encoded]
    del encoded["status"]
    assert browser.get("/short").json() == encoded
    assert browser.post("/tickets").json()["tusEndpoint"] == "https://x/?token=1"


def test_response_model_accepts_unknown_fields_and_values(browser):
    assert browser.post("/cached").json() == {"id": "1", "status": {"phase": "new"}}


def test_responses_without_a_model_are_encoded(browser):
    plain = browser.get("/plain").json()
    assert (plain["asset"]["id"], plain["asset"]["playback_policy"]["type"]) == ("1", "x")
    assert plain["new"] == {"name": "x"} == jsonable_encoder(NewAsset("x"))


@pytest.mark.parametrize("struct", [*STRUCTS, Progress, Leftover], ids=lambda it: it.__name__)
def test_schema_has_the_fields_that_msgspec_encodes(struct):
    adapter = pydantic.TypeAdapter(struct)
    schemas = {mode: adapter.json_schema(mode=mode) for mode in ("validation", "serialization")}
    assert schemas["validation"] == schemas["serialization"]
    schema = schemas["validation"]
    assert schema["properties"].keys() == set(struct.__struct_encode_fields__)
    required = {it.encode_name for it in msgspec.structs.fields(struct) if it.required}
    assert set(schema.get("required", ())) == required
    assert issubclass(struct, Model)


def test_openapi_describes_bodies_and_responses(browser, components):
    operation = browser.get("/openapi.json").json()["paths"]["/assets"]
    body = operation["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": f"#/components/schemas/NewAsset{INPUT}"}
    listed = operation["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert listed["items"] == {"$ref": "#/components/schemas/Asset"}
    new_asset = components[f"NewAsset{INPUT}"]
    assert new_asset["required"] == ["name"]
    assert new_asset["additionalProperties"] is False
    assert new_asset["description"].startswith("Request for an asset")
    assert new_asset["properties"]["playbackPolicy"] == {
        "anyOf": [{"$ref": "#/components/schemas/PlaybackPolicy"}, {"type": "null"}]
    }
    assert new_asset["properties"]["staticMp4"]["type"] == "boolean"
    assert new_asset["properties"]["profiles"]["anyOf"][0] == {
        "items": {"$ref": "#/components/schemas/TranscodeProfile"},
        "type": "array",
    }
    assert components["AssetStatus"]["properties"]["phase"]["anyOf"] == [
        {
            "type": "string",
            "enum": [it.value for it in models.AssetPhase],
        },
        {"type": "string"},
    ]
    assert components["Stage"]["enum"][0] == "starting"
    names = [re.sub(f"{INPUT}$|{OUTPUT}$", "", name) for name in components]
    assert not [name for name in names if "__" in name or "-" in name]


def test_structs_of_python_code_are_validated_too():
    video = Video(title="t", asset=NewAsset("x", creator_id=CreatorId(value="u")))
    assert video.asset.creator_id == CreatorId(value="u")
    assert Video.model_validate_json(video.model_dump_json()) == video
    adapter = pydantic.TypeAdapter(NewWebhook)
    assert adapter.validate_json('{"name": "a", "url": "b", "events": ["c"]}').events == ["c"]
    url = pydantic.TypeAdapter(NewAssetFromUrl).validate_python({"name": "a", "url": "b"})
    assert url == NewAssetFromUrl("a", url="b")
    profile = pydantic.TypeAdapter(TranscodeProfile)
    assert profile.validate_python({"bitrate": 1, "x": 2}) == TranscodeProfile(bitrate=1)


def test_structs_are_dataclasses_for_pprint_and_asdict():
    new_asset = NewAsset("x", encryption=Encryption(encrypted_key=SECRET))
    assert dataclasses.asdict(new_asset)["name"] == "x"
    assert "static_mp4" not in dataclasses.asdict(new_asset)
    assert SECRET not in pprint.pformat([new_asset], width=10)


def test_pydantic_is_imported_by_its_schemas_alone():
    code = "import sys; from livepeer_async import Asset; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
