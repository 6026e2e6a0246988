import copy
import json
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from livepeer_async import models
from livepeer_async.models import values
from models.schema_comparison import SchemaComparison

SCHEMA = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))

ROOTS: dict[str, type[msgspec.Struct]] = {
    "asset": models.Asset,
    "request-upload request": models.NewAsset,
    "request-upload answer": models.UploadTicket,
    "upload-url request": models.NewAssetFromUrl,
    "upload-url answer 200": models.ImportTicket,
    "upload-url answer 201": models.ImportTicket,
    "asset patch": models.AssetPatch,
    "task": models.Task,
    "playback": models.PlaybackInfo,
    "error": models.ErrorBody,
    "webhook": models.Webhook,
    "new webhook": models.NewWebhook,
    "webhook patch": models.WebhookPatch,
    "stream": models.Stream,
    "session": models.StreamSession,
}

EXTRAS = {
    "Asset.deleted": "sent after a restore (transcript 11.25)",
    "Asset.deletedAt": "sent after a restore (transcript 11.25)",
    "Task.id": "the schema requires nothing of a task; without an ID it is of no use",
    "Task.userId": "in every recorded task (transcript 9)",
    "UploadParams.thumbnails": "in every recorded upload task (transcript 9)",
    "Webhook.id": "as Task.id",
    "NewWebhook.events": "the server refuses a webhook without events",
    "Stream.id": "as Task.id",
    "StreamSession.id": "as Task.id",
    "StreamSession.assetId": "sent in the event recording.ready",
    "TranscodeProfile.gop": "the schema says string, but its own example is a number",
}

LEFT_OUT = {
    "AssetSpec": "the schema says asset, but a task writes only what it measured (transcript 9)",
    "NewWebhook": "the server sets or ignores the other fields",
    "Stream": "events need no settings of a stream",
    "StreamSession": "events need no settings of a session",
}

ENUMS: dict[str, type[StrEnum]] = {
    "asset/properties/type": models.AssetType,
    "asset/properties/status/properties/phase": models.AssetPhase,
    "asset/properties/videoSpec/properties/tracks/items/properties/type": models.TrackType,
    "asset/properties/storage/properties/ipfs/properties/spec/properties/nftMetadataTemplate": (
        models.NftMetadataTemplate
    ),
    "asset/properties/source/oneOf/0/properties/type": models.SourceType,
    "asset/properties/source/oneOf/1/properties/type": models.SourceType,
    "asset/properties/source/oneOf/2/properties/type": models.SourceType,
    "creator-id/oneOf/0/properties/type": models.CreatorType,
    "playback-policy/properties/type": models.PolicyType,
    "transcode-profile/properties/profile": models.H264Profile,
    "transcode-profile/properties/encoder": models.Encoder,
    "storage-status/properties/phase": models.StoragePhase,
    "task/properties/type": models.TaskType,
    "task/properties/status/properties/phase": models.TaskPhase,
    "task/properties/params/properties/clip/properties/catalystPipelineStrategy": (
        models.PipelineStrategy
    ),
    "playback-info/properties/type": models.PlaybackType,
    "playback-info/properties/meta/properties/source/items/properties/type": (
        models.PlaybackSourceType
    ),
    "attestation/properties/signatureType": models.SignatureType,
    "webhook/properties/events/items": models.EventName,
    "session/properties/recordingStatus": models.RecordingStatus,
}


def make_comparison(document: Any = SCHEMA, **changes: Any) -> SchemaComparison:
    return SchemaComparison(document, **({"extras": EXTRAS, "left_out": LEFT_OUT} | changes))


@pytest.mark.parametrize("root", ROOTS)
def test_struct_matches_the_schema(root):
    assert make_comparison().compare(SCHEMA["roots"][root], ROOTS[root]) == []


def test_every_root_of_the_schema_is_compared():
    assert ROOTS.keys() == SCHEMA["roots"].keys()


def test_every_struct_is_reachable_from_a_root():
    comparison = make_comparison()
    for root, struct in ROOTS.items():
        comparison.compare(SCHEMA["roots"][root], struct)
    exported = {getattr(models, name) for name in models.__all__}
    structs = {thing for thing in exported if issubclass(thing, msgspec.Struct)}
    # A violation is JSON inside a string, so the schema doesn't describe it.
    assert structs - comparison.visited == {models.Violation}


def test_every_schema_exception_is_used():
    comparison = make_comparison()
    for root, struct in ROOTS.items():
        comparison.compare(SCHEMA["roots"][root], struct)
    assert comparison.used_extras == EXTRAS.keys()


