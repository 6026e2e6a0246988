"""`Asset` and its parts.

Only the ID is required: the server has sent assets without a name, and one gap must not make a
list of a thousand assets undecodable. Absent and null fields are None;
an absent playback ID is empty.

Fields are in the server's order, shorter names first, as PostgreSQL stores JSON: msgspec searches
for each field after the previous one, which makes decoding 7 % faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import force_setattr

from livepeer_async.models.asset_fields import (
    CreatorId,
    Encryption,
    PlaybackPolicy,
    TranscodeProfile,
    make_player_url,
)
from livepeer_async.models.model import Model
from livepeer_async.models.storage import AssetStorage
from livepeer_async.models.values import (
    AssetPhaseValue,
    AssetTypeValue,
    SourceTypeValue,
    TrackTypeValue,
)
from livepeer_async.redaction import redact, redact_url, redacted

# Each asset has a playback ID from the beginning, but a null must not make a list undecodable.
if TYPE_CHECKING:
    PlaybackId = str
else:
    PlaybackId = str | None


class Track(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One track of a media file.

    Attributes:
        type: one of `TrackType`.
        codec: such as `h264` or `aac`.
        start_time: seconds.
        duration: seconds.
        bitrate: bits per second.
        width: pixels; video only.
        height: pixels; video only.
        pixel_format: such as `yuv420p`; video only.
        fps: frames per second; video only.
        channels: number of channels; audio only.
        sample_rate: samples per second; audio only.
        bit_depth: bits per sample; audio only.

    Source: schema `asset`, `videoSpec.tracks`.
    """

    fps: float | None = None
    type: TrackTypeValue | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    bitrate: float | None = None
    bit_depth: int | None = None
    channels: int | None = None
    duration: float | None = None
    start_time: float | None = None
    sample_rate: int | None = None
    pixel_format: str | None = None


class VideoSpec(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Format of a media file.

    Attributes:
        format: container, such as `mp4`.
        duration: seconds.
        bitrate: bits per second.
        tracks: only in `GET /asset/{id}?details=true` and in the output of a task.

    Source: schema `asset`, `videoSpec`.
    """

    format: str | None = None
    tracks: tuple[Track, ...] | None = None
    bitrate: float | None = None
    duration: float | None = None


@redacted(error_message=redact)
class AssetStatus(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Phase and progress of an asset. The repr redacts URLs that the error message quotes.

    Attributes:
        phase: one of `AssetPhase`; required, because a wait depends on it.
        updated_at: milliseconds since 1970.
        progress: 0 to 1, in the phase `processing` only. It may be 0 and never decreases.
        error_message: why the asset failed. It stays during a retry.

    Source: schema `asset`, `status`.
    """

    phase: AssetPhaseValue
    progress: float | None = None
    updated_at: int | None = None
    error_message: str | None = None


@redacted(url=redact_url, gateway_url=redact_url)
class AssetSource(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Source of an asset's content. The repr shows URLs without userinfo and query.

    The schema has a separate shape for each type. One Struct decodes unknown types too.

    Attributes:
        type: one of `SourceType`.
        url: URL that the server fetched; type `url`.
        gateway_url: its URL at a gateway, if `url` is an IPFS or Arweave URL.
        session_id: session that was recorded or clipped.
        source_id: asset or stream that was clipped.
        playback_id: playback ID of that asset or stream.
        requester_id: user who requested the clip.
        asset_id: asset that this one was made from.
        encryption: key of an encrypted upload.

    Source: schema `asset`, `source`.
    """

    url: str | None = None
    type: SourceTypeValue | None = None
    asset_id: str | None = None
    source_id: str | None = None
    session_id: str | None = None
    encryption: Encryption | None = None
    gateway_url: str | None = None
    playback_id: str | None = None
    requester_id: str | None = None


@redacted()
class AssetHash(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A digest of the stored source.

    Attributes:
        hash: lower-case hexadecimal.
        algorithm: `md5` or `sha256`.

    Source: schema `asset`, `hash`.
    """

    hash: str | None = None
    algorithm: str | None = None


@redacted()
class Asset(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An asset: a video or audio file at Livepeer.

    Attributes:
        id: the only required field.
        type: one of `AssetType`.
        playback_id: ID for players and `playback.get`. The server gives one to each asset; should
            it be absent, it is "".
        user_id: owner; deprecated by the API.
        static_mp4: whether MP4 files were requested. Write-only in the schema, and in no recorded
            response.
        playback_url: HLS URL. It may appear during the phase `processing`. A page that plays the
            asset is `player_url`.
        download_url: in the phase `ready` only.
        playback_policy: access control. The server treats null as public.
        source: source of the content.
        creator_id: an object, even if the request had a plain string.
        profiles: requested renditions.
        storage: copy on IPFS.
        status: phase and progress; see also `phase`.
        name: absent if the request had no object as its body.
        project_id: project that owns the asset.
        created_at: milliseconds since 1970.
        created_by_token_name: name of the API key that created the asset.
        size: bytes of the stored source; None or 0 until known.
        hash: digests of the stored source. Newer assets have none.
        video_spec: format of the file.
        deleted: False if the asset was deleted and restored; otherwise absent.
        deleted_at: milliseconds since 1970; null if the asset was restored.

    Source: schema `asset`; `deleted` and `deleted_at` as sent by Livepeer Studio of September 2025
    after a restore.
    """

    id: str
    hash: tuple[AssetHash, ...] | None = None
    name: str | None = None
    size: int | None = None
    type: AssetTypeValue | None = None
    source: AssetSource | None = None
    status: AssetStatus | None = None
    user_id: str | None = None
    deleted: bool | None = None
    storage: AssetStorage | None = None
    profiles: tuple[TranscodeProfile, ...] | None = None
    created_at: int | None = None
    creator_id: CreatorId | None = None
    deleted_at: int | None = None
    project_id: str | None = None
    static_mp4: bool | None = None
    video_spec: VideoSpec | None = None
    playback_id: PlaybackId = ""
    download_url: str | None = None
    playback_url: str | None = None
    playback_policy: PlaybackPolicy | None = None
    created_by_token_name: str | None = None

    def __post_init__(self) -> None:
        if not self.playback_id:
            force_setattr(self, "playback_id", "")

    @property
    def phase(self) -> AssetPhaseValue | None:
        """`status.phase`, one of `AssetPhase`; None without a status."""
        return self.status.phase if self.status else None

    @property
    def player_url(self) -> str | None:
        """A page that plays the asset once it is ready: `https://lvpr.tv/?v=PLAYBACK_ID`.

        `None` without a playback ID, and if the playback policy isn't public. The API's own
        `playback_url` is an HLS URL for players.
        """
        return make_player_url(self.playback_id, self.playback_policy)
