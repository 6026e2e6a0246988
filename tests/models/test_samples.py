import gc
import json
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest

from livepeer_async.models import (
    Asset,
    AssetPhase,
    ErrorBody,
    PolicyType,
    TaskPhase,
    TrackType,
)
from support.samples import FOLDER, INDEX, read_sample, read_text

# Sent by the server but in no schema: a placeholder for the decrypted key.
IGNORED_KEYS = {"key"}


@pytest.mark.parametrize("name", INDEX)
def test_sample_decodes(name):
    assert read_sample(name) is not None


@pytest.mark.parametrize("name", INDEX)
def test_sample_survives_a_round_trip(name):
    encoded = json.loads(msgspec.json.encode(read_sample(name)))
    assert encoded == without_nulls(json.loads(read_text(name)))


def without_nulls(value: Any) -> Any:
    """Drop nulls and ignored keys, which a Struct can't represent."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in IGNORED_KEYS}
        return {key: without_nulls(item) for key, item in kept.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def structs_of(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from structs_of(field.type)
    for argument in get_args(kind):
        yield from structs_of(argument)


@pytest.mark.parametrize("struct", sorted(set(structs_of(Asset)), key=lambda it: it.__name__))
def test_fields_are_in_the_order_of_responses(struct):
    names = list(struct.__struct_encode_fields__)
    assert names == sorted(names, key=lambda name: (len(name), name))


def test_garbage_collector_does_not_track_assets():
    asset = read_sample("asset_ready_details.json")
    parts = [asset, asset.status, asset.playback_policy, *asset.hash, *asset.video_spec.tracks]
    assert not any(map(gc.is_tracked, parts))


def test_index_names_every_sample():
    assert INDEX.keys() == {path.name for path in FOLDER.glob("*.json")} - {"index.json"}


def test_samples_cover_every_section_of_the_transcript():
    exchanges = [exchange for entry in INDEX.values() for exchange in entry["exchanges"]]
    assert {exchange.split(".")[0].split(" ")[0] for exchange in exchanges} == {
        "1", "2", "9", "10", "11", "12", "13",
    }  # fmt: skip
    assert len(exchanges) == len(set(exchanges))


@pytest.mark.parametrize("name", [name for name in INDEX if name.startswith("error_")])
def test_error_samples_are_error_bodies(name):
    assert INDEX[name]["struct"] == "ErrorBody"
    assert INDEX[name]["status"] == int(name.split("_")[1])
    body = read_sample(name)
    assert isinstance(body, ErrorBody)
    assert body.errors


def test_ticket_has_urls_asset_and_task():
    ticket = read_sample("request_upload_minimal.json")
    assert ticket.url.startswith("https://studio.example/api/asset/upload/direct?token=ey")
    assert ticket.tus_endpoint.startswith("https://studio.example/api/asset/upload/tus?token=ey")
    assert ticket.asset.phase == AssetPhase.UPLOADING
    assert ticket.task.id == "d42c1374-3771-4fc0-a109-bc163bb5efdb"


def test_asset_of_an_array_body_has_no_name():
    assert read_sample("request_upload_array_body.json").asset.name is None


def test_null_policy_reads_as_none():
    assert read_sample("request_upload_null_policy.json").asset.playback_policy is None


def test_ipfs_true_and_false_differ():
    assert read_sample("request_upload_full.json").asset.storage.ipfs.spec is not None
    assert read_sample("request_upload_ipfs_false.json").asset.storage.ipfs.spec is None


def test_zero_progress_is_not_absent():
    assert read_sample("asset_processing_0.json").status.progress == 0.0
    assert read_sample("asset_uploading.json").status.progress is None


def test_ready_asset_has_size_and_hash():
    asset = read_sample("asset_ready.json")
    assert asset.phase == AssetPhase.READY
    assert asset.size == 1234567
    assert [digest.algorithm for digest in asset.hash] == ["sha256", "md5"]
    assert asset.video_spec.tracks is None


def test_details_add_tracks():
    tracks = read_sample("asset_ready_details.json").video_spec.tracks
    assert [track.type for track in tracks] == [TrackType.VIDEO, TrackType.AUDIO]
    assert tracks[0].width == 1920


def test_restored_asset_is_not_deleted():
    asset = read_sample("asset_restored.json")
    assert (asset.deleted, asset.deleted_at) == (False, None)


def test_completed_task_has_an_asset_spec():
    task = read_sample("task_completed.json")
    assert task.phase == TaskPhase.COMPLETED
    assert task.output.upload.asset_spec.size == 1234567
    assert len(task.output.upload.asset_spec.video_spec.tracks) == 2


def test_retried_task_waits_with_an_error():
    status = read_sample("task_waiting_after_error.json").status
    assert (status.phase, status.retries) == (TaskPhase.WAITING, 1)
    assert status.error_message == "transient transcode error"


def test_private_playback_has_sources():
    meta = read_sample("playback_jwt.json").meta
    assert meta.playback_policy.type == PolicyType.JWT
    assert not meta.playback_policy.is_public
    assert meta.source[0].size == 654321
