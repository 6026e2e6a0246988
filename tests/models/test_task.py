import json

import msgspec

from livepeer_async.models import (
    ClipStrategy,
    CreatorId,
    CustomExport,
    IpfsExport,
    PinataCredentials,
    Task,
    TaskStatus,
    TaskType,
)
from support.samples import decode

# One task with the parameters and outputs of all types, which no recorded answer has.
EVERY_KIND = {
    "id": "t1",
    "type": "transcode-file",
    "status": {"phase": "running", "progress": 1, "retries": 2.0, "step": "transcoding"},
    "params": {
        "upload": {"url": "https://host.example/a", "c2pa": True, "targetSegmentSizeSecs": 6},
        "export": {
            "custom": {"url": "https://host.example/b", "method": "POST", "headers": {"A": "b"}},
            "ipfs": {"nftMetadataTemplate": "file", "pinata": {"apiKey": "k", "apiSecret": "s"}},
        },
        "exportData": {"content": {"data": "hi"}, "type": "text/plain", "id": "c1", "ipfs": {}},
        "transcode-file": {
            "input": {"url": "https://host.example/in.mp4"},
            "storage": {"url": "s3+https://k:s@host.example/bucket"},
            "outputs": {"hls": {"path": "/hls"}, "mp4": {"path": "/mp4"}},
            "targetSegmentSizeSecs": 10,
            "creatorId": "c",
            "c2pa": False,
        },
        "clip": {
            "url": "https://host.example/c.mp4",
            "clipStrategy": {"startTime": 1587667174725.0, "endTime": 1.6e12, "playbackId": "p"},
            "catalystPipelineStrategy": "external",
            "sessionId": "s",
            "inputId": "i",
        },
    },
    "output": {
        "upload": {"videoFilePath": "https://host.example/v", "anything": {"else": 1}},
        "export": {"ipfs": {"videoFileCid": "bafy1", "nftMetadataGatewayUrl": "https://g/bafy2"}},
        "exportData": {"ipfs": {"cid": "bafy3"}},
    },
}


def read_task() -> Task:
    task: Task = decode(json.dumps(EVERY_KIND), Task)
    return task


def test_parameters_of_every_type_decode():
    params = read_task().params
    assert params is not None
    assert params.upload is not None
    assert params.upload.target_segment_size_secs == 6
    assert params.export is not None
    assert params.export.custom == CustomExport(
        url="https://host.example/b", method="POST", headers={"A": "b"}
    )
    assert params.export.ipfs == IpfsExport(
        nft_metadata_template="file", pinata=PinataCredentials(api_key="k", api_secret="s")
    )
    assert params.export_data is not None
    assert params.export_data.content == {"data": "hi"}
    assert params.clip is not None
    assert params.clip.clip_strategy == ClipStrategy(
        start_time=1587667174725, end_time=1600000000000, playback_id="p"
    )


def test_transcode_file_has_a_hyphen_in_json():
    task = read_task()
    assert task.type == TaskType.TRANSCODE_FILE
    assert task.params is not None
    assert task.params.transcode_file is not None
    assert json.loads(msgspec.json.encode(task.params)).keys() == EVERY_KIND["params"].keys()  # type: ignore[attr-defined]


def test_transcode_creator_is_a_string_or_an_object():
    task = read_task()
    assert task.params is not None
    assert task.params.transcode_file is not None
    assert task.params.transcode_file.creator_id == "c"
    params = json.dumps(EVERY_KIND["params"]).replace(
        '"creatorId": "c"', '"creatorId": {"value": "c"}'
    )
    again = decode(params, type(task.params)).transcode_file
    assert again.creator_id == CreatorId(value="c")


def test_outputs_of_every_type_decode():
    output = read_task().output
    assert output is not None
    assert output.upload is not None
    assert output.upload.video_file_path == "https://host.example/v"
    assert output.export is not None
    assert output.export.ipfs is not None
    assert output.export.ipfs.nft_metadata_gateway_url == "https://g/bafy2"
    assert output.export_data is not None
    assert output.export_data.ipfs is not None
    assert output.export_data.ipfs.cid == "bafy3"


def test_retries_are_int_and_progress_is_float():
    status = read_task().status
    assert status is not None
    assert (status.retries, type(status.retries)) == (2, int)
    assert type(status.progress) is float


def test_task_with_only_an_id_decodes():
    task = decode('{"id": "t"}', Task)
    assert task == Task(id="t")
    assert task.phase is None


def test_repr_of_task_error_has_no_signature():
    status = TaskStatus(phase="failed", error_message="can't open http://host/a?signature=secret")
    assert "can't open http://host/a" in repr(status)
    assert "secret" not in repr(status)
    assert "secret" not in str(status.__rich_repr__())
