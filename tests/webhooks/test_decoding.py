"""Events of each kind, decoded; recorded assets and tasks as their snapshots."""

import json

import msgspec
import pytest

from livepeer_async import EventName, errors, webhooks
from livepeer_async.webhooks import (
    AssetEvent,
    DetectionEvent,
    MultistreamEvent,
    RecordingEvent,
    StreamEvent,
    TaskEvent,
    WebhookEvent,
)
from support.samples import read_text
from support.webhooks import SECRET, envelope, sign

ASSET = json.loads(read_text("asset_ready_details.json"))
TASK = json.loads(read_text("task_completed.json"))
STREAM = {
    "id": "stream-1",
    "name": "live",
    "isActive": True,
    "isHealthy": None,
    "issues": None,
    "createdAt": 1.0,
    "playbackId": "p1",
    "pull": {"source": "https://a.example", "headers": {"Authorization": "Bearer x"}},
    "multistream": {"targets": [{"id": "t", "profile": "source"}]},
}
SESSION = {
    "id": "session-1",
    "parentId": "stream-1",
    "recordingStatus": "ready",
    "recordingUrl": "https://a.example/index.m3u8?token=s3cret",
    "assetId": "session-1",
    "sourceSegmentsDuration": 12.5,
}
TARGET = {"id": "target-1", "name": "elsewhere", "profile": "720p"}


def unwrap(body):
    return webhooks.unwrap(body, {"Livepeer-Signature": sign(body)}, SECRET)


def decode(event, payload=None, **more):
    return unwrap(envelope(event, payload, **more))


def of(snapshot):
    return {"id": snapshot["id"], "snapshot": snapshot}


KINDS = {
    **{
        f"asset.{it}": (AssetEvent, {"asset": of(ASSET)})
        for it in ("created", "updated", "ready", "failed", "deleted")
    },
    **{
        f"task.{it}": (TaskEvent, {"task": {**of(TASK), "type": "upload"}})
        for it in ("spawned", "updated")
    },
    **{
        f"task.{it}": (TaskEvent, {"success": it == "completed", "task": of(TASK)})
        for it in ("completed", "failed")
    },
    "stream.started": (StreamEvent, None),
    "stream.idle": (StreamEvent, None),
    "stream.detection": (
        DetectionEvent,
        {"seqNo": 7, "sceneClassification": [{"name": "soccer", "probability": 0.9}]},
    ),
    "recording.started": (RecordingEvent, {"session": SESSION}),
    "recording.waiting": (RecordingEvent, {"session": SESSION}),
    "recording.ready": (
        RecordingEvent,
        {
            "recordingUrl": "https://a.example/r",
            "mp4Url": "https://a.example/m",
            "session": SESSION,
        },
    ),
    **{
        f"multistream.{it}": (MultistreamEvent, {"target": TARGET})
        for it in ("connected", "error", "disconnected")
    },
    "playback.user.new": (WebhookEvent, {"any": "thing"}),
    "asset.exploded": (WebhookEvent, {"asset": [1, None]}),
}


@pytest.mark.parametrize("name", KINDS)
def test_event_of_each_kind_is_decoded(name):
    kind, payload = KINDS[name]
    event = decode(name, payload, stream=STREAM)
    assert (type(event), event.event, event.id) == (kind, name, "event-1")
    assert (event.webhook_id, event.stream.id) == ("webhook-1", "stream-1")
    assert event.created_at <= event.timestamp
    if kind is WebhookEvent:
        assert event.payload == payload


def test_every_known_event_is_a_kind():
    assert set(EventName) - KINDS.keys() == {EventName.PLAYBACK_ACCESS_CONTROL}


def test_snapshots_are_models():
    asset = decode("asset.ready", {"asset": of(ASSET)}).asset
    assert (asset.phase, asset.size, len(asset.video_spec.tracks)) == ("ready", 1234567, 2)
    event = decode("task.completed", {"success": True, "task": of(TASK)})
    assert (event.task.phase, event.success) == ("completed", True)
    assert event.task.output_asset_id == TASK["outputAssetId"]


def test_other_payloads_are_models():
    event = decode(*("stream.detection", KINDS["stream.detection"][1]))
    assert (event.seq_no, event.scene_classification[0].name) == (7, "soccer")
    event = decode(*("recording.ready", KINDS["recording.ready"][1]))
    assert (event.session.asset_id, event.mp4_url) == ("session-1", "https://a.example/m")
    event = decode("multistream.error", {"target": TARGET})
    assert event.target.profile == "720p"
    assert decode("stream.detection", {}).scene_classification == ()


