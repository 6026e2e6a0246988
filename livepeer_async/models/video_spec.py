"""What the server found inside a media file."""

from msgspec import Struct


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
