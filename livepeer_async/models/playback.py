"""How to play an asset or a stream."""

from msgspec import Struct

from livepeer_async.models.asset_fields import PlaybackPolicy
from livepeer_async.models.attestation import Attestation


class PlaybackSource(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe one way to play it.

    Attributes:
        url: What a player opens. Required: without it nothing can be played.
        hrn: Name for a person, such as `MP4`.
        type: One of `PlaybackSourceType`.
        size: Bytes; MP4 only.
        width: Pixels; MP4 only.
        height: Pixels; MP4 only.
        bitrate: Bits per second; MP4 only.

    Source: Livepeer Studio OpenAPI, schema `playback-info`, `meta.source`.
    """

    url: str
    hrn: str | None = None
    type: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    bitrate: float | None = None


class DvrPlayback(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe how to play what has run of a live stream.

    Attributes:
        hrn: Name for a person, such as `HLS (TS)`.
        type: One of `PlaybackSourceType`.
        url: What a player opens.
        error: Why it can't be played.

    Source: Livepeer Studio OpenAPI, schema `playback-info`, `meta.dvrPlayback`.
    """

    hrn: str | None = None
    type: str | None = None
    url: str | None = None
    error: str | None = None


class PlaybackMeta(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the ways to play it, and who may.

    Attributes:
        source: The ways to play it. Required: it is what was asked for. MP4 files may join up to
            120 s after the asset is ready, for the server keeps its answer that long.
        live: 1 while a stream is live, else 0.
        playback_policy: Who may play it. URLs are there for a private asset too, and then want a
            proof from the player.
        dvr_playback: How to play what has run of a live stream.
        attestation: A signed statement about the video.

    Source: Livepeer Studio OpenAPI, schema `playback-info`, `meta`.
    """

    source: tuple[PlaybackSource, ...]
    live: int | None = None
    playback_policy: PlaybackPolicy | None = None
    dvr_playback: tuple[DvrPlayback, ...] | None = None
    attestation: Attestation | None = None


class PlaybackInfo(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tell how to play an asset or a stream.

    Attributes:
        meta: The ways to play it. Required: it is what was asked for.
        type: One of `PlaybackType`.

    Source: Livepeer Studio OpenAPI, schema `playback-info`.
    """

    meta: PlaybackMeta
    type: str | None = None
