"""Where else an asset is kept: its files on IPFS, as the server describes them."""

from msgspec import Struct


class IpfsSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Say what is exported to IPFS beside the file.

    It is sent and received. A field that is None isn't sent; null for the whole spec is a value
    of its own, see `NewIpfs.spec`.

    Attributes:
        nft_metadata_template: One of `NftMetadataTemplate`; the server's default is `file`.
        nft_metadata: Merged deeply into the default NFT metadata.

    Source: Livepeer Studio OpenAPI, schema `asset`, `storage.ipfs.spec`.
    """

    nft_metadata_template: str | None = None
    nft_metadata: dict[str, object] | None = None


class IpfsFileInfo(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Locate one file on IPFS.

    Attributes:
        cid: Content ID of the file. None until the export has ended.
        url: The same as a URL with the scheme `ipfs`.
        gateway_url: A URL of an HTTP gateway for the file.

    Source: Livepeer Studio OpenAPI, schema `ipfs-file-info`.
    """

    cid: str | None = None
    url: str | None = None
    gateway_url: str | None = None


class AssetIpfs(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe the copy of an asset on IPFS.

    Attributes:
        spec: What was asked for. `storage.ipfs: true` in a request comes back as an empty spec,
            false as None.
        cid: Content ID of the video file. None until the export has ended.
        url: The same as a URL with the scheme `ipfs`.
        gateway_url: A URL of an HTTP gateway for the video file.
        nft_metadata: Where the NFT metadata lies.
        updated_at: Milliseconds since 1970 at which the export task changed last.

    Source: Livepeer Studio OpenAPI, schema `asset`, `storage.ipfs`, which takes in the properties
    of `ipfs-file-info`.
    """

    spec: IpfsSpec | None = None
    cid: str | None = None
    url: str | None = None
    gateway_url: str | None = None
    nft_metadata: IpfsFileInfo | None = None
    updated_at: int | None = None


class StorageTasks(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Name the tasks that write the storage of an asset.

    Attributes:
        pending: ID of the task that is exporting.
        last: ID of the last task that succeeded, which wrote what is stored.
        failed: ID of the last task that failed.

    Source: Livepeer Studio OpenAPI, schema `storage-status`, `tasks`.
    """

    pending: str | None = None
    last: str | None = None
    failed: str | None = None


class StorageStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tell how far the storage of an asset has come.

    Attributes:
        phase: One of `StoragePhase`.
        progress: 0 to 1.
        error_message: Why the last change failed.
        tasks: The tasks at work.

    Source: Livepeer Studio OpenAPI, schema `storage-status`.
    """

    phase: str | None = None
    progress: float | None = None
    error_message: str | None = None
    tasks: StorageTasks | None = None


class AssetStorage(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold where an asset is kept beside Livepeer's own storage.

    Attributes:
        ipfs: The copy on IPFS.
        status: How far it has come.

    Source: Livepeer Studio OpenAPI, schema `asset`, `storage`.
    """

    ipfs: AssetIpfs | None = None
    status: StorageStatus | None = None