@pytest.mark.parametrize("path", ENUMS)
def test_enum_has_every_value_of_the_schema(path):
    node: Any = SCHEMA["components"]["schemas"]
    for step in path.split("/"):
        node = node[int(step)] if isinstance(node, list) else node[step]
    assert set(node["enum"]) <= set(ENUMS[path])


@pytest.mark.parametrize("enum", sorted({enum.__name__ for enum in ENUMS.values()}))
def test_type_of_the_field_has_every_member(enum):
    literal, other = get_args(getattr(values, f"{enum}Value"))
    assert list(get_args(literal)) == list(getattr(models, enum))
    assert other is str


def changed_schema(*path: str | int, **changes: Any) -> Any:
    """Return a copy of the schema with keys set, or dropped if None, at a path."""
    document = copy.deepcopy(SCHEMA)
    node: Any = document["components"]["schemas"]
    for step in path:
        node = node[step]
    for key, value in changes.items():
        if value is None:
            del node[key]
        else:
            node[key] = value
    return document


def differences(document: Any, root: str, **changes: Any) -> list[str]:
    return make_comparison(document, **changes).compare(document["roots"][root], ROOTS[root])


def test_comparison_reports_a_missing_field():
    document = changed_schema("asset", "properties", poster={"type": "string"})
    assert differences(document, "asset") == ["Asset.poster: in the schema, not in the Struct"]


def test_comparison_reports_an_unknown_field():
    document = changed_schema("asset", "properties", size=None)
    assert differences(document, "asset") == ["Asset.size: in the Struct, not in the schema"]


def test_comparison_reports_a_different_type():
    document = changed_schema("asset", "properties", size={"type": "string"})
    assert differences(document, "asset") == [
        "Asset.size: the schema allows string, the Struct takes ['integer', 'null']",
        "Asset.size: the Struct takes integer, the schema allows ['string']",
    ]


def test_comparison_reports_a_number_instead_of_an_array():
    document = changed_schema("asset", "properties", profiles={"type": "number"})
    assert "Asset.profiles: the schema allows number, the Struct takes ['array', 'null']" in (
        differences(document, "asset")
    )


def test_comparison_reports_a_refused_null():
    document = changed_schema("playback-policy", type="object")
    assert differences(document, "asset patch") == [
        "AssetPatch.playbackPolicy: the Struct takes null, the schema allows ['object']"
    ]


def test_comparison_reports_a_missing_null():
    document = changed_schema("new-asset-payload", "properties", c2pa={"type": ["boolean", "null"]})
    assert differences(document, "request-upload request") == [
        "NewAsset.c2pa: the schema allows null, the Struct takes ['boolean']"
    ]


def test_comparison_reports_a_wrongly_required_field():
    document = changed_schema("asset", required=["name"])
    assert differences(document, "asset") == ["Asset.id: required by the Struct, not by the schema"]


def test_comparison_reports_an_unlisted_exception():
    extras = {label: reason for label, reason in EXTRAS.items() if label != "Task.userId"}
    assert differences(SCHEMA, "task", extras=extras) == [
        "Task.userId: in the Struct, not in the schema"
    ]


def test_comparison_descends_into_array_items():
    document = changed_schema("transcode-profile", "properties", hdr={"type": "boolean"})
    assert differences(document, "asset") == [
        "TranscodeProfile.hdr: in the schema, not in the Struct"
    ]


def test_comparison_follows_a_reference_in_properties():
    document = changed_schema("ipfs-file-info", "properties", pin={"type": "string"})
    assert differences(document, "asset") == [
        "AssetIpfs.pin: in the schema, not in the Struct",
        "IpfsFileInfo.pin: in the schema, not in the Struct",
    ]


def test_comparison_descends_into_every_branch():
    document = changed_schema(
        "export-task-params", "oneOf", 0, "properties", "custom", "properties",
        timeout={"type": "number"},
    )  # fmt: skip
    assert differences(document, "task") == [
        "CustomExport.timeout: in the schema, not in the Struct"
    ]


def test_comparison_reports_a_struct_for_a_free_form_object():
    document = changed_schema("asset", "properties", status={"type": "object"})
    assert differences(document, "asset") == [
        "Asset.status: free in form in the schema, a Struct here"
    ]


def test_comparison_reports_a_dict_for_properties():
    free = {"type": "object", "properties": {"a": {"type": "string"}}}
    document = changed_schema("playback-policy", "properties", webhookContext=free)
    assert differences(document, "asset patch") == [
        "PlaybackPolicy.webhookContext: has properties in the schema, is a dict here"
    ]


def test_names_are_listed_before_they_are_imported():
    assert set(models.__all__) <= set(dir(models))