OLD = {"id": ASSET["id"], "snapshot": ASSET}


@pytest.mark.parametrize("payload", [OLD, {**OLD, "asset": OLD}, {"snapshot": ASSET}])
def test_older_shape_is_decoded(payload):
    assert decode("asset.ready", payload).asset.id == ASSET["id"]


def test_database_row_is_decoded():
    row = {"id": "a1", "status": {"phase": "uploading", "updatedAt": 1}, "objectStoreId": "x"}
    row |= {"files": [{"type": "static_transcoded_mp4"}], "kind": None, "name": "a"}
    assert decode("asset.created", {"asset": of(row)}).asset.phase == "uploading"


def test_half_surrogates_are_replaced():
    body = envelope("asset.exploded", {"name": "cut"}).replace(b"cut", b"\\ud83d")
    assert unwrap(body).payload == {"name": "�"}


def test_numbers_may_be_written_as_floats():
    body = envelope("asset.exploded", createdAt=1795277777228.0)
    assert unwrap(body).created_at == 1795277777228


BAD = {
    "not JSON": (b"{", "$"),
    "nested too deeply": (b"[" * 100_000, "$"),
    "id": (envelope("asset.ready", id=5), "$.id"),
    "no id": (envelope("asset.ready", id=""), "$.id"),
    "no event": (json.dumps({"id": "a", "timestamp": 5}).encode(), "$.event"),
    "timestamp": (envelope("asset.ready", timestamp="soon"), "$.timestamp"),
    "no payload": (envelope("asset.ready"), "$.payload"),
    "payload": (envelope("asset.ready", [1]), "$.payload"),
    "no asset": (envelope("asset.ready", {}), "$.payload.asset"),
    "no snapshot": (envelope("asset.ready", {"asset": {"id": "a1"}}), "$.payload.asset"),
    "snapshot": (
        envelope("asset.ready", {"asset": {"id": "a1", "snapshot": {"id": "a1", "size": "x"}}}),
        "$.payload.asset.snapshot.size",
    ),
    "another asset": (
        envelope("asset.ready", {"asset": {"id": "a2", "snapshot": ASSET}}),
        "$.payload.asset.snapshot.id",
    ),
    "another asset in the older shape": (
        envelope("asset.ready", {"id": "a2", "snapshot": ASSET}),
        "$.payload.snapshot.id",
    ),
    "another task": (
        envelope("task.updated", {"task": {"id": "t2", "snapshot": TASK}}),
        "$.payload.task.snapshot.id",
    ),
    "no stream": (envelope("stream.started"), "$.stream"),
    "stream": (envelope("asset.exploded", stream={"id": 1}), "$.stream.id"),
    "no session": (envelope("recording.ready", {}), "$.payload"),
    "no target": (envelope("multistream.error", {}), "$.payload"),
}


@pytest.mark.parametrize("name", BAD)
def test_undecodable_event_has_the_path(name):
    body, path = BAD[name]
    try:
        timestamp = json.loads(body)["timestamp"]
    except (ValueError, RecursionError):
        timestamp = 5
    timestamp = timestamp if isinstance(timestamp, int) else 5
    headers = {"Livepeer-Signature": sign(body, timestamp=timestamp)}
    with pytest.raises(errors.DecodeError, match=r"webhook event can't be decoded") as caught:
        webhooks.unwrap(body, headers, SECRET, tolerance=float("inf"))
    assert caught.value.path == path
    assert caught.value.__context__ is None


ENCRYPTED = {
    **ASSET,
    "source": {"type": "directUpload", "encryption": {"encryptedKey": "s3cret", "key": "***"}},
}


def test_reprs_show_no_secret():
    events = [
        decode("asset.ready", {"asset": of(ENCRYPTED)}),
        decode("asset.exploded", {"asset": of(ENCRYPTED)}),
        decode("recording.ready", {"session": SESSION, "mp4Url": "https://a.example/?s3cret"}),
    ]
    for event in events:
        for text in (repr(event), str(event), repr(event.__rich_repr__())):
            assert "s3cret" not in text
            assert event.event in text
    assert b"s3cret" in msgspec.json.encode(events[0])


def test_errors_show_no_secret():
    body = envelope(
        "asset.ready", {"asset": {"id": "a1", "snapshot": {**ENCRYPTED, "size": "s3cret"}}}
    )
    with pytest.raises(errors.DecodeError) as caught:
        unwrap(body)
    assert "s3cret" not in str(caught.value)
