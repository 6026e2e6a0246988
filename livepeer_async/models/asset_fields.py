"""Fields of an asset that requests set too: policy, creator, encryption, profiles."""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.models.enums import PolicyType
from livepeer_async.redaction import mask, mask_values, redacted


@redacted(webhook_context=mask_values)
class PlaybackPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Say who may play an asset.

    It is sent and received. A field that is None isn't sent, for the API takes null in none of
    them; null for the whole policy is a value of its own, see `NewAsset.playback_policy`.

    Attributes:
        type: One of `PolicyType`. A value that the library doesn't know keeps its string, and a
            policy that arrives without a type has None here: neither is public. The server
            refuses a request without it.
        webhook_id: ID of the webhook that is asked, for `PolicyType.WEBHOOK`.
        webhook_context: What the webhook is told, free in form. The repr shows its keys alone.
        refresh_interval: Seconds between two checks of the policy; the server's default is 600.
        allowed_origins: Origins for CORS playback, `<scheme>://<hostname>[:<port>]`.

    Source: Livepeer Studio OpenAPI, schema `playback-policy`.
    """

    type: str | None = None
    webhook_id: str | None = None
    webhook_context: dict[str, object] | None = None
    refresh_interval: float | None = None
    allowed_origins: tuple[str, ...] | None = None

    @property
    def is_public(self) -> bool:
        """Tell whether anybody may play the asset; False for an unknown or missing type."""
        return self.type == PolicyType.PUBLIC


@redacted(encrypted_key=mask)
class Encryption(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the key that an uploaded file was encrypted with.

    It is sent and received. The repr doesn't show the key.

    Attributes:
        encrypted_key: The key, encrypted for Livepeer and then in base64. The schema calls it
            write-only; Livepeer Studio of September 2025 echoes it all the same, so an answer
            may have it or not. The server refuses a request without it.

    Source: Livepeer Studio OpenAPI, schema `new-asset-payload`, `encryption`.
    """

    encrypted_key: str | None = None


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


# No omit_defaults here: the server refuses a creator ID that lacks its type.
class CreatorId(Struct, frozen=True, kw_only=True, rename="camel"):
    """Name the creator of an asset.

    A request also takes a plain string in its place; the server's answer always has this form.

    Attributes:
        value: The developer's own ID of the user. Required, for a request without it is refused.
        type: One of `CreatorType`. Livepeer verifies none, hence the default.

    Source: Livepeer Studio OpenAPI, schemas `creator-id` and `input-creator-id`.
    """

    value: str
    type: str = "unverified"
