"""Playback info: how to play an asset or a stream."""

from livepeer_async.models.asset_fields import PlaybackPolicy
from livepeer_async.models.attestation import Attestation
from livepeer_async.models.model import Model
from livepeer_async.models.values import PlaybackSourceTypeValue, PlaybackTypeValue


class PlaybackSource(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One way to play an asset or a stream.

    Attributes:
        url: URL for a player; required.
        hrn: human-readable name, such as `MP4`.
        type: one of `PlaybackSourceType`.
        size: bytes; MP4 only.
        width: pixels; MP4 only.
        height: pixels; MP4 only.
        bitrate: bits per second; MP4 only.

    Source: schema `playback-info`, `meta.source`.
    """

    url: str
    hrn: str | None = None
    type: PlaybackSourceTypeValue | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    bitrate: float | None = None


class DvrPlayback(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Playback of the recorded part of a live stream.

    Attributes:
        hrn: human-readable name, such as `HLS (TS)`.
        type: one of `PlaybackSourceType`.
        url: URL for a player.
        error: why it can't be played.

    Source: schema `playback-info`, `meta.dvrPlayback`.
    """

    hrn: str | None = None
    type: PlaybackSourceTypeValue | None = None
    url: str | None = None
    error: str | None = None


class PlaybackMeta(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Playback sources and access control.

    Attributes:
        source: ways to play it; required. MP4 files may be missing for up to 120 s after the asset
            is ready, because the server caches the response.
        live: 1 during a live stream, otherwise 0.
        playback_policy: access control. A private asset has URLs too, which need authorization.
        dvr_playback: playback of the recorded part of a live stream.
        attestation: a signed statement about the video.

    Source: schema `playback-info`, `meta`.
    """

    source: tuple[PlaybackSource, ...]
    live: int | None = None
    playback_policy: PlaybackPolicy | None = None
    dvr_playback: tuple[DvrPlayback, ...] | None = None
    attestation: Attestation | None = None


class PlaybackInfo(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How to play an asset or a stream.

    Attributes:
        meta: playback sources and access control; required.
        type: one of `PlaybackType`.

    Source: schema `playback-info`.
    """

    meta: PlaybackMeta
    type: PlaybackTypeValue | None = None
