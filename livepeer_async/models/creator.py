"""Who made an asset, in the words of the developer who runs the application."""

from msgspec import Struct


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
