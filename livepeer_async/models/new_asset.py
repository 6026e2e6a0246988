"""What a request for a new asset says.

UNSET isn't sent; None is sent as null, where the API takes null. A field that knows no None here
is one whose null the server refuses.
"""

from collections.abc import Sequence
from typing import Any, Self

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from .creator import CreatorId
from .encryption import Encryption
from .new_storage import NewStorage
from .policy import PlaybackPolicy
from .profile import TranscodeProfile
from .redaction import format_repr, hide_query, shown_fields


# The one field that may stand without its keyword. msgspec decides that for a whole class, so a
# single positional field needs a class of its own to come from.
class _Named(Struct, frozen=True, rename="camel"):
    name: str


class NewAsset(_Named, frozen=True, kw_only=True, rename="camel"):
    """Ask for an asset whose content will be uploaded.

    `NewAsset("talk.mp4")` is enough; all fields but the name are keywords.

    Attributes:
        name: Any string. It needn't be a file's name.
        static_mp4: Make MP4 files too.
        playback_policy: Who may play it; None is sent as null, which the server treats as public.
        creator_id: `CreatorId` or a plain string. The server refuses null.
        storage: Where else to keep it.
        encryption: Key of an encrypted file; the server wants a `playback_policy` with it.
        c2pa: Sign the output with C2PA.
        profiles: The renditions to make. None is sent as null and, like UNSET, leaves the choice
            to the server; it refuses an empty list.
        target_segment_size_secs: Seconds an output segment should last. Livepeer Studio of
            September 2025 checks it and then drops it for an upload; only an import obeys it.

    Source: Livepeer Studio OpenAPI, schema `new-asset-payload`.
    """

    static_mp4: bool | UnsetType = UNSET
    playback_policy: PlaybackPolicy | UnsetType | None = UNSET
    creator_id: CreatorId | str | UnsetType = UNSET
    storage: NewStorage | UnsetType = UNSET
    encryption: Encryption | UnsetType = UNSET
    c2pa: bool | UnsetType = UNSET
    profiles: Sequence[TranscodeProfile] | UnsetType | None = UNSET
    target_segment_size_secs: float | UnsetType = UNSET


class NewAssetFromUrl(_Named, frozen=True, kw_only=True, rename="camel"):
    """Ask for an asset whose content the server shall fetch.

    The repr shows the URL without userinfo and query, where signatures stand.

    Attributes:
        name: Any string.
        url: Where the content lies, with the scheme `http`, `https`, `ipfs` or `ar`.
        static_mp4: As for `NewAsset`, like all the fields below.
        playback_policy: Who may play it.
        creator_id: `CreatorId` or a plain string.
        storage: Where else to keep it.
        encryption: Key of an encrypted file.
        c2pa: Sign the output with C2PA.
        profiles: The renditions to make.
        target_segment_size_secs: Seconds an output segment should last.

    Source: Livepeer Studio OpenAPI, schema `new-asset-from-url-payload`.
    """

    url: str
    static_mp4: bool | UnsetType = UNSET
    playback_policy: PlaybackPolicy | UnsetType | None = UNSET
    creator_id: CreatorId | str | UnsetType = UNSET
    storage: NewStorage | UnsetType = UNSET
    encryption: Encryption | UnsetType = UNSET
    c2pa: bool | UnsetType = UNSET
    profiles: Sequence[TranscodeProfile] | UnsetType | None = UNSET
    target_segment_size_secs: float | UnsetType = UNSET

    @classmethod
    def from_new_asset(cls, new_asset: NewAsset, *, url: str) -> Self:
        """Ask for the same asset, with its content fetched from `url`."""
        return cls(url=url, **asdict(new_asset))

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List the fields, the URL without userinfo and query."""
        return shown_fields(self, url=hide_query)

    def __repr__(self) -> str:
        """Show the Struct, the URL without userinfo and query."""
        return format_repr(self)
