"""A task, the work behind an asset, as the server describes it; and its output."""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.models.asset import AssetHash, VideoSpec
from livepeer_async.models.task_params import TaskParams
from livepeer_async.redaction import redact, redact_url, redacted


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


@redacted(video_file_path=redact_url, metadata_file_path=redact_url)
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


@redacted(error_message=redact)
class TaskStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tell how far a task has come.

    Attributes:
        phase: One of `TaskPhase`. Required: a status that names no phase says nothing that a
            caller could wait for.
        updated_at: Milliseconds since 1970.
        progress: 0 to 1. It may fall, unlike an asset's.
        error_message: Why the last attempt failed. Alone it is no failure: a task that will be
            tried again has it in the phase `waiting`.
        retries: Number of attempts that failed.
        step: What the task is at; write-only in the schema.

    Source: Livepeer Studio OpenAPI, schema `task`, `status`.
    """

    phase: str
    updated_at: int | None = None
    progress: float | None = None
    error_message: str | None = None
    retries: int | None = None
    step: str | None = None


class Task(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describe a task.

    Attributes:
        id: The only field without which a task is of no use, hence the only required one.
        type: One of `TaskType`.
        created_at: Milliseconds since 1970.
        scheduled_at: Milliseconds since 1970 at which it was queued, such as at the end of the
            upload.
        input_asset_id: Asset that it reads.
        output_asset_id: Asset that it makes.
        project_id: Project that owns it.
        requester_id: Who asked for it, as a hash.
        params: What it was told to do.
        status: How far it has come. See `phase` for a short way to it.
        output: What it made.
        user_id: Owner.

    Source: Livepeer Studio OpenAPI, schema `task`; `user_id` as sent by Livepeer Studio of
    September 2025.
    """

    id: str
    type: str | None = None
    created_at: int | None = None
    scheduled_at: int | None = None
    input_asset_id: str | None = None
    output_asset_id: str | None = None
    project_id: str | None = None
    requester_id: str | None = None
    params: TaskParams | None = None
    status: TaskStatus | None = None
    output: TaskOutput | None = None
    user_id: str | None = None

    @property
    def phase(self) -> str | None:
        """Give the phase, one of `TaskPhase`; None where the server sent no status."""
        return self.status.phase if self.status else None
