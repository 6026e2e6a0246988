"""The key of an encrypted upload."""

from typing import Any

from msgspec import Struct

from .redaction import format_repr, hide_all, shown_fields


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

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List the field without the key."""
        return shown_fields(self, encrypted_key=hide_all)

    def __repr__(self) -> str:
        """Show the Struct without the key."""
        return format_repr(self)
