"""What a task made."""

from typing import Any

from msgspec import Struct

from .asset import AssetHash
from .redaction import format_repr, hide_query, shown_fields
from .video_spec import VideoSpec


class AssetSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold what an upload task learnt about the content of an asset.

    The schema calls it an asset, but it has no ID: a task writes only what it measured.

    Attributes:
        name: The task's own name for the file.
        type: One of `AssetType`.
        size: Bytes of the stored source.
        hash: Digests of the stored source.
        video_spec: What was found in the file, tracks included.

    Source: Livepeer Studio OpenAPI, schema `task`, `output.upload.assetSpec`.
    """

    name: str | None = None
    type: str | None = None
    size: int | None = None
    hash: tuple[AssetHash, ...] | None = None
    video_spec: VideoSpec | None = None


class UploadOutput(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the output of an `upload` task.

    The repr shows the paths without userinfo and query: they are URLs of an object store.

    Attributes:
        video_file_path: URL of the stored video; write-only in the schema.
        metadata_file_path: URL of the stored metadata; write-only in the schema.
        asset_spec: What was learnt about the content.

    Source: Livepeer Studio OpenAPI, schema `task`, `output.upload`.
    """

    video_file_path: str | None = None
    metadata_file_path: str | None = None
    asset_spec: AssetSpec | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """List the fields, paths without userinfo and query."""
        return shown_fields(self, video_file_path=hide_query, metadata_file_path=hide_query)

    def __repr__(self) -> str:
        """Show the Struct, paths without userinfo and query."""
        return format_repr(self)


class IpfsExportOutput(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold where an export to IPFS went.

    Attributes:
        video_file_cid: Content ID of the video file.
        video_file_url: The same as a URL with the scheme `ipfs`.
        video_file_gateway_url: A URL of an HTTP gateway for it.
        nft_metadata_cid: Content ID of the NFT metadata.
        nft_metadata_url: The same as a URL with the scheme `ipfs`.
        nft_metadata_gateway_url: A URL of an HTTP gateway for it.

    Source: Livepeer Studio OpenAPI, schema `task`, `output.export.ipfs`.
    """

    video_file_cid: str | None = None
    video_file_url: str | None = None
    video_file_gateway_url: str | None = None
    nft_metadata_cid: str | None = None
    nft_metadata_url: str | None = None
    nft_metadata_gateway_url: str | None = None


class ExportOutput(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the output of an `export` task.

    Attributes:
        ipfs: Where it went, for an export to IPFS.

    Source: Livepeer Studio OpenAPI, schema `task`, `output.export`.
    """

    ipfs: IpfsExportOutput | None = None


class IpfsDataOutput(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold where exported data went.

    Attributes:
        cid: Content ID of the data.

    Source: Livepeer Studio OpenAPI, schema `task`, `output.exportData.ipfs`.
    """

    cid: str | None = None


class ExportDataOutput(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the output of an `export-data` task.

    Attributes:
        ipfs: Where it went.

    Source: Livepeer Studio OpenAPI, schema `task`, `output.exportData`.
    """

    ipfs: IpfsDataOutput | None = None


class TaskOutput(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hold the output of a task; the field that is there goes with the type of the task.

    Attributes:
        upload: Of an `upload` task.
        export: Of an `export` task.
        export_data: Of an `export-data` task.

    Source: Livepeer Studio OpenAPI, schema `task`, `output`.
    """

    upload: UploadOutput | None = None
    export: ExportOutput | None = None
    export_data: ExportDataOutput | None = None
