"""Requests that create or update an asset, and the server's responses to them.

UNSET isn't sent and None is sent as null. A field doesn't accept None if the server refuses null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from livepeer_async.models.asset import Asset
from livepeer_async.models.asset_fields import (
    CreatorId,
    Encryption,
    PlaybackPolicy,
    TranscodeProfile,
)
from livepeer_async.models.model import Model
from livepeer_async.models.storage import IpfsSpec
from livepeer_async.redaction import mask_values, redact_url, redacted

# Bytes of a part in Livepeer's storage; each PATCH but the last is a multiple of it.
UPLOAD_PART_SIZE = 8 * 1024 * 1024
# Milliseconds before tus-js-client continues after a failure. Its default begins with 0, and an
# offset that it asks for before the server has stored the last part makes it send the part again.
TUS_JS_RETRY_DELAYS = (2_000, 3_000, 5_000, 10_000, 20_000, 30_000, 60_000)


def _mask_mapping(value: object) -> object:
    """Mask the values of a mapping that stands for a Struct, whose repr would redact them."""
    return mask_values(cast("dict[str, object]", value)) if isinstance(value, Mapping) else value


class NewIpfs(Model, frozen=True, kw_only=True, rename="camel"):
    """Request to export an asset to IPFS.

    Attributes:
        spec: options of the export. UNSET and None leave them to the server.

    Source: schema `new-asset-payload`, `storage.ipfs`.
    """

    spec: IpfsSpec | UnsetType | None = UNSET


class NewStorage(Model, frozen=True, kw_only=True, rename="camel"):
    """Request for storage beside Livepeer's own.

    Attributes:
        ipfs: True exports with the defaults, `NewIpfs` with options. False and None don't export;
            the server refuses both for an asset that has been exported.

    Source: schema `new-asset-payload`, `storage`.
    """

    ipfs: NewIpfs | bool | UnsetType | None = UNSET


# msgspec makes fields positional or keyword-only for a whole class, so the one positional field
# needs a class of its own.
@redacted()
class _Named(Model, frozen=True, rename="camel"):
    name: str


class _AssetRequest(_Named, frozen=True, kw_only=True, rename="camel"):
    static_mp4: bool | UnsetType = UNSET
    playback_policy: PlaybackPolicy | UnsetType | None = UNSET
    creator_id: CreatorId | str | UnsetType = UNSET
    storage: NewStorage | UnsetType = UNSET
    encryption: Encryption | UnsetType = UNSET
    c2pa: bool | UnsetType = UNSET
    profiles: Sequence[TranscodeProfile] | UnsetType | None = UNSET
    target_segment_size_secs: float | UnsetType = UNSET


@redacted(encryption=_mask_mapping, playback_policy=_mask_mapping)
class NewAsset(_AssetRequest, frozen=True, kw_only=True, rename="camel"):
    """Request for an asset whose content will be uploaded, such as `NewAsset("talk.mp4")`.

    All fields but the name are keyword-only.

    Attributes:
        name: any string; it needn't be a file name.
        static_mp4: whether to make MP4 files too.
        playback_policy: access control; the server treats null as public.
        creator_id: `CreatorId` or a plain string.
        storage: storage beside Livepeer's own.
        encryption: key of an encrypted file; the server then requires a `playback_policy`.
        c2pa: whether to sign the output with C2PA.
        profiles: renditions to make. None and UNSET leave them to the server, which refuses an
            empty list.
        target_segment_size_secs: seconds of an output segment. Livepeer Studio of September 2025
            ignores it for uploads and uses it for `NewAssetFromUrl`.

    Source: schema `new-asset-payload`.
    """


@redacted(url=redact_url, encryption=_mask_mapping, playback_policy=_mask_mapping)
class NewAssetFromUrl(_AssetRequest, frozen=True, kw_only=True, rename="camel"):
    """Request for an asset whose content the server fetches; fields as in `NewAsset`, and `url`.

    The repr shows the URL without userinfo and query, which may hold signatures.

    Attributes:
        url: URL of the content, with the scheme `http`, `https`, `ipfs` or `ar`.

    Source: schema `new-asset-from-url-payload`.
    """

    url: str

    @classmethod
    def from_new_asset(cls, new_asset: NewAsset, *, url: str) -> Self:
        """Return a request for the same asset, with content from `url`."""
        return cls(url=url, **asdict(new_asset))


class TaskRef(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """ID of the task that makes an asset, for `GET /task/{id}`.

    Source: response to `POST /asset/request-upload`, `task`.
    """

    id: str


@redacted(url=redact_url, tus_endpoint=redact_url)
class UploadTicket(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Permission to upload the content of one asset.

    Both URLs contain a bearer token that doesn't expire before the upload is complete: anyone with
    a URL may upload. The repr shows them without it.

    A browser uploads with tus-js-client and the options of `tus_js_options`. A page that was
    reloaded continues only with the same ticket, so keep it on the server for the visitor:
    `msgspec.json.encode(ticket)`, and later `msgspec.json.decode(text, type=UploadTicket)`. Then
    `assets.wait(ticket.asset.id, length=...)` compares the asset with the length that the page sent
    along, and `assets.delete` removes the asset of a visitor that never came back.

    Attributes:
        tus_endpoint: tus creation URL; required.
        asset: the new asset, in the phase `uploading`; required, because only its ID leads to it.
        url: URL for one PUT of the whole file; see `AsyncLivepeer.upload(method="direct")`.
        task: task that runs after the upload.

    Source: response to `POST /asset/request-upload`.
    """

    tus_endpoint: str
    asset: Asset
    url: str | None = None
    task: TaskRef | None = None

    @property
    def chunk_size(self) -> int:
        """Bytes of each PATCH but the last: exactly 8 MiB.

        With any other size, or several PATCHes at once, Livepeer may store wrong bytes and report
        success.
        """
        return UPLOAD_PART_SIZE

    def tus_js_options(self) -> dict[str, Any]:
        """Return the options of tus-js-client's `tus.Upload`, which can be encoded as JSON.

        They contain the endpoint, a bearer secret: send them only to the visitor who uploads, over
        HTTPS. The page adds its callbacks, and looks for an upload that it began before a reload:

            const upload = new tus.Upload(file, {...options, onProgress, onSuccess, onError});
            const [previous] = await upload.findPreviousUploads();
            if (previous) upload.resumeFromPreviousUpload(previous);
            upload.start();

        tus-js-client's own `fingerprint` finds it by the file and the endpoint; keep it. A browser
        repeats a PATCH by itself if a connection ends without a response, and then bytes may be
        stored twice whatever the options: only the comparison in `assets.wait` notices that.
        """
        return {
            "endpoint": self.tus_endpoint,
            "chunkSize": self.chunk_size,
            "parallelUploads": 1,
            "retryDelays": list(TUS_JS_RETRY_DELAYS),
            "storeFingerprintForResuming": True,
            "removeFingerprintOnSuccess": True,
            "uploadDataDuringCreation": False,
            "uploadLengthDeferred": False,
            "metadata": {"filename": self.asset.name} if self.asset.name else {},
        }


class ImportTicket(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Response to a `NewAssetFromUrl`.

    Attributes:
        asset: the new asset; required.
        task: task that fetches the content.

    Source: responses 200 and 201 to `POST /asset/upload/url`.
    """

    asset: Asset
    task: TaskRef | None = None


@redacted(playback_policy=_mask_mapping)
class AssetPatch(Model, frozen=True, kw_only=True, rename="camel"):
    """Update of an asset, which must be in the phase `ready`. UNSET changes nothing.

    Attributes:
        name: new name.
        creator_id: `CreatorId` or a plain string.
        playback_policy: new policy; null sets the policy of a public asset to null. The server
            refuses a change from public to private or back.
        storage: True for `storage.ipfs` starts an export; the server refuses False.

    Source: schema `asset-patch-payload`.
    """

    name: str | UnsetType = UNSET
    creator_id: CreatorId | str | UnsetType = UNSET
    playback_policy: PlaybackPolicy | UnsetType | None = UNSET
    storage: NewStorage | UnsetType = UNSET
