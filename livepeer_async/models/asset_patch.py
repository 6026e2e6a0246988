"""What a request to change an asset says."""

from msgspec import UNSET, Struct, UnsetType

from .creator import CreatorId
from .new_storage import NewStorage
from .policy import PlaybackPolicy


class AssetPatch(Struct, frozen=True, kw_only=True, rename="camel"):
    """Change a ready asset.

    UNSET isn't sent and changes nothing; None is sent as null. The server changes an asset in the
    phase `ready` only.

    Attributes:
        name: The new name.
        creator_id: `CreatorId` or a plain string. The server refuses null.
        playback_policy: The new policy; null makes a public asset's policy null. The server
            refuses to go from public to private or back.
        storage: True for `storage.ipfs` starts an export; the server refuses false.

    Source: Livepeer Studio OpenAPI, schema `asset-patch-payload`.
    """

    name: str | UnsetType = UNSET
    creator_id: CreatorId | str | UnsetType = UNSET
    playback_policy: PlaybackPolicy | UnsetType | None = UNSET
    storage: NewStorage | UnsetType = UNSET
