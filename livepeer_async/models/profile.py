"""One rendition that an asset is transcoded into."""

from msgspec import Struct


class TranscodeProfile(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe one rendition.

    It is sent and received. A field that is None isn't sent: the API knows no null here.

    Attributes:
        bitrate: Bits per second, at least 400. Required, for the server stores no profile
            without it.
        name: 1 to 500 characters, such as `720p`.
        width: Pixels, at least 128.
        height: Pixels, at least 128.
        fps: Numerator of the frame rate, at least 0.
        fps_den: Denominator of the frame rate, at least 1.
        quality: Constant quality, 0 (best) to 44.
        gop: Seconds between two key frames. The schema says string and gives a number as its
            example, so both decode; a string is what the server takes.
        profile: One of `H264Profile`.
        encoder: One of `Encoder`.

    Source: Livepeer Studio OpenAPI, schema `transcode-profile`.
    """

    bitrate: int
    name: str | None = None
    width: int | None = None
    height: int | None = None
    fps: int | None = None
    fps_den: int | None = None
    quality: int | None = None
    gop: str | float | None = None
    profile: str | None = None
    encoder: str | None = None
