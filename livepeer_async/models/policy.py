"""Who may play an asset."""

from typing import Any

from msgspec import Struct

from .redaction import format_repr, hide_values, shown_fields
from .vocabulary import PolicyType


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

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List the fields, the context without its values."""
        return shown_fields(self, webhook_context=hide_values)

    def __repr__(self) -> str:
        """Show the Struct, the context without its values."""
        return format_repr(self)
