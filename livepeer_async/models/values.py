"""Types of enumerated fields: the known values, for editors and type checkers, or any other string.

The server may add values, which decode as they are. The members of `enums` are strings and have
these types too.
"""

from typing import Literal

AssetPhaseValue = (
    Literal["uploading", "waiting", "processing", "ready", "failed", "deleting", "deleted"] | str
)
TaskPhaseValue = Literal["pending", "waiting", "running", "failed", "completed", "cancelled"] | str
StoragePhaseValue = Literal["waiting", "processing", "ready", "failed", "reverted"] | str
AssetTypeValue = Literal["video", "audio"] | str
SourceTypeValue = Literal["url", "recording", "directUpload", "clip"] | str
TrackTypeValue = Literal["video", "audio"] | str
CreatorTypeValue = Literal["unverified"] | str
PolicyTypeValue = Literal["public", "jwt", "webhook", "lit_signing_condition"] | str
H264ProfileValue = Literal["H264Baseline", "H264Main", "H264High", "H264ConstrainedHigh"] | str
EncoderValue = Literal["H.264", "HEVC", "VP8", "VP9"] | str
NftMetadataTemplateValue = Literal["file", "player"] | str
TaskTypeValue = Literal["upload", "export", "export-data", "transcode-file", "clip"] | str
PipelineStrategyValue = (
    Literal[
        "catalyst",
        "catalyst_ffmpeg",
        "background_external",
        "background_mist",
        "fallback_external",
        "external",
    ]
    | str
)
PlaybackTypeValue = Literal["live", "vod", "recording"] | str
PlaybackSourceTypeValue = (
    Literal[
        "html5/application/vnd.apple.mpegurl",
        "html5/video/mp4",
        "html5/video/h264",
        "video/x-flv",
        "image/jpeg",
        "image/png",
        "text/vtt",
    ]
    | str
)
SignatureTypeValue = Literal["eip712", "flow"] | str
RecordingStatusValue = Literal["waiting", "ready", "failed", "deleted", "none"] | str
EventNameValue = (
    Literal[
        "stream.started",
        "stream.detection",
        "stream.idle",
        "recording.ready",
        "recording.started",
        "recording.waiting",
        "multistream.connected",
        "multistream.error",
        "multistream.disconnected",
        "playback.user.new",
        "playback.accessControl",
        "asset.created",
        "asset.updated",
        "asset.failed",
        "asset.ready",
        "asset.deleted",
        "task.spawned",
        "task.updated",
        "task.completed",
        "task.failed",
    ]
    | str
)
