"""An asset, as the server describes it.

Everything but the ID may be absent or null: the server has sent assets without a name, and a
list of a thousand assets must not fail for a gap in one of them. What is absent reads as None.
"""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.models.asset_fields import (
    CreatorId,
    Encryption,
    PlaybackPolicy,
    TranscodeProfile,
)
from livepeer_async.models.storage import AssetStorage
from livepeer_async.redaction import redact, redact_url, redacted


class Track(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe one track of a media file.

    Attributes:
        type: One of `TrackType`.
        codec: Such as `h264` or `aac`.
        start_time: Seconds.
        duration: Seconds.
        bitrate: Bits per second.
        width: Pixels; video only.
        height: Pixels; video only.
        pixel_format: Such as `yuv420p`; video only.
        fps: Frames per second; video only.
        channels: Number of channels; audio only.
        sample_rate: Samples per second; audio only.
        bit_depth: Bits per sample; audio only.

    Source: Livepeer Studio OpenAPI, schema `asset`, `videoSpec.tracks`.
    """

    type: str | None = None
    codec: str | None = None
    start_time: float | None = None
    duration: float | None = None
    bitrate: float | None = None
    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None
    fps: float | None = None
    channels: int | None = None
    sample_rate: int | None = None
    bit_depth: int | None = None


class VideoSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe a media file.

    Attributes:
        format: Container, such as `mp4`.
        duration: Seconds.
        bitrate: Bits per second.
        tracks: Only in the answer to `GET /asset/{id}?details=true` and in the output of a task.

    Source: Livepeer Studio OpenAPI, schema `asset`, `videoSpec`.
    """

    format: str | None = None
    duration: float | None = None
    bitrate: float | None = None
    tracks: tuple[Track, ...] | None = None


@redacted(error_message=redact)
class AssetStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tell how far an asset has come.

    Attributes:
        phase: One of `AssetPhase`. Required: a status that names no phase says nothing that a
            caller could wait for.
        updated_at: Milliseconds since 1970.
        progress: 0 to 1, in the phase `processing` only; it may be 0 and never falls.
        error_message: Why the asset failed. It stays while a retry runs.

    Source: Livepeer Studio OpenAPI, schema `asset`, `status`.
    """

    phase: str
    updated_at: int | None = None
    progress: float | None = None
    error_message: str | None = None


@redacted(url=redact_url, gateway_url=redact_url)
class AssetSource(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tell where the content of an asset came from.

    The schema has one shape for each type; here they are one Struct, so that a type of tomorrow
    decodes. The repr shows URLs without userinfo and query, where signatures stand.

    Attributes:
        type: One of `SourceType`; None where the server names none.
        url: Where the content was fetched; type `url`.
        gateway_url: The same through a gateway, for an IPFS or Arweave URL.
        session_id: Session that was recorded or clipped.
        source_id: Asset or stream that was clipped.
        playback_id: Playback ID of that asset or stream.
        requester_id: Who asked for the clip.
        asset_id: Asset that this one was made from.
        encryption: The key of an encrypted upload.

    Source: Livepeer Studio OpenAPI, schema `asset`, `source`.
    """

    type: str | None = None
    url: str | None = None
    gateway_url: str | None = None
    session_id: str | None = None
    source_id: str | None = None
    playback_id: str | None = None
    requester_id: str | None = None
    asset_id: str | None = None
    encryption: Encryption | None = None


class AssetHash(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold one digest of the stored source.

    Attributes:
        hash: The digest in lower-case hexadecimal.
        algorithm: `md5` or `sha256`.

    Source: Livepeer Studio OpenAPI, schema `asset`, `hash`.
    """

    hash: str | None = None
    algorithm: str | None = None


class Asset(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe an asset.

    Attributes:
        id: The only field without which an asset is of no use, hence the only required one.
        type: One of `AssetType`.
        playback_id: What players and `GET /playback/{id}` take.
        user_id: Owner; deprecated by the API.
        static_mp4: Whether MP4 files were asked for. The schema calls it write-only, and no
            recorded answer has it.
        playback_url: HLS URL. It may appear while the asset is still `processing`.
        download_url: In the phase `ready` only.
        playback_policy: Who may play it; None where the server sent null or nothing, which it
            treats as public.
        source: Where the content came from.
        creator_id: Always an object, also where a plain string was sent.
        profiles: The renditions that were asked for.
        storage: The copy on IPFS.
        status: How far it has come. See `phase` for a short way to it.
        name: Absent where the request for the upload had no object as its body.
        project_id: Project that owns it.
        created_at: Milliseconds since 1970.
        created_by_token_name: Name of the API key that made it.
        size: Bytes of the stored source; None or 0 while unknown.
        hash: Digests of the stored source. Newer assets have none.
        video_spec: What the server found in the file.
        deleted: False in an asset that was deleted and restored; else absent.
        deleted_at: Milliseconds since 1970; null in an asset that was restored.

    Source: Livepeer Studio OpenAPI, schema `asset`; `deleted` and `deleted_at` as sent by
    Livepeer Studio of September 2025 after a restore.
    """

    id: str
    type: str | None = None
    playback_id: str | None = None
    user_id: str | None = None
    static_mp4: bool | None = None
    playback_url: str | None = None
    download_url: str | None = None
    playback_policy: PlaybackPolicy | None = None
    source: AssetSource | None = None
    creator_id: CreatorId | None = None
    profiles: tuple[TranscodeProfile, ...] | None = None
    storage: AssetStorage | None = None
    status: AssetStatus | None = None
    name: str | None = None
    project_id: str | None = None
    created_at: int | None = None
    created_by_token_name: str | None = None
    size: int | None = None
    hash: tuple[AssetHash, ...] | None = None
    video_spec: VideoSpec | None = None
    deleted: bool | None = None
    deleted_at: int | None = None

    @property
    def phase(self) -> str | None:
        """Give the phase, one of `AssetPhase`; None where the server sent no status."""
        return self.status.phase if self.status else None
