"""The known values of the API's enumerations.

The fields themselves are plain `str`, so that an unknown value decodes and is kept. A member equals
its string: `asset.status.phase == AssetPhase.READY` holds for what the server sent.

Source: Livepeer Studio OpenAPI, the `enum` of the field named in each docstring.
"""

from enum import StrEnum


class AssetPhase(StrEnum):
    """List the values of `asset.status.phase`.

    `UPLOADING` has no end of its own: an upload that nobody finishes stays there for ever.
    An asset that was deleted answers 404 rather than `DELETED`.
    """

    UPLOADING = "uploading"
    WAITING = "waiting"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


class TaskPhase(StrEnum):
    """List the values of `task.status.phase`, which differ from those of an asset."""

    PENDING = "pending"
    WAITING = "waiting"
    RUNNING = "running"
    FAILED = "failed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class StoragePhase(StrEnum):
    """List the values of `storage.status.phase`."""

    WAITING = "waiting"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    REVERTED = "reverted"


class AssetType(StrEnum):
    """List the values of `asset.type`."""

    VIDEO = "video"
    AUDIO = "audio"


class SourceType(StrEnum):
    """List the values of `asset.source.type`."""

    URL = "url"
    RECORDING = "recording"
    DIRECT_UPLOAD = "directUpload"
    CLIP = "clip"


class TrackType(StrEnum):
    """List the values of `asset.videoSpec.tracks[].type`."""

    VIDEO = "video"
    AUDIO = "audio"


class CreatorType(StrEnum):
    """List the values of `creatorId.type`."""

    UNVERIFIED = "unverified"


class PolicyType(StrEnum):
    """List the values of `playbackPolicy.type`.

    `LIT_SIGNING_CONDITION` is not in the published schema; the server names it among the
    allowed values when it refuses another one.
    """

    PUBLIC = "public"
    JWT = "jwt"
    WEBHOOK = "webhook"
    LIT_SIGNING_CONDITION = "lit_signing_condition"


class H264Profile(StrEnum):
    """List the values of `profiles[].profile`."""

    BASELINE = "H264Baseline"
    MAIN = "H264Main"
    HIGH = "H264High"
    CONSTRAINED_HIGH = "H264ConstrainedHigh"


class Encoder(StrEnum):
    """List the values of `profiles[].encoder`."""

    H264 = "H.264"
    HEVC = "HEVC"
    VP8 = "VP8"
    VP9 = "VP9"


class NftMetadataTemplate(StrEnum):
    """List the values of `storage.ipfs.spec.nftMetadataTemplate`.

    `PLAYER` embeds the Livepeer player in the NFT, `FILE` refers to the MP4 files only.
    """

    FILE = "file"
    PLAYER = "player"


class TaskType(StrEnum):
    """List the values of `task.type`."""

    UPLOAD = "upload"
    EXPORT = "export"
    EXPORT_DATA = "export-data"
    TRANSCODE_FILE = "transcode-file"
    CLIP = "clip"


class PipelineStrategy(StrEnum):
    """List the values of `task.params.clip.catalystPipelineStrategy`."""

    CATALYST = "catalyst"
    CATALYST_FFMPEG = "catalyst_ffmpeg"
    BACKGROUND_EXTERNAL = "background_external"
    BACKGROUND_MIST = "background_mist"
    FALLBACK_EXTERNAL = "fallback_external"
    EXTERNAL = "external"


class PlaybackType(StrEnum):
    """List the values of `playback.type`."""

    LIVE = "live"
    VOD = "vod"
    RECORDING = "recording"


class PlaybackSourceType(StrEnum):
    """List the values of `playback.meta.source[].type`."""

    HLS = "html5/application/vnd.apple.mpegurl"
    MP4 = "html5/video/mp4"
    WEBRTC = "html5/video/h264"
    FLV = "video/x-flv"
    JPEG = "image/jpeg"
    PNG = "image/png"
    VTT = "text/vtt"


class SignatureType(StrEnum):
    """List the values of `attestation.signatureType`."""

    EIP712 = "eip712"
    FLOW = "flow"
