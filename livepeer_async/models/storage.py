"""Storage of an asset on IPFS."""

from livepeer_async.models.model import Model
from livepeer_async.models.values import NftMetadataTemplateValue, StoragePhaseValue
from livepeer_async.redaction import redact, redacted


@redacted()
class IpfsSpec(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Options of an export to IPFS, in requests and responses.

    A field that is None isn't sent. Null for the whole spec has a meaning of its own; see
    `NewIpfs.spec`.

    Attributes:
        nft_metadata_template: one of `NftMetadataTemplate`; the server's default is `file`.
        nft_metadata: merged deeply into the default NFT metadata.

    Source: schema `asset`, `storage.ipfs.spec`.
    """

    nft_metadata: dict[str, object] | None = None
    nft_metadata_template: NftMetadataTemplateValue | None = None


class IpfsFileInfo(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A file on IPFS.

    Attributes:
        cid: content ID; None until the export is complete.
        url: URL with the scheme `ipfs`.
        gateway_url: URL at an HTTP gateway.

    Source: schema `ipfs-file-info`.
    """

    cid: str | None = None
    url: str | None = None
    gateway_url: str | None = None


class AssetIpfs(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Copy of an asset on IPFS.

    Attributes:
        spec: the requested options. `storage.ipfs: true` in a request becomes an empty spec, false
            becomes None.
        cid: content ID of the video file; None until the export is complete.
        url: URL with the scheme `ipfs`.
        gateway_url: URL at an HTTP gateway.
        nft_metadata: the NFT metadata on IPFS.
        updated_at: milliseconds since 1970 of the export task's last change.

    Source: schema `asset`, `storage.ipfs`, which includes `ipfs-file-info`.
    """

    cid: str | None = None
    url: str | None = None
    spec: IpfsSpec | None = None
    updated_at: int | None = None
    gateway_url: str | None = None
    nft_metadata: IpfsFileInfo | None = None


class StorageTasks(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tasks that export an asset.

    Attributes:
        pending: ID of the running task.
        last: ID of the last successful task, which wrote the stored files.
        failed: ID of the last failed task.

    Source: schema `storage-status`, `tasks`.
    """

    last: str | None = None
    failed: str | None = None
    pending: str | None = None


@redacted(error_message=redact)
class StorageStatus(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Phase and progress of an export.

    Attributes:
        phase: one of `StoragePhase`.
        progress: 0 to 1.
        error_message: why the last export failed.
        tasks: tasks that export the asset.

    Source: schema `storage-status`.
    """

    phase: StoragePhaseValue | None = None
    tasks: StorageTasks | None = None
    progress: float | None = None
    error_message: str | None = None


class AssetStorage(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Storage beside Livepeer's own: the copy on IPFS and the status of the export.

    Source: schema `asset`, `storage`.
    """

    ipfs: AssetIpfs | None = None
    status: StorageStatus | None = None
