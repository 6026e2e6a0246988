"""Fields of an asset that requests set too: policy, encryption, profiles, creator.

A field that is None isn't sent: the API accepts null for none of them.
"""

from __future__ import annotations

from urllib.parse import quote

from livepeer_async.models.enums import PolicyType
from livepeer_async.models.model import Model
from livepeer_async.models.values import (
    CreatorTypeValue,
    EncoderValue,
    H264ProfileValue,
    PolicyTypeValue,
)
from livepeer_async.redaction import mask, mask_values, redacted

_PLAYER = "https://lvpr.tv/?v="


@redacted(webhook_context=mask_values)
class PlaybackPolicy(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Access control of an asset. The repr shows only the keys of the webhook context.

    Null for the whole policy has a meaning of its own; see `NewAsset.playback_policy`.

    Attributes:
        type: one of `PolicyType`. An unknown type keeps its string, and a policy without a type has
            None: neither is public. The server refuses a request without a type.
        webhook_id: ID of the webhook to call, for `PolicyType.WEBHOOK`.
        webhook_context: free-form data for the webhook.
        refresh_interval: seconds between two checks; the server's default is 600.
        allowed_origins: origins for CORS playback, `<scheme>://<hostname>[:<port>]`.

    Source: schema `playback-policy`.
    """

    type: PolicyTypeValue | None = None
    webhook_id: str | None = None
    allowed_origins: tuple[str, ...] | None = None
    webhook_context: dict[str, object] | None = None
    refresh_interval: float | None = None

    @property
    def is_public(self) -> bool:
        """Whether anyone may play the asset; False for an unknown or missing type."""
        return self.type == PolicyType.PUBLIC


def make_player_url(playback_id: str | None, policy: PlaybackPolicy | None = None) -> str | None:
    """Return the page of Livepeer's player for a playback ID.

    Args:
        playback_id: of an asset.
        policy: of the same asset; the page can only play a public one.

    Returns:
        Its URL; `None` without a playback ID, and for an asset that isn't public.
    """
    is_public = policy is None or policy.is_public
    return f"{_PLAYER}{quote(playback_id, safe='')}" if playback_id and is_public else None


@redacted(encrypted_key=mask)
class Encryption(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Key of an encrypted file. The repr doesn't show it.

    Attributes:
        encrypted_key: the key, encrypted for Livepeer, in base64; required by the server. The
            schema calls it write-only, but Livepeer Studio of September 2025 echoes it.

    Source: schema `new-asset-payload`, `encryption`.
    """

    encrypted_key: str | None = None


@redacted()
class TranscodeProfile(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One rendition.

    Attributes:
        bitrate: bits per second, at least 400; the server drops a profile without it.
        name: 1 to 500 characters, such as `720p`.
        width: pixels, at least 128.
        height: pixels, at least 128.
        fps: numerator of the frame rate, at least 0.
        fps_den: denominator of the frame rate, at least 1.
        quality: constant quality, 0 (best) to 44.
        gop: seconds between key frames. The server accepts a string; the schema's example is a
            number, which decodes too.
        profile: one of `H264Profile`.
        encoder: one of `Encoder`.

    Source: schema `transcode-profile`.
    """

    fps: int | None = None
    gop: str | float | None = None
    name: str | None = None
    width: int | None = None
    fps_den: int | None = None
    height: int | None = None
    bitrate: int
    encoder: EncoderValue | None = None
    profile: H264ProfileValue | None = None
    quality: int | None = None


# No omit_defaults: the server refuses a creator ID without a type.
@redacted()
class CreatorId(Model, frozen=True, kw_only=True, rename="camel"):
    """Creator of an asset.

    A request may have a plain string instead; responses have this object.

    Attributes:
        value: your own ID of the user; required by the server.
        type: one of `CreatorType`. Livepeer verifies none of them.

    Source: schemas `creator-id` and `input-creator-id`.
    """

    type: CreatorTypeValue = "unverified"
    value: str
