"""`Task`, the server's work on an asset, and its output."""

from __future__ import annotations

from livepeer_async.models.asset import AssetHash, VideoSpec
from livepeer_async.models.model import Model
from livepeer_async.models.task_params import TaskParams
from livepeer_async.models.values import AssetTypeValue, TaskPhaseValue, TaskTypeValue
from livepeer_async.redaction import redact, redact_url, redacted


class AssetSpec(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Properties of the content, as an `upload` task found them.

    The schema calls it an asset, but it has no ID.

    Attributes:
        name: the task's own name for the file.
        type: one of `AssetType`.
        size: bytes of the stored source.
        hash: digests of the stored source.
        video_spec: format of the file, with tracks.

    Source: schema `task`, `output.upload.assetSpec`.
    """

    name: str | None = None
    type: AssetTypeValue | None = None
    size: int | None = None
    hash: tuple[AssetHash, ...] | None = None
    video_spec: VideoSpec | None = None


@redacted(video_file_path=redact_url, metadata_file_path=redact_url)
class UploadOutput(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Output of an `upload` task. The repr shows URLs without userinfo and query.

    Attributes:
        video_file_path: URL of the video in an object store; write-only in the schema.
        metadata_file_path: URL of the metadata in an object store; write-only in the schema.
        asset_spec: properties of the content.

    Source: schema `task`, `output.upload`.
    """

    video_file_path: str | None = None
    metadata_file_path: str | None = None
    asset_spec: AssetSpec | None = None


class IpfsExportOutput(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Files that an `export` task wrote to IPFS.

    Attributes:
        video_file_cid: content ID of the video file.
        video_file_url: its URL with the scheme `ipfs`.
        video_file_gateway_url: its URL at an HTTP gateway.
        nft_metadata_cid: content ID of the NFT metadata.
        nft_metadata_url: its URL with the scheme `ipfs`.
        nft_metadata_gateway_url: its URL at an HTTP gateway.

    Source: schema `task`, `output.export.ipfs`.
    """

    video_file_cid: str | None = None
    video_file_url: str | None = None
    video_file_gateway_url: str | None = None
    nft_metadata_cid: str | None = None
    nft_metadata_url: str | None = None
    nft_metadata_gateway_url: str | None = None


class ExportOutput(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Output of an `export` task: files on IPFS.

    Source: schema `task`, `output.export`.
    """

    ipfs: IpfsExportOutput | None = None


class IpfsDataOutput(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Content ID of the data that an `export-data` task wrote to IPFS.

    Source: schema `task`, `output.exportData.ipfs`.
    """

    cid: str | None = None


class ExportDataOutput(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Output of an `export-data` task: data on IPFS.

    Source: schema `task`, `output.exportData`.
    """

    ipfs: IpfsDataOutput | None = None


class TaskOutput(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Output of a task; the task's type says which field is set.

    Source: schema `task`, `output`.
    """

    upload: UploadOutput | None = None
    export: ExportOutput | None = None
    export_data: ExportDataOutput | None = None


@redacted(error_message=redact)
class TaskStatus(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Phase and progress of a task. The repr redacts URLs that the error message quotes.

    Attributes:
        phase: one of `TaskPhase`; required, because a wait depends on it.
        updated_at: milliseconds since 1970.
        progress: 0 to 1. Unlike an asset's, it may decrease.
        error_message: why the last attempt failed. In the phase `waiting`, the task will be
            retried.
        retries: number of failed attempts.
        step: current step; write-only in the schema.

    Source: schema `task`, `status`.
    """

    phase: TaskPhaseValue
    updated_at: int | None = None
    progress: float | None = None
    error_message: str | None = None
    retries: int | None = None
    step: str | None = None


@redacted()
class Task(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A task: work of the server, such as processing an upload.

    Attributes:
        id: the only required field.
        type: one of `TaskType`.
        created_at: milliseconds since 1970.
        scheduled_at: milliseconds since 1970 at which it was queued; for an upload, at its end.
        input_asset_id: asset that the task reads.
        output_asset_id: asset that the task makes.
        project_id: project that owns the task.
        requester_id: user who requested the task, as a hash.
        params: parameters.
        status: phase and progress; see also `phase`.
        output: the task's output.
        user_id: owner.

    Source: schema `task`; `user_id` as sent by Livepeer Studio of September 2025.
    """

    id: str
    type: TaskTypeValue | None = None
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
    def phase(self) -> TaskPhaseValue | None:
        """`status.phase`, one of `TaskPhase`; None without a status."""
        return self.status.phase if self.status else None
