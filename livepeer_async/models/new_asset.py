"""Requests for new assets and their answers: NewAsset, AssetPatch and the tickets.

UNSET isn't sent; None is sent as null, where the API takes null. A field without None is one whose
null the server refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from livepeer_async.models.asset import Asset
from livepeer_async.models.asset_fields import (
    CreatorId,
    Encryption,
    PlaybackPolicy,
    TranscodeProfile,
)
from livepeer_async.models.storage import IpfsSpec
from livepeer_async.redaction import redact_url, redacted


class NewIpfs(Struct, frozen=True, kw_only=True, rename="camel"):
    """Ask for an export to IPFS.

    Attributes:
        spec: What is exported beside the file. UNSET leaves it to the server; None is sent as
            null, which the API takes too.

    Source: Livepeer Studio OpenAPI, schema `new-asset-payload`, `storage.ipfs`.
    """

    spec: IpfsSpec | UnsetType | None = UNSET


class NewStorage(Struct, frozen=True, kw_only=True, rename="camel"):
    """Ask for storage beside Livepeer's own.

    Attributes:
        ipfs: True exports with the defaults, `NewIpfs` says how. False or None means not on
            IPFS; the server refuses both for an asset that is there already. UNSET says nothing.

    Source: Livepeer Studio OpenAPI, schema `new-asset-payload`, `storage`.
    """

    ipfs: NewIpfs | bool | UnsetType | None = UNSET


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


@redacted(url=redact_url)
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


class TaskRef(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Name the task that will make an asset.

    Attributes:
        id: What `GET /task/{id}` takes. Required: it is all there is.

    Source: Livepeer Studio OpenAPI, answer of `POST /asset/request-upload`, `task`.
    """

    id: str


@redacted(url=redact_url, tus_endpoint=redact_url)
class UploadTicket(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the right to upload the content of one asset.

    Both URLs carry a bearer token that doesn't expire before the upload has ended: who has one
    may upload. The repr shows them without it.

    Attributes:
        tus_endpoint: URL for the tus creation. Required: without it there is no upload.
        asset: The asset that was made, in the phase `uploading`. Required: without its ID nobody
            could wait for the upload or delete what it left behind.
        url: URL for one PUT of the whole file. It can't be resumed, so this library doesn't use
            it and lives without it.
        task: The task that will run once the upload has ended; the asset tells as much.

    Source: Livepeer Studio OpenAPI, answer of `POST /asset/request-upload`.
    """

    tus_endpoint: str
    asset: Asset
    url: str | None = None
    task: TaskRef | None = None


class ImportTicket(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold what the server made of a request to fetch the content of an asset.

    Attributes:
        asset: The asset that was made. Required, as in `UploadTicket`.
        task: The task that fetches the content; the asset tells as much.

    Source: Livepeer Studio OpenAPI, answers 200 and 201 of `POST /asset/upload/url`.
    """

    asset: Asset
    task: TaskRef | None = None


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
