"""Known values of the API's enumerations.

Fields hold plain strings, and unknown values decode too. A member equals its string:
`asset.phase == AssetPhase.READY`. `values` has the types of the fields.

Source: the `enum` of the field that each docstring names.
"""

from enum import StrEnum


class AssetPhase(StrEnum):
    """Values of `asset.status.phase`.

    An asset stays in `UPLOADING` until its upload is complete, however long that takes. A request
    for a deleted asset gets a 404 rather than `DELETED`.
    """

    UPLOADING = "uploading"
    WAITING = "waiting"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


class TaskPhase(StrEnum):
    """Values of `task.status.phase`, which differ from those of an asset."""

    PENDING = "pending"
    WAITING = "waiting"
    RUNNING = "running"
    FAILED = "failed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class StoragePhase(StrEnum):
    """Values of `storage.status.phase`."""

    WAITING = "waiting"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    REVERTED = "reverted"


class AssetType(StrEnum):
    """Values of `asset.type`."""

    VIDEO = "video"
    AUDIO = "audio"


class SourceType(StrEnum):
    """Values of `asset.source.type`."""

    URL = "url"
    RECORDING = "recording"
    DIRECT_UPLOAD = "directUpload"
    CLIP = "clip"


class TrackType(StrEnum):
    """Values of `asset.videoSpec.tracks[].type`."""

    VIDEO = "video"
    AUDIO = "audio"


class CreatorType(StrEnum):
    """Values of `creatorId.type`."""

    UNVERIFIED = "unverified"


class PolicyType(StrEnum):
    """Values of `playbackPolicy.type`.

    `LIT_SIGNING_CONDITION` isn't in the published schema, but the server lists it when it refuses
    another value.
    """

    PUBLIC = "public"
    JWT = "jwt"
    WEBHOOK = "webhook"
    LIT_SIGNING_CONDITION = "lit_signing_condition"


class H264Profile(StrEnum):
    """Values of `profiles[].profile`."""

    BASELINE = "H264Baseline"
    MAIN = "H264Main"
    HIGH = "H264High"
    CONSTRAINED_HIGH = "H264ConstrainedHigh"


class Encoder(StrEnum):
    """Values of `profiles[].encoder`."""

    H264 = "H.264"
    HEVC = "HEVC"
    VP8 = "VP8"
    VP9 = "VP9"


class NftMetadataTemplate(StrEnum):
    """Values of `storage.ipfs.spec.nftMetadataTemplate`.

    `PLAYER` embeds the Livepeer player in the NFT, `FILE` only links to the MP4 files.
    """

    FILE = "file"
    PLAYER = "player"


class TaskType(StrEnum):
    """Values of `task.type`."""

    UPLOAD = "upload"
    EXPORT = "export"
    EXPORT_DATA = "export-data"
    TRANSCODE_FILE = "transcode-file"
    CLIP = "clip"


class PipelineStrategy(StrEnum):
    """Values of `task.params.clip.catalystPipelineStrategy`."""

    CATALYST = "catalyst"
    CATALYST_FFMPEG = "catalyst_ffmpeg"
    BACKGROUND_EXTERNAL = "background_external"
    BACKGROUND_MIST = "background_mist"
    FALLBACK_EXTERNAL = "fallback_external"
    EXTERNAL = "external"


class PlaybackType(StrEnum):
    """Values of `playback.type`."""

    LIVE = "live"
    VOD = "vod"
    RECORDING = "recording"


class PlaybackSourceType(StrEnum):
    """Values of `playback.meta.source[].type`."""

    HLS = "html5/application/vnd.apple.mpegurl"
    MP4 = "html5/video/mp4"
    WEBRTC = "html5/video/h264"
    FLV = "video/x-flv"
    JPEG = "image/jpeg"
    PNG = "image/png"
    VTT = "text/vtt"


class SignatureType(StrEnum):
    """Values of `attestation.signatureType`."""

    EIP712 = "eip712"
    FLOW = "flow"


class RecordingStatus(StrEnum):
    """Values of a session's `recordingStatus`."""

    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"
    NONE = "none"


class EventName(StrEnum):
    """Names of webhook events: values of `webhook.events` and of an event's `event`.

    `PLAYBACK_ACCESS_CONTROL` isn't an event; see `livepeer_async.webhooks`.
    """

    STREAM_STARTED = "stream.started"
    STREAM_DETECTION = "stream.detection"
    STREAM_IDLE = "stream.idle"
    RECORDING_READY = "recording.ready"
    RECORDING_STARTED = "recording.started"
    RECORDING_WAITING = "recording.waiting"
    MULTISTREAM_CONNECTED = "multistream.connected"
    MULTISTREAM_ERROR = "multistream.error"
    MULTISTREAM_DISCONNECTED = "multistream.disconnected"
    PLAYBACK_USER_NEW = "playback.user.new"
    PLAYBACK_ACCESS_CONTROL = "playback.accessControl"
    ASSET_CREATED = "asset.created"
    ASSET_UPDATED = "asset.updated"
    ASSET_FAILED = "asset.failed"
    ASSET_READY = "asset.ready"
    ASSET_DELETED = "asset.deleted"
    TASK_SPAWNED = "task.spawned"
    TASK_UPDATED = "task.updated"
    TASK_COMPLETED = "task.completed"
    TASK_FAILED = "task.failed"
